"""Monodepth2: the published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.monodepth2_runner import Monodepth2Model

__all__ = ["CARDS", "load"]

OPTIONS = ("size", "batch_size", "channels_last", "outputs")
_URL = "https://storage.googleapis.com/niantic-lon-static/research/monodepth2/"


def _card(tag: str, archive_md5: str, numbers: tuple[PublishedNumber, ...] = ()) -> Card:
    supervision = tag.partition("_")[0]
    width, height = map(int, tag.rpartition("_")[2].split("x"))
    archive = f"{tag}.zip"
    pose = "mono" in supervision
    parts = ("encoder", "depth", *(("pose_encoder", "pose") if pose else ()))
    notes = ("The encoder was not pretrained on ImageNet.",) if "_no_pt_" in tag else ()
    return Card(
        name=f"monodepth2/{tag}",
        family="monodepth2",
        title=f"Monodepth2, {tag.replace('_', ' ')}",
        licence="Niantic: non-commercial use only; a patent is pending",
        paper="https://arxiv.org/abs/1806.01260",
        homepage="https://github.com/nianticlabs/monodepth2",
        needs=Needs(),
        gives=("depth", "pose") if pose else ("depth",),
        invariance="scale",
        weights=tuple(
            WeightsFile(
                f"{part}.pth",
                _URL + archive.replace("+", "%2B"),
                archive,
                archive_md5=archive_md5,
                prefix=f"{part}.",
            )
            for part in parts
        ),
        trained_on=("KITTI (Eigen, Zhou)",),
        numbers=numbers,
        network="monodepth2",
        settings={"size": (height, width), "pose": pose},
        notes=notes,
    )


CARDS = (
    _card(
        "mono_640x192",
        "a964b8356e08a02d009609d9e3928f7c",
        (PublishedNumber("KITTI (Eigen)", "Abs Rel", 0.115, "", "authors' README"),),
    ),
    _card("stereo_640x192", "3dfb76bcff0786e4ec07ac00f658dd07"),
    _card("mono+stereo_640x192", "c024d69012485ed05d7eaa9617a96b81"),
    _card("mono_1024x320", "0ab0766efdfeea89a0d9ea8ba90e1e63"),
    _card("stereo_1024x320", "afc2f2126d70cf3fdf26b550898b501a"),
    _card("mono+stereo_1024x320", "cdc5fc9b23513c07d5b19235d9ef08f7"),
    _card("mono_no_pt_640x192", "9c2f071e35027c895a4728358ffc913a"),
    _card("stereo_no_pt_640x192", "41ec2de112905f85541ac33a854742d1"),
    _card("mono+stereo_no_pt_640x192", "46c3b824f541d143a45c37df65fbab0a"),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> Monodepth2Model:
    """Load a checkpoint.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`; `weights` is the archive, or the folder that it unpacks to.
    **options
        ``size``, ``batch_size``, ``channels_last``, ``outputs``; see `Monodepth2Model`.
    """
    from depthzoo.models.loading import check_options, combined_digest, load_checkpoints
    from depthzoo.models.monocular import warn_of_other_size
    from depthzoo.models.monodepth2_runner import Monodepth2Model
    from depthzoo.networks.monodepth2 import Monodepth2

    check_options(card, options, OPTIONS)
    network = Monodepth2(pose=card.settings["pose"])
    model = Monodepth2Model(card, network, device=device, precision=precision, **options)
    checkpoints = load_checkpoints(card, network, weights)
    warn_of_other_size(card, model.size, checkpoints)
    model.weights_sha256 = combined_digest(checkpoints)
    return model
