"""RAFT-Stereo: the five published checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError
from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.raft_stereo_runner import RAFTStereoModel

__all__ = ["CARDS", "load"]

logger = logging.getLogger(__name__)

_ARCHIVE_URL = "https://www.dropbox.com/s/ftveifyqcomiwaq/models.zip"
OPTIONS = ("iterations", "correlation", "memory_budget", "channels_last")
_RVC_PAPER = "https://arxiv.org/abs/2210.12785"


def _card(
    tag: str,
    title: str,
    file: str,
    trained_on: tuple[str, ...],
    *,
    network: str = "raft_stereo",
    iterations: int = 32,
    sha256_prefix: str | None = None,
    paper: str = "https://arxiv.org/abs/2109.07547",
    numbers: tuple[PublishedNumber, ...] = (),
    notes: tuple[str, ...] = (),
    **settings: Any,
) -> Card:
    return Card(
        name=f"raft_stereo/{tag}",
        family="raft_stereo",
        title=title,
        licence="MIT (the repository; its authors state no other for the weights)",
        paper=paper,
        homepage="https://github.com/princeton-vl/RAFT-Stereo",
        needs=Needs(views=("left", "right")),
        gives=("disparity",),
        invariance="disparity",
        weights=WeightsFile(file, _ARCHIVE_URL, "models.zip", sha256_prefix=sha256_prefix),
        trained_on=trained_on,
        numbers=numbers,
        network=network,
        settings={"iterations": iterations, **settings},
        notes=notes,
    )


CARDS = (
    _card(
        "sceneflow",
        "RAFT-Stereo, Scene Flow",
        "raftstereo-sceneflow.pth",
        ("Scene Flow",),
        sha256_prefix="ba75bdcb379b",
        numbers=tuple(
            PublishedNumber(
                "Middlebury v3, quarter size", metric, value, unit, "authors' issue tracker"
            )
            for metric, value, unit in (("EPE", 1.3627, "px"), ("bad-2", 10.93, "%"))
        ),
    ),
    _card(
        "middlebury",
        "RAFT-Stereo, Middlebury",
        "raftstereo-middlebury.pth",
        ("Scene Flow", "Middlebury 2014 (23 scenes)"),
        sha256_prefix="d22e84c0e431",
        notes=("Recommended by its authors for images in the wild.",),
    ),
    _card(
        "eth3d",
        "RAFT-Stereo, ETH3D",
        "raftstereo-eth3d.pth",
        (),
        sha256_prefix="9ea862904b5b",
        notes=("The model of the authors' ETH3D submission; they do not state its training data.",),
    ),
    _card(
        "realtime",
        "RAFT-Stereo, realtime",
        "raftstereo-realtime.pth",
        ("Scene Flow",),
        network="raft_stereo_realtime",
        iterations=7,
        correlation="reg",
        precision="fp16",
    ),
    _card(
        "rvc",
        "iRaftStereo_RVC",
        "iraftstereo_rvc.pth",
        (),
        network="iraftstereo_rvc",
        paper=_RVC_PAPER,
        notes=("Second in the stereo track of the Robust Vision Challenge 2022.",),
    ),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> RAFTStereoModel:
    """Load a checkpoint.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`.
    **options
        ``iterations``, ``correlation`` (``auto``, ``reg`` or ``alt``), ``memory_budget`` (bytes),
        ``channels_last``; see `RAFTStereoModel`.
    """
    file = card.weights
    if file is None or card.network is None:
        raise UsageError(f"{card.name}: its card names no weights or no network")
    if weights is None:
        raise UsageError(
            f"{card.name} needs {file.file}: download {file.url} and give weights= (--weights) "
            f"the path of {file.archive or file.file} or of {file.file}"
        )
    from depthzoo import networks
    from depthzoo.models.raft_stereo_runner import RAFTStereoModel
    from depthzoo.weights import load_checkpoint, load_state

    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise UsageError(
            f"{card.name} has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}"
        )
    settings = {"iterations": card.settings["iterations"], **options}
    network = networks.create(card.network)
    model = RAFTStereoModel(card, network, device=device, precision=precision, **settings)
    checkpoint = load_checkpoint(weights, member=file.file, allow=file.allow, sha256=file.sha256)
    expected = file.sha256_prefix
    if expected is not None and not checkpoint.sha256.startswith(expected):
        logger.warning(
            "%s: SHA-256 %s... is not the %s... that a third party lists for %s",
            checkpoint.path,
            checkpoint.sha256[:12],
            expected,
            file.file,
        )
    load_state(network, checkpoint.state, source=checkpoint.path)
    model.weights_sha256 = checkpoint.sha256
    return model
