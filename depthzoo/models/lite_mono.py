"""Lite-Mono: the published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.monocular import MonocularModel

__all__ = ["CARDS", "load"]

OPTIONS = ("size", "batch_size", "channels_last")
_HOME = "https://github.com/noahzn/Lite-Mono"
_SHARE = "https://surfdrive.surf.nl/files/index.php/s/"
_METRICS = ("Abs Rel", "Sq Rel", "RMSE", "RMSE log", "a1", "a2", "a3")
_UNITS = ("", "m", "m", "", "", "", "")
_PROFILED = ("*total_ops", "*total_params")  # counters that a profiler leaves in a state dict


def _card(
    variant: str, size: tuple[int, int], share: str | None = None, numbers: tuple[float, ...] = ()
) -> Card:
    height, width = size
    title = "Lite-Mono" if variant == "base" else f"Lite-Mono-{variant}"
    url = _SHARE + share if share else _HOME
    return Card(
        name=f"lite_mono/{variant}_{width}x{height}",
        family="lite_mono",
        title=f"{title}, {width} x {height}",
        licence="MIT",
        paper="https://arxiv.org/abs/2211.13202",
        homepage=_HOME,
        needs=Needs(),
        gives=("depth",),
        invariance="scale",
        weights=tuple(
            WeightsFile(f"{part}.pth", url, prefix=f"{part}.", ignore=_PROFILED)
            for part in ("encoder", "depth")
        ),
        trained_on=("KITTI (Eigen, Zhou)",),
        numbers=tuple(
            PublishedNumber("KITTI (Eigen)", metric, value, unit, "authors' README")
            for metric, unit, value in zip(_METRICS, _UNITS, numbers, strict=False)
        ),
        network="lite_mono",
        settings={"size": size, "variant": variant, "trained_width": width},
    )


CARDS = (
    _card("base", (192, 640), "CUjiK221EFLyXDY", (0.107, 0.765, 4.561, 0.183, 0.886, 0.963, 0.983)),
    _card("8m", (192, 640), "UlkVBi1p99NFWWI", (0.101, 0.729, 4.454, 0.178, 0.897, 0.965, 0.983)),
    _card("small", (192, 640)),
    _card("tiny", (192, 640)),
    _card(
        "base", (320, 1024), "IK3VtPj6b5FkVnl", (0.102, 0.746, 4.444, 0.179, 0.896, 0.963, 0.983)
    ),
    _card("8m", (320, 1024), "mgonNFAvoEJmMas", (0.097, 0.710, 4.309, 0.174, 0.905, 0.967, 0.984)),
    _card("small", (320, 1024)),
    _card("tiny", (320, 1024)),
)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> MonocularModel:
    """Load a checkpoint.

    Parameters
    ----------
    card : Card
        One of `CARDS`.
    device, precision, weights
        As in `depthzoo.load`; `weights` is the folder that holds ``encoder.pth``, ``depth.pth``.
    **options
        ``size``, ``batch_size``, ``channels_last``; see `MonocularModel`.
    """
    from depthzoo.models.loading import check_options, combined_digest, load_checkpoints
    from depthzoo.models.monocular import MonocularModel, warn_of_other_size
    from depthzoo.networks.lite_mono import LiteMono

    check_options(card, options, OPTIONS)
    settings = card.settings
    network = LiteMono(variant=settings["variant"], trained_width=settings["trained_width"])
    model = MonocularModel(card, network, device=device, precision=precision, **options)
    checkpoints = load_checkpoints(card, network, weights)
    warn_of_other_size(card, model.size, checkpoints)
    model.weights_sha256 = combined_digest(checkpoints)
    return model
