"""Errors over time: change of the error between frames, with and without following the motion.

"Temporal consistency" means several things; each has its own name here:

========================  =====================================================================
`dynamic_stereo_metrics`  TEPE of DynamicStereo: same pixel in both frames, its way of counting
`sequence_metrics`        the same errors, counted over all valid pixels
`flow_tepe`               change of the error of a surface point, followed by the true flow
`opw`                     difference of the prediction to the next one along flow, no truth,
                          weighted by how well the images agree
`rtc`                     share of points whose prediction changes by less than a factor along flow
`tae`                     difference of a depth to the next one after moving it by the camera
========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    Array,
    booleans,
    double,
    like,
    numbers,
    same_shape,
    together,
    whole,
)
from depthzoo.evaluation.metrics.resampling import follow_flow

__all__ = [
    "BAD",
    "average_sequences",
    "dynamic_stereo_metrics",
    "flow_tepe",
    "opw",
    "rtc",
    "sequence_metrics",
    "tae",
]

BAD = (0.5, 1, 2, 3)
"""Thresholds (px) of bad-k."""


def dynamic_stereo_metrics(prediction: Any, truth: Any, mask: Any) -> dict[str, float]:
    """Return DynamicStereo's EPE, TEPE and their bad-k of one sequence, counted as it counts.

    With x, y = prediction, truth where ``mask > 0.5``, else 0 (NaN of y becomes 0, NaN of x
    stays), and m the mask: EPE map ``sqrt(m (x - y)²)``; TEPE map ``sqrt(m[t] m[t+1] ((x[t] -
    x[t+1]) - (y[t] - y[t+1]))²)`` at the same pixel of both frames, without motion compensation.
    The divisor is the number of pixels whose error is NOT ZERO, over the whole sequence: a
    perfect pixel is not counted, so the mean is too large; `sequence_metrics` counts it.

    Parameters
    ----------
    prediction, truth, mask : (T, 1, H, W) or (T, H, W)
        Disparity in pixels; the prediction as the model gave it (it is multiplied by the rounded
        mask first), the absolute value of the truth.

    Returns
    -------
    dict
        ``disp_epe_mean`` (px), ``disp_epe_bad_0.5px`` .. ``3px`` (percent), ``disp_temp_epe_mean``,
        ``disp_temp_epe_bad_*px``. In the paper: TEPE = disp_temp_epe_mean, δ_kpx =
        disp_epe_bad_kpx, δt_kpx = disp_temp_epe_bad_kpx. No error anywhere: zeros.

    Notes
    -----
    Source: dynamic_stereo, ``evaluation/utils/eval_utils.py`` (Karaev et al. 2023).

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.full((2, 1, 1, 2), 10.0)
    >>> shown = truth + [[[[0.0, 1.0]]], [[[0.0, 3.0]]]]  # one of the two pixels is perfect
    >>> found = dynamic_stereo_metrics(shown, truth, np.ones_like(truth))
    >>> found["disp_epe_mean"], found["disp_temp_epe_mean"], found["disp_epe_bad_1px"]
    (2.0, 2.0, 50.0)
    """
    xp, (x, y, m) = together(prediction, truth, mask)
    same_shape(prediction=x, truth=y, mask=m)
    x, y, m = double(x), double(y), double(m)
    with np.errstate(invalid="ignore"):
        counted = double(m > 0.5)
        x = x * xp.round(m) * counted
        y = y * counted
        y = xp.where(xp.isnan(y), xp.zeros_like(y), y)
        static = xp.sqrt(m * (x - y) ** 2)
        moved = xp.sqrt(m[:-1] * m[1:] * ((x[:-1] - x[1:]) - (y[:-1] - y[1:])) ** 2)
    return {
        **_named("disp_epe", static, (static != 0).sum()),
        **_named("disp_temp_epe", moved, (moved != 0).sum()),
    }


def sequence_metrics(prediction: Any, truth: Any, valid: Any) -> dict[str, float]:
    """Return the errors of `dynamic_stereo_metrics`, counted over all valid pixels.

    Parameters
    ----------
    prediction, truth, valid : (T, 1, H, W) or (T, H, W)
        Disparity in pixels; a valid pixel needs a finite truth and prediction too.

    Returns
    -------
    dict
        The same names, and ``pixels``, ``temp_pixels``, ``missing`` (valid truth without
        prediction). No pixels: NaN.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.full((2, 1, 1, 2), 10.0)
    >>> shown = truth + [[[[0.0, 1.0]]], [[[0.0, 3.0]]]]
    >>> found = sequence_metrics(shown, truth, np.ones_like(truth))
    >>> found["disp_epe_mean"], found["disp_temp_epe_mean"], found["disp_epe_bad_1px"]
    (1.0, 1.0, 25.0)
    """
    xp, (x, y, v) = together(prediction, truth, valid)
    same_shape(prediction=x, truth=y, valid=v)
    counts = booleans(v) & xp.isfinite(y)
    scored = counts & xp.isfinite(x)
    error = xp.where(scored, double(x) - double(y), xp.zeros_like(double(x)))
    both = scored[:-1] & scored[1:]
    static, moved = abs(error[scored]), abs((error[:-1] - error[1:])[both])
    sizes = numbers([scored.sum(), both.sum(), counts.sum()])
    return {
        **_named("disp_epe", static, scored.sum(), empty=float("nan")),
        **_named("disp_temp_epe", moved, both.sum(), empty=float("nan")),
        "pixels": sizes[0],
        "temp_pixels": sizes[1],
        "missing": sizes[2] - sizes[0],
    }


def _named(name: str, errors: Array, count: Any, *, empty: float = 0.0) -> dict[str, float]:
    sums = numbers([count, errors.sum(), *((errors > k).sum() for k in BAD)])
    n = sums[0]
    mean, *bad = (total / n if n else empty for total in sums[1:])
    return {f"{name}_mean": mean} | {
        f"{name}_bad_{k}px": 100 * share for k, share in zip(BAD, bad, strict=True)
    }


def average_sequences(
    sequences: Sequence[Mapping[str, float]], frames: Sequence[int]
) -> dict[str, float]:
    """Return the mean of every measure over sequences, weighted by their numbers of frames.

    DynamicStereo weights the temporal measures by T too (not by T-1).

    >>> average_sequences([{"a": 1.0}, {"a": 4.0}], [2, 1])
    {'a': 2.0}
    """
    total = sum(frames)
    if not total:
        raise UsageError("no frames to average over")
    return {
        name: sum(s[name] * n for s, n in zip(sequences, frames, strict=True)) / total
        for name in sequences[0]
    }


def flow_tepe(prediction: Any, truth: Any, flow: Any, valid: Any = None) -> dict[str, float]:
    """Return by how much the error of a surface point changes to the next frame.

    Like TEPE, but the point is followed by the true flow instead of staying at its pixel: a
    prediction whose error moves with the surface scores 0.

    Parameters
    ----------
    prediction, truth : (T, H, W) float
        Disparity (px) or depth (m).
    flow : (T-1, 2, H, W) float
        Forward flow (px), NaN where unknown.
    valid : (T-1, H, W) bool, optional
        Pixels of frame t that count, such as those not occluded in t+1.

    Returns
    -------
    dict
        ``mean``, ``bad_*`` (percent) and ``pixels``.

    Notes
    -----
    The motion-compensated form, as in CODD (Li et al. 2023, arXiv 2111.09337), whose error is
    taken along the flow.
    """
    xp, (x, y, f, v) = together(prediction, truth, flow, valid)
    same_shape(prediction=x, truth=y)
    error = double(x) - double(y)
    changes = []
    for t in range(len(f)):
        later, inside = follow_flow(error[t + 1], f[t])
        change = abs(later - error[t])
        keep = inside & xp.isfinite(change)
        changes.append(change[keep if v is None else keep & booleans(v[t])])
    every = xp.concatenate(changes)
    found = _named("epe", every, every.shape[0], empty=float("nan"))
    return {key.removeprefix("epe_"): value for key, value in found.items()} | {
        "pixels": float(every.shape[0])
    }


def opw(
    prediction: Any, flow: Any, images: Any = None, valid: Any = None, *, alpha: float = 50.0
) -> dict[str, float]:
    """Return the optical-flow-based warping error of a prediction (needs no truth).

    Mean over pairs of frames of ``mean(w |D[t] - D[t+1] followed by flow|)`` over the pixels that
    the flow keeps inside; ``w = exp(-alpha |I[t] - I[t+1] followed|²)`` with the squared
    difference summed over channels in 0..1, or 1 without images.

    Parameters
    ----------
    prediction : (T, H, W) float
        Depth or disparity.
    flow : (T-1, 2, H, W) float
        Forward flow (px).
    images : (T, C, H, W) float, optional
        In 0..1.
    valid : (T-1, H, W) bool, optional
        Pixels that count.

    Returns
    -------
    dict
        ``opw`` and ``pairs``.

    Notes
    -----
    The weight is that of Lai et al. 2018 (arXiv 1808.00449); the name follows FMNet (Wang et al.
    2022) and NVDS (Wang et al. 2023), whose normalisations of depth differ: normalise before.
    """
    xp, (d, f, pictures, v) = together(prediction, flow, images, valid)
    d = double(d)
    means = []
    for t in range(len(f)):
        later, inside = follow_flow(d[t + 1], f[t])
        change = abs(later - d[t])
        keep = inside & xp.isfinite(change)
        if v is not None:
            keep &= booleans(v[t])
        weight = xp.ones_like(change)
        if pictures is not None:
            shown, _ = follow_flow(pictures[t + 1], f[t])
            weight = xp.exp(-alpha * ((shown - double(pictures[t])) ** 2).sum(0))
        if bool(keep.any()):
            means.append((weight * change)[keep].mean())
    values = numbers(means)
    mean = sum(values) / len(values) if values else float("nan")
    return {"opw": mean, "pairs": float(len(values))}


def rtc(prediction: Any, flow: Any, valid: Any = None, *, factor: float = 1.01) -> float:
    """Return the share of points whose prediction changes by less than a factor along flow.

    Mean over pairs of frames of the share of pixels with ``max(a/b, b/a) < factor``, where b is
    the next prediction followed by flow (relative temporal consistency; arguments as in `opw`).
    """
    xp, (d, f, v) = together(prediction, flow, valid)
    d = double(d)
    shares = []
    for t in range(len(f)):
        later, inside = follow_flow(d[t + 1], f[t])
        keep = inside & xp.isfinite(later) & xp.isfinite(d[t])
        if v is not None:
            keep &= booleans(v[t])
        a, b = d[t][keep], later[keep]
        if a.shape[0]:
            shares.append(double(xp.maximum(a / b, b / a) < factor).mean())
    values = numbers(shares)
    return sum(values) / len(values) if values else float("nan")


def tae(depth: Any, intrinsics: Any, poses: Any, valid: Any = None) -> dict[str, float]:
    """Return the temporal alignment error: a depth against the next, moved by the camera.

    Every pixel of frame t is lifted, moved to the camera of t+1 and compared with the depth
    predicted at the nearest pixel there, ``|z - D| / D``; the same backwards; the mean of both
    over the pairs. Moving objects and occluded points count unless `valid` leaves them out.

    Parameters
    ----------
    depth : (T, H, W) float
        Predicted depth; NaN or <= 0 is none.
    intrinsics : (3, 3)
        Pixels of this size, centres at integers.
    poses : (T, 4, 4)
        T_world_cam, in the units of the depth.
    valid : (T, H, W) bool, optional
        Pixels that may be lifted.

    Returns
    -------
    dict
        ``tae`` (ratio) and ``pairs``.

    Notes
    -----
    The measure of Depth Any Video (Yang et al. 2024) and Video Depth Anything (Chen et al. 2025),
    without their factor 100.
    """
    xp, (d, k, p, v) = together(depth, intrinsics, poses, valid)
    d, k, p = double(d), double(k), double(p)
    frames, height, width = d.shape
    x = like(range(width), d) + xp.zeros_like(d[0])
    y = like(range(height), d)[:, None] + xp.zeros_like(d[0])
    rays = xp.linalg.inv(k) @ xp.stack([x, y, xp.ones_like(x)]).reshape(3, -1)
    inverse = xp.linalg.inv(p)
    found = []
    for t in range(frames - 1):
        sides = []
        for a, b in ((t, t + 1), (t + 1, t)):
            keep = xp.isfinite(d[a]) & (d[a] > 0)
            if v is not None:
                keep &= booleans(v[a])
            keep = keep.reshape(-1)
            move = inverse[b] @ p[a]
            points = move[:3, :3] @ (rays[:, keep] * d[a].reshape(-1)[keep]) + move[:3, 3:]
            points = points[:, points[2] > 0]
            seen = k @ points
            column, row = xp.round(seen[0] / seen[2]), xp.round(seen[1] / seen[2])
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            there = d[b][whole(row[inside]), whole(column[inside])]
            known = xp.isfinite(there) & (there > 0)
            if bool(known.any()):
                gap = abs(points[2][inside][known] - there[known])
                sides.append((gap / there[known]).mean())
        if len(sides) == 2:
            found.append((sides[0] + sides[1]) / 2)
    values = numbers(found)
    mean = sum(values) / len(values) if values else float("nan")
    return {"tae": mean, "pairs": float(len(values))}
