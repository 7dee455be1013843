"""RAFT-Stereo: the five published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.raft_stereo_runner import RAFTStereoModel

__all__ = ["CARDS", "load"]

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
        weights=(WeightsFile(file, _ARCHIVE_URL, "models.zip", sha256_prefix=sha256_prefix),),
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
    from depthzoo import networks
    from depthzoo.models.loading import check_options, load_weights
    from depthzoo.models.raft_stereo_runner import RAFTStereoModel

    check_options(card, options, OPTIONS)
    settings = {"iterations": card.settings["iterations"], **options}
    network = networks.create(str(card.network))
    model = RAFTStereoModel(card, network, device=device, precision=precision, **settings)
    model.weights_sha256 = load_weights(card, network, weights)
    return model
