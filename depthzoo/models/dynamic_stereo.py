"""DynamicStereo: the two published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.dynamic_stereo_runner import DynamicStereoModel

__all__ = ["CARDS", "load"]

_URL = "https://dl.fbaipublicfiles.com/dynamic_replica_v1/"
OPTIONS = (
    "iterations",
    "window",
    "reference_windows",
    "correlation",
    "memory_budget",
    "channels_last",
)
# the files hold tensors of an earlier architecture, which the network does not have
_LEFT_OVER = ("cross_att_fn.*", "conv_offset_*")


def _card(
    tag: str,
    title: str,
    trained_on: tuple[str, ...],
    numbers: tuple[PublishedNumber, ...] = (),
    notes: tuple[str, ...] = (),
) -> Card:
    file = f"dynamic_stereo_{tag}.pth"
    return Card(
        name=f"dynamic_stereo/{tag}",
        family="dynamic_stereo",
        title=title,
        licence="CC BY-NC 4.0 (the repository; its authors state no other for the weights)",
        paper="https://arxiv.org/abs/2305.02296",
        homepage="https://github.com/facebookresearch/dynamic_stereo",
        needs=Needs(views=("left", "right")),
        gives=("disparity",),
        invariance="disparity",
        weights=(WeightsFile(file, _URL + file, ignore=_LEFT_OVER),),
        trained_on=trained_on,
        numbers=numbers,
        network="dynamic_stereo",
        settings={"iterations": 20, "window": 20},
        notes=(
            "Predicts windows of frames together: give it whole sequences, not single frames.",
            "A video of fewer frames than a window is one window, all of it predicted; the "
            "authors' code drops its last frames (reference_windows=True does so too).",
            *notes,
        ),
    )


def _numbers(dataset: str, source: str, **values: tuple[float, str]) -> tuple[PublishedNumber, ...]:
    return tuple(
        PublishedNumber(dataset, metric, value, unit, source)
        for metric, (value, unit) in values.items()
    )


CARDS = (
    _card(
        "sf",
        "DynamicStereo, Scene Flow",
        ("Scene Flow",),
        numbers=_numbers(
            "Dynamic Replica test, first 150 frames",
            "a user's run in the authors' issue tracker (issue 11), whose setting they confirm",
            disp_epe_mean=(0.238692, "px"),
            **{"disp_epe_bad_0.5px": (8.04176, "%")},
            disp_epe_bad_1px=(3.39895, "%"),
            disp_epe_bad_2px=(1.49977, "%"),
            disp_epe_bad_3px=(0.96465, "%"),
            disp_temp_epe_mean=(0.082913, "px"),
            **{"disp_temp_epe_bad_0.5px": (1.52825, "%")},
            disp_temp_epe_bad_1px=(0.731156, "%"),
            disp_temp_epe_bad_2px=(0.363196, "%"),
            disp_temp_epe_bad_3px=(0.238875, "%"),
        ),
    ),
    _card(
        "dr_sf",
        "DynamicStereo, Dynamic Replica and Scene Flow",
        ("Dynamic Replica", "Scene Flow"),
        notes=("The one that its authors' programs use unless told otherwise.",),
    ),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> DynamicStereoModel:
    """Load a checkpoint.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`.
    **options
        ``iterations``, ``window`` (frames), ``reference_windows``, ``correlation`` (``auto``,
        ``reg`` or ``alt``), ``memory_budget`` (bytes), ``channels_last``; see
        `DynamicStereoModel`.
    """
    from depthzoo import networks
    from depthzoo.models.dynamic_stereo_runner import DynamicStereoModel
    from depthzoo.models.loading import check_options, load_weights

    check_options(card, options, OPTIONS)
    network = networks.create(str(card.network))
    settings = {**card.settings, **options}
    model = DynamicStereoModel(card, network, device=device, precision=precision, **settings)
    model.weights_sha256 = load_weights(card, network, weights)
    return model
