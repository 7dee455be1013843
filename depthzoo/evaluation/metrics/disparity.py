"""Disparity of a stereo pair: EPE, bad-k, D1 by its two definitions, what training watches.

>>> disparity_metrics([14.0, 20.0], [10.0, 20.0])["d1_all"]
50.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    booleans,
    double,
    flat_indices,
    numbers,
    same_shape,
    together,
)
from depthzoo.evaluation.metrics.depth import measure_given
from depthzoo.evaluation.metrics.measure import Errors, Metric

__all__ = [
    "DISPARITY",
    "DISPARITY_METRICS",
    "average_raft_stereo",
    "d1_official",
    "d1_raft_stereo",
    "disparity_metrics",
    "raft_stereo_image",
    "sequence_loss",
    "training_disparity_metrics",
]

_MIDDLEBURY = "Middlebury stereo evaluation (Scharstein and Szeliski 2002)"
_KITTI = "KITTI stereo 2015 (Menze and Geiger 2015)"


def _beyond(threshold: float) -> Any:
    return lambda e: e.absolute > threshold


def _d1(errors: Errors) -> Any:
    return (errors.absolute > 3.0) & (errors.absolute > 0.05 * abs(errors.truth))


DISPARITY: Mapping[str, Metric] = {
    m.name: m
    for m in [
        Metric("epe", "EPE", "px", True, lambda e: e.absolute, _MIDDLEBURY),
        *(
            Metric(f"bad_{k}", f"bad {k}", "%", True, _beyond(float(k)), _MIDDLEBURY, factor=100.0)
            for k in (0.5, 1, 2, 3)
        ),
        Metric("d1_all", "D1-all", "%", True, _d1, _KITTI, factor=100.0),
        Metric(
            "d1_all_or_missing",
            "D1-all or missing",
            "%",
            True,
            _d1,
            _KITTI + "; a pixel without prediction counts as wrong",
            factor=100.0,
            missing=1.0,
        ),
    ]
}
"""Measures of disparity by name: mean |error|, percentage with |error| > k px, percentage with
|error| > 3 px and > 5 % of the truth."""

DISPARITY_METRICS: tuple[str, ...] = tuple(DISPARITY)


def disparity_metrics(prediction: Any, truth: Any, valid: Any = None) -> dict[str, Any]:
    """Return the disparity measures and the number of pixels behind them.

    Parameters
    ----------
    prediction, truth : array of float
        Disparity in pixels, same shape; NumPy or torch.
    valid : array of bool, optional
        The pixels whose truth counts; by default those with a finite positive truth.
        Among them, pixels without a finite prediction are ``missing``.

    Returns
    -------
    dict
        ``epe`` (px), ``bad_k`` (percent with error > k px), ``d1_all`` (percent with error
        > 3 px and > 5 % of the truth), ``d1_all_or_missing``, ``pixels`` and ``missing``.
    """
    xp, (p, g, v) = together(prediction, truth, valid)
    same_shape(prediction=p, truth=g, valid=v)
    counts = (g > 0) & xp.isfinite(g) if v is None else booleans(v)
    picked = flat_indices(counts)
    p, g = p.reshape(-1)[picked], g.reshape(-1)[picked]
    return measure_given(DISPARITY, p, g, xp.isfinite(p))


def d1_official(prediction: Any, truth: Any, valid: Any = None) -> float:
    """Return KITTI's D1-all: percentage with an error > 3 px AND > 5 % of the truth.

    >>> d1_official([104.0, 14.0], [100.0, 10.0])  # 4 px are 4 % and 40 %
    50.0
    """
    return float(disparity_metrics(prediction, truth, valid)["d1_all"])


def d1_raft_stereo(prediction: Any, truth: Any, valid: Any = None, *, limit: float = 3.0) -> float:
    """Return what RAFT-Stereo calls D1: percentage with an error > `limit` px, no 5 % rule.

    >>> d1_raft_stereo([104.0, 14.0], [100.0, 10.0])
    100.0
    """
    return raft_stereo_image(prediction, truth, valid, limit=limit)["d1"]


def raft_stereo_image(
    prediction: Any, truth: Any, valid: Any = None, *, limit: float = 1.0
) -> dict[str, float]:
    """Return EPE and "D1" of one image as RAFT-Stereo's evaluation takes them.

    Parameters
    ----------
    prediction, truth : array of float
        Disparity in pixels (both may be negated, as the reference's flow).
    valid : array of bool, optional
        The pixels that count; by default those with a finite truth. The reference takes: ETH3D
        truth < 512; KITTI truth > 0; FlyingThings3D truth < 192 (the flow's limit of 512 then
        never acts); Middlebury every finite truth, occluded or not (its mask test is always
        true).
    limit : float
        Pixels above which an error is bad: 1 (ETH3D, FlyingThings3D), 2 (Middlebury), 3 (KITTI).

    Returns
    -------
    dict
        ``epe`` (px), ``d1`` (percent), ``pixels``; NaN without pixels, as in the reference.
    """
    xp, (p, g, v) = together(prediction, truth, valid)
    same_shape(prediction=p, truth=g, valid=v)
    picked = flat_indices(xp.isfinite(g) if v is None else booleans(v))
    errors = Errors(p.reshape(-1)[picked], g.reshape(-1)[picked])
    n = len(errors)
    total, bad = numbers([errors.absolute.sum(), (errors.absolute > limit).sum()])
    nothing = float("nan")
    return {
        "epe": total / n if n else nothing,
        "d1": 100.0 * bad / n if n else nothing,
        "pixels": float(n),
    }


def average_raft_stereo(images: Sequence[Mapping[str, float]], *, pooled: bool) -> dict[str, float]:
    """Return RAFT-Stereo's averages over images.

    Parameters
    ----------
    images : Sequence[Mapping[str, float]]
        What `raft_stereo_image` gave.
    pooled : bool
        D1 over all pixels together (KITTI, FlyingThings3D), else mean over images (ETH3D,
        Middlebury). EPE is always the mean over images; one without pixels makes it NaN.

    Examples
    --------
    >>> one, two = {"epe": 1.0, "d1": 0.0, "pixels": 30}, {"epe": 2.0, "d1": 40.0, "pixels": 10}
    >>> average_raft_stereo([one, two], pooled=True)
    {'epe': 1.5, 'd1': 10.0}
    """
    if not images:
        return {"epe": float("nan"), "d1": float("nan")}
    epe = sum(image["epe"] for image in images) / len(images)
    if not pooled:
        return {"epe": epe, "d1": sum(image["d1"] for image in images) / len(images)}
    bad = sum(image["d1"] * image["pixels"] for image in images if image["pixels"])
    pixels = sum(image["pixels"] for image in images)
    return {"epe": epe, "d1": bad / pixels if pixels else float("nan")}


def training_disparity_metrics(
    prediction: Any, truth: Any, valid: Any, *, limit: float = 700.0
) -> dict[str, float]:
    """Return what RAFT-Stereo and DynamicStereo report while they train.

    Pooled over the pixels with ``valid >= 0.5`` and ``|truth| < limit``.

    Parameters
    ----------
    prediction, truth : (..., 1, H, W) or (..., H, W) float
        Disparity or x-flow in pixels.
    valid : array
        With as many values.

    Returns
    -------
    dict
        ``epe`` (px) and ``1px``, ``3px``, ``5px``: the shares of GOOD pixels (error < k), 0..1.

    Examples
    --------
    >>> training_disparity_metrics([[0.0, 2.0]], [[0.0, 0.0]], [[1, 1]])
    {'epe': 1.0, '1px': 0.5, '3px': 1.0, '5px': 1.0}
    """
    p, g = _training_pixels(prediction, truth, valid, limit)
    errors = Errors(p, g)
    shares = [(errors.absolute < k).sum() for k in (1, 3, 5)]
    sums = numbers([errors.absolute.sum(), *shares])
    n = len(errors)
    means = [total / n if n else float("nan") for total in sums]
    return dict(zip(("epe", "1px", "3px", "5px"), means, strict=True))


def sequence_loss(
    predictions: Any,
    truth: Any,
    valid: Any,
    *,
    gamma: float = 0.9,
    limit: float = 700.0,
    single: str = "dynamic_stereo",
) -> float:
    """Return the value of the loss of RAFT-Stereo and DynamicStereo (no gradient).

    ``sum_i w_i mean|p_i - g|`` over the pixels of `training_disparity_metrics`, with
    ``w_i = (gamma ** (15 / (n - 1))) ** (n - 1 - i)``.

    Parameters
    ----------
    predictions : (n, B, 1, H, W) float
        x-flow of every iteration, in order.
    truth, valid : (B, 1, H, W), (B, H, W)
        x-flow (= -disparity) and its validity.
    single : str
        A single prediction has weight 1 in ``"dynamic_stereo"``; ``"raft_stereo"`` divides by
        zero, here a ZeroDivisionError.

    Raises
    ------
    UsageError
        A prediction that is not finite, or an infinite truth that counts.
    """
    n = len(predictions)
    if n == 1 and single == "raft_stereo":
        raise ZeroDivisionError("RAFT-Stereo's loss of a single prediction is not defined")
    decay = gamma ** (15 / (n - 1)) if n > 1 else 1.0
    means = []
    for one in predictions:
        p, g = _training_pixels(one, truth, valid, limit)
        xp, (whole, given) = together(one, p)
        if not bool(xp.isfinite(whole).all()) or bool(xp.isinf(g).any()):
            raise UsageError("the loss needs finite predictions, and finite truth where it counts")
        means.append(abs(double(given) - double(g)).mean())
    return sum(decay ** (n - 1 - i) * value for i, value in enumerate(numbers(means)))


def _training_pixels(prediction: Any, truth: Any, valid: Any, limit: float) -> tuple[Any, Any]:
    _, (p, g, v) = together(prediction, truth, valid)
    same_shape(prediction=p, truth=g)
    g, v = g.reshape(-1), v.reshape(-1)
    same_shape(truth=g, valid=v)
    picked = flat_indices((v >= 0.5) & (abs(g) < limit))
    return p.reshape(-1)[picked], g[picked]
