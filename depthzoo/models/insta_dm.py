"""Insta-DM: the published checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.insta_dm_runner import InstaDMModel

__all__ = ["CARDS", "load"]

OPTIONS = ("size", "batch_size", "channels_last", "outputs", "max_objects")
_URL = "https://drive.google.com/drive/folders/1KLUF4MTkb85GWu8s5y0WVTKwGiE8gxC0"
_METRICS = (
    ("Abs Rel", ""),
    ("Sq Rel", "m"),
    ("RMSE", "m"),
    ("RMSE log", ""),
    ("d1", ""),
    ("d2", ""),
    ("d3", ""),
)
_POSE_NOTE = (
    "Poses are better with instance masks ('instances' in the sample, ids that persist): objects "
    "are blacked out for the ego-motion, and their own motion is predicted."
)


def _card(
    tag: str,
    title: str,
    folder: str,
    names: tuple[str, ...],
    trained_on: tuple[str, ...],
    values: tuple[float, ...] = (),
    notes: tuple[str, ...] = (),
) -> Card:
    parts = [name.split("_")[1] for name in names]
    gives = ("depth", "pose", "object_poses") if len(names) > 1 else ("depth",)
    return Card(
        name=f"insta_dm/{tag}",
        family="insta_dm",
        title=f"Insta-DM, {title}",
        licence=(
            "CC BY-NC 4.0 (the repository's LICENSE; its README says MIT); the encoder's code is "
            "Niantic's, non-commercial; none is stated for the weights"
        ),
        paper="https://arxiv.org/abs/2102.02629",
        homepage="https://github.com/SeokjuLee/Insta-DM",
        needs=Needs(),
        gives=gives,
        invariance="scale",
        weights=tuple(
            # The learnt height of objects is no part of a prediction; some files lack it.
            WeightsFile(name, _URL, prefix=f"{part}.", ignore=("obj_height_prior",))
            for name, part in zip(names, parts, strict=True)
        ),
        trained_on=trained_on,
        numbers=tuple(
            PublishedNumber("KITTI (Eigen)", metric, value, unit, "authors' README")
            for (metric, unit), value in zip(_METRICS, values, strict=False)
        ),
        network="insta_dm",
        settings={"size": (256, 832)},
        notes=(f"In the folder {folder} of the download.", *notes),
    )


CARDS = (
    _card(
        "kitti",
        "KITTI",
        "KITTI",
        ("resnet18_disp_kt.tar", "resnet18_ego_kt.tar", "resnet18_obj_kt.tar"),
        ("ImageNet", "KITTI raw with instance masks"),
        (0.112, 0.777, 4.772, 0.191, 0.872, 0.959, 0.982),
        (_POSE_NOTE,),
    ),
    _card(
        "cityscapes",
        "Cityscapes",
        "CS",
        ("resnet18_disp_cs.tar", "resnet18_ego_cs.tar", "resnet18_obj_cs.tar"),
        ("ImageNet", "Cityscapes with instance masks"),
        notes=(_POSE_NOTE, "Trained on the upper three quarters of the images."),
    ),
    _card(
        "cityscapes_kitti",
        "Cityscapes, then KITTI",
        "CS+KITTI",
        ("resnet18_disp_cs+kt.tar",),
        ("ImageNet", "Cityscapes with instance masks", "KITTI raw with instance masks"),
        (0.109, 0.740, 4.547, 0.184, 0.883, 0.962, 0.983),
    ),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> InstaDMModel:
    """Load a checkpoint; for depth alone, the file of the depth network is enough.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`; `weights` is the folder with the files.
    **options
        ``size``, ``batch_size``, ``channels_last``, ``outputs``, ``max_objects``; see
        `InstaDMModel`.
    """
    from depthzoo.models.insta_dm_runner import InstaDMModel
    from depthzoo.models.loading import check_options, load_weights
    from depthzoo.models.monocular import wanted_outputs
    from depthzoo.networks.insta_dm import PARTS, InstaDM

    check_options(card, options, OPTIONS)
    outputs = wanted_outputs(card, options.get("outputs"))
    wanted = PARTS if "object_poses" in outputs else PARTS[:2] if "pose" in outputs else PARTS[:1]
    network = InstaDM(parts=wanted)
    model = InstaDMModel(card, network, device=device, precision=precision, **options)
    files = tuple(file for file in card.weights if file.prefix[:-1] in wanted)
    model.weights_sha256 = load_weights(replace(card, weights=files), network, weights)
    return model
