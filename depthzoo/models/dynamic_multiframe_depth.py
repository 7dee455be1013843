"""Dynamic-multiframe-depth: the two published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.dynamic_multiframe_runner import DynamicMultiframeModel

__all__ = ["CARDS", "load"]

OPTIONS = ("size", "offsets", "branch", "hypotheses_at_once", "channels_last")
_METRICS = ("Abs Rel", "Sq Rel", "RMSE", "RMSE log", "d1", "d2", "d3")
_UNITS = ("", "m", "m", "", "", "", "")
_DATASET = "KITTI odometry 00, 04, 05, 07"


def _numbers(region: str, values: tuple[float, ...]) -> tuple[PublishedNumber, ...]:
    return tuple(
        PublishedNumber(f"{_DATASET}{region}", metric, value, unit, "paper, unverified")
        for metric, unit, value in zip(_METRICS, _UNITS, values, strict=True)
    )


def _card(
    tag: str,
    title: str,
    file: str,
    drive: str,
    trained_on: tuple[str, ...],
    numbers: tuple[PublishedNumber, ...],
    notes: tuple[str, ...] = (),
    **options: Any,
) -> Card:
    return Card(
        name=f"dynamic_multiframe_depth/{tag}",
        family="dynamic_multiframe_depth",
        title=f"Dynamic-multiframe-depth, {title}",
        licence=(
            "MIT (the repository; none is stated for the weights, which were trained on KITTI, "
            "CC BY-NC-SA 3.0)"
        ),
        paper="https://arxiv.org/abs/2304.08993",
        homepage="https://github.com/ruili3/dynamic-multiframe-depth",
        needs=Needs(offsets=(-1, 0, 1), intrinsics=True, poses=True),
        gives=("depth",),
        invariance="metric",
        weights=(
            WeightsFile(
                file,
                f"https://drive.google.com/file/d/{drive}/view",
                # Beside the weights lies the whole configuration as objects of the training code.
                allow=("*",),
                ignore=("*.num_batches_tracked",),
            ),
        ),
        trained_on=trained_on,
        numbers=numbers,
        network="dynamic_multiframe_depth",
        settings={"size": (256, 512), "options": options},
        notes=(
            "Metric as far as the poses are; trained with poses of DVSO, which the pose set 'dvso' "
            "of KITTI odometry holds.",
            "Depths from 3.03 to 400 m.",
            "The middle of an image is cut to the shape of the training images; beside it nothing "
            "is predicted.",
            *notes,
        ),
    )


CARDS = (
    _card(
        "resnet18",
        "ResNet-18",
        "resnet18.pth",
        "1IhrBx3bj6H26UDxMNvRxF7xC0C9qqI1u",
        ("ImageNet (backbone, frozen)", "KITTI odometry 01, 02, 06, 08, 09, 10"),
        _numbers("", (0.043, 0.151, 2.113, 0.073, 0.975, 0.996, 0.999)),
        ("Its authors do not state the file's name; give the path of the file.",),
        backbone_type="resnet18",
    ),
    _card(
        "efficientnet_b5",
        "EfficientNet-B5",
        "mr_kitti_effib5.pth",
        "1jS1pbCKfYuuoawZ1nnejtGwQV3FhXGcg",
        ("ImageNet, AdvProp (backbone)", "KITTI odometry 01, 02, 06, 08, 09, 10"),
        (
            *_numbers("", (0.046, 0.155, 2.112, 0.076, 0.973, 0.996, 0.999)),
            *_numbers(", moving objects", (0.118, 0.835, 4.297, 0.146, 0.871, 0.975, 0.990)),
        ),
        backbone_type="efficientnetb5",
    ),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> DynamicMultiframeModel:
    """Load a checkpoint.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`.
    **options
        ``size``, ``offsets``, ``branch``, ``hypotheses_at_once``, ``channels_last``; see
        `DynamicMultiframeModel`.
    """
    from depthzoo.models.dynamic_multiframe_runner import DynamicMultiframeModel
    from depthzoo.models.loading import check_options, load_weights
    from depthzoo.networks.dynamic_multiframe_depth import DynamicMultiframeDepth

    check_options(card, options, OPTIONS)
    network = DynamicMultiframeDepth(**card.settings["options"])
    model = DynamicMultiframeModel(card, network, device=device, precision=precision, **options)
    model.weights_sha256 = load_weights(card, network, weights)
    return model
