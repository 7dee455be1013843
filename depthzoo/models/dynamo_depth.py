"""Dynamo-Depth: the published checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.dynamo_depth_runner import DynamoDepthModel

__all__ = ["CARDS", "load"]

OPTIONS = ("size", "batch_size", "channels_last", "outputs")
_DRIVE = "https://drive.google.com/uc?id="
_FORM = "https://forms.gle/nRezg2gr7QDXJGcA9"
_METRICS = ("Abs Rel", "Sq Rel", "RMSE", "RMSE log", "a1", "a2", "a3")
_UNITS = ("", "m", "m", "", "", "", "")
_FILES = {
    "depth": ("depth_enc", "depth_dec"),
    "pose": ("pose_enc", "pose_dec"),
    "motion": ("motion_enc", "motion_dec", "motion_mask"),
}
# pose_dec.pth holds each tensor twice; the numbered ones take effect
_IGNORED = {"pose_dec": ("squeeze.*", "pose[0-2].*")}

_SIZES = {"kitti": (192, 640), "nuscenes": (288, 512), "waymo": (320, 480)}
_TITLES = {"kitti": "KITTI", "nuscenes": "nuScenes", "waymo": "Waymo Open"}
_KITTI_INTRINSICS = (0.58, 1.92, 0.5, 0.5)  # fx / width, fy / height, cx / width, cy / height


def _card(dataset: str, depth_model: str, drive: str | None, *numbers: float) -> Card:
    published = f"{dataset[0].upper()}_Dynamo-Depth"
    published += "_MD2" if depth_model == "monodepthv2" else ""
    tag = dataset if depth_model == "litemono" else f"{dataset}_md2"
    licence = "MIT"
    settings: dict[str, Any] = {"size": _SIZES[dataset], "depth_model": depth_model}
    notes = [f"Published as {published}."]
    if dataset == "kitti":
        settings["intrinsics"] = _KITTI_INTRINSICS
        notes.append("Trained with the same intrinsics for every drive; flows are of these.")
    elif dataset == "nuscenes":
        settings["median_step_ns"] = 100_000_000
        notes.append("Motion is by the time between frames, whose median is 0.1 s.")
    else:
        licence = "Waymo Open Dataset licence, non-commercial (the code is MIT)"
        notes.append("Its authors send the weights after a form.")
    return Card(
        name=f"dynamo_depth/{tag}",
        family="dynamo_depth",
        title=f"Dynamo-Depth, {_TITLES[dataset]}"
        + (", Monodepth2's depth network" if depth_model == "monodepthv2" else ""),
        licence=licence,
        paper="https://arxiv.org/abs/2310.18887",
        homepage="https://github.com/YihongSun/Dynamo-Depth",
        needs=Needs(),
        gives=("depth", "pose", "flow", "motion_mask"),
        invariance="scale",
        weights=tuple(
            WeightsFile(
                f"{part}.pth",
                _DRIVE + drive if drive else _FORM,
                f"{published}.zip",
                prefix=f"{part}.",
                ignore=_IGNORED.get(part, ()),
            )
            for parts in _FILES.values()
            for part in parts
        ),
        trained_on=(_TITLES[dataset],),
        numbers=tuple(
            PublishedNumber(_TITLES[dataset], metric, value, unit, "authors' README")
            for metric, unit, value in zip(_METRICS, _UNITS, numbers, strict=True)
        ),
        network="dynamo_depth",
        settings=settings,
        notes=tuple(notes),
    )


CARDS = (
    _card(
        *("kitti", "litemono", "1b1kwxqUquFbSMU9WLAr6_pIbj1HxoWLJ"),
        *(0.112, 0.768, 4.528, 0.184, 0.874, 0.961, 0.984),
    ),
    _card(
        *("kitti", "monodepthv2", "1SLQcCQplfAtqeWUD4TQc42aGpevViTGX"),
        *(0.120, 0.864, 4.850, 0.195, 0.858, 0.956, 0.982),
    ),
    _card(
        *("nuscenes", "litemono", "1oqQVFyGxo_SxclpinrBlwGSE1gEfVAZY"),
        *(0.179, 2.118, 7.050, 0.271, 0.787, 0.896, 0.940),
    ),
    _card(
        *("nuscenes", "monodepthv2", "1t0Z_2hD0raAi4vDK_VZFXIcwcTFx0elU"),
        *(0.193, 2.285, 7.357, 0.287, 0.765, 0.885, 0.935),
    ),
    _card(
        *("waymo", "litemono", None),
        *(0.121, 1.216, 6.003, 0.176, 0.861, 0.962, 0.986),
    ),
    _card(
        *("waymo", "monodepthv2", None),
        *(0.137, 1.502, 6.582, 0.194, 0.833, 0.951, 0.982),
    ),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> DynamoDepthModel:
    """Load a checkpoint; of its seven files those that the wanted outputs need.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`; `weights` is the archive, or the folder that it unpacks to.
    **options
        ``size``, ``batch_size``, ``channels_last``, ``outputs``; see `DynamoDepthModel`.
    """
    from depthzoo.models.dynamo_depth_runner import DynamoDepthModel, parts_of
    from depthzoo.models.loading import check_options, combined_digest, load_checkpoints
    from depthzoo.models.monocular import wanted_outputs, warn_of_other_size
    from depthzoo.networks.dynamo_depth import DynamoDepth

    check_options(card, options, OPTIONS)
    parts = parts_of(wanted_outputs(card, options.get("outputs")))
    network = DynamoDepth(depth_model=card.settings["depth_model"], parts=parts)
    model = DynamoDepthModel(card, network, device=device, precision=precision, **options)
    wanted = {f"{name}.pth" for part in parts for name in _FILES[part]}
    files = tuple(file for file in card.weights if file.file in wanted)
    checkpoints = load_checkpoints(replace(card, weights=files), network, weights)
    warn_of_other_size(card, model.size, checkpoints)
    model.weights_sha256 = combined_digest(checkpoints)
    return model
