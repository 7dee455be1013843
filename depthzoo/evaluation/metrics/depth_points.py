"""Depth against sparse rows (row, column, depth), as Dynamo-Depth measures it.

The prediction is a disparity map of the network's size; it is read only at the rows' pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from depthzoo.evaluation.metrics.arrays import Array, booleans, double, numbers, together, whole
from depthzoo.evaluation.metrics.depth import DEPTH, crop_bounds, median_scale
from depthzoo.evaluation.metrics.measure import Errors, finish_sums
from depthzoo.evaluation.metrics.resampling import read_resized

__all__ = [
    "DYNAMO_NAMES",
    "PointScore",
    "average_images",
    "average_labels",
    "format_dynamo_depth",
    "point_depth_metrics",
    "scaled_disparity",
]

DYNAMO_NAMES = ("de:abs_rel", "de:sq_rel", "de:rms", "de:log_rms", "da:a1", "da:a2", "da:a3")
"""Dynamo-Depth's names of the measures, in the order of its report."""

_LABELS = {"BG": 0, "STATIC": 2, "MOT": 1}


@dataclass(frozen=True)
class PointScore:
    """One image's measures.

    Parameters
    ----------
    values : dict
        `DYNAMO_NAMES` -> value over all rows that count (NaN without any).
    rows : int
        Rows that count.
    scale : float
        The median scaling.
    labels : dict
        Mask label -> (values over its rows, number of its rows), for labels that have rows.
    """

    values: dict[str, float]
    rows: int
    scale: float
    labels: dict[int, tuple[dict[str, float], int]] = field(default_factory=dict)


def scaled_disparity(disp: Any, near: float = 0.1, far: float = 100.0) -> Array:
    """Return 1/depth of a network's sigmoid disparity, ``1/far + (1/near - 1/far) * disp``.

    >>> scaled_disparity([0.0, 1.0]).tolist()
    [0.01, 10.0]
    """
    _, (d,) = together(disp)
    return 1 / far + (1 / near - 1 / far) * double(d)


def point_depth_metrics(
    disparity: Any,
    points: Any,
    size: tuple[int, int],
    *,
    valid: Any = None,
    labels: Any = None,
    crop: tuple[float, ...] = (0.0, 1.0, 0.0, 1.0),
    low: float = 1e-3,
    high: float = 80.0,
    median: str = "lower",
) -> PointScore:
    """Measure the disparity of one image against sparse depth.

    The disparity is resized to `size` (bilinear) and THEN inverted. A row counts with
    ``low < depth < high`` and its sub-pixel position in the crop: ``int(top * H) <= row <
    int(bottom * H)``, columns alike. The prediction at the truncated position is scaled by
    the ratio of medians over the rows that count, then clamped to low..high. Several rows in a
    pixel all count.

    Parameters
    ----------
    disparity : (h, w) or (1, h, w) float
        1/depth up to scale, at the network's size.
    points : (N, 3) float
        Row, column (pixels of `size`), depth (m).
    size : (H, W)
        Of the ground truth.
    valid : (N,), optional
        0 at rows that are padding.
    labels : (H, W) int, optional
        Motion mask; the same scaled predictions are also measured for each label that has rows.
    median : str
        ``"lower"`` as the reference, or ``"middle"``.

    Notes
    -----
    Source: Dynamo-Depth, ``eval/depth.py``.

    Examples
    --------
    >>> rows = [[0, 0, 2.0], [0, 1, 4.0]]
    >>> score = point_depth_metrics([[1.0, 0.5]], rows, (1, 2))
    >>> score.scale, score.values["de:abs_rel"]
    (2.0, 0.0)
    """
    xp, (d, rows, v, mask) = together(disparity, points, valid, labels)
    height, width = int(size[0]), int(size[1])
    r0, r1, c0, c1 = crop_bounds(crop, height, width)
    r, c, g = rows[:, 0], rows[:, 1], rows[:, 2]
    keep = (r >= r0) & (r < r1) & (c >= c0) & (c < c1) & (g > low) & (g < high)
    if v is not None:
        keep &= booleans(v)
    r, c, g = whole(r[keep]), whole(c[keep]), double(g[keep])
    depth = 1 / read_resized(d.reshape(d.shape[-2:]), (height, width), r, c)
    scale = median_scale(depth, g, median=median)
    errors = Errors(xp.clip(depth * scale, low, high), g)
    quantities = [double(m.quantity(errors)) for m in DEPTH.values()]
    values = _named(quantities, len(errors))
    found: dict[int, tuple[dict[str, float], int]] = {}
    if mask is not None and len(errors):
        label = mask[r, c]
        for one in sorted({int(k) for k in label.tolist()}):
            own = label == one
            count = int(own.sum())
            found[one] = _named([q[own] for q in quantities], count), count
    return PointScore(values, len(errors), scale, found)


def _named(quantities: Sequence[Array], rows: int) -> dict[str, float]:
    values = finish_sums(DEPTH, numbers([q.sum() for q in quantities]), rows)
    return dict(zip(DYNAMO_NAMES, values.values(), strict=True))


def average_images(scores: Sequence[PointScore], *, skip_empty: bool = False) -> dict[str, float]:
    """Return the mean over images, each with equal weight.

    Parameters
    ----------
    skip_empty : bool
        Leave out images without rows; the reference's mean is NaN then.
    """
    kept = [s for s in scores if s.rows or not skip_empty]
    if not kept:
        return dict.fromkeys(DYNAMO_NAMES, float("nan"))
    return {name: sum(s.values[name] for s in kept) / len(kept) for name in DYNAMO_NAMES}


def average_labels(scores: Sequence[PointScore]) -> dict[int, dict[str, tuple[float, int]]]:
    """Return for each label and measure the sum of value * rows and the sum of rows.

    Their quotient is the reference's figure: the mean of the images' values weighted by rows,
    also of the root measures (which is not the root of the pooled mean; its code says macro).
    """
    sums: dict[int, dict[str, tuple[float, int]]] = {}
    for score in scores:
        for label, (values, rows) in score.labels.items():
            own = sums.setdefault(label, dict.fromkeys(DYNAMO_NAMES, (0.0, 0)))
            for name, value in values.items():
                total, count = own[name]
                own[name] = total + value * rows, count + rows
    return dict(sorted(sums.items()))


def format_dynamo_depth(
    checkpoint: str,
    overall: Sequence[PointScore],
    segmented: Sequence[PointScore] | None,
) -> str:
    """Return the text of the reference's report file.

    Parameters
    ----------
    checkpoint : str
        Path as given on the command line.
    overall : Sequence[PointScore]
        Images of the test set.
    segmented : Sequence[PointScore] or None
        Images with a motion mask; None for KITTI, which has none.
    """
    lines = [f"====== Model Path - {checkpoint} ======", ""]
    lines += ["====== Depth Eval on Overall Test Set ======", ""]
    lines += _table(len(overall), {"OVERALL": average_images(overall)})
    lines += ["====== Depth Eval on Test Set with Segmentation Annotations ======", ""]
    if segmented is None:
        lines += ["Mask Split Evaluation Skipped for KITTI."]
    else:
        sums = average_labels(segmented)
        rows = {}
        for title, label in _LABELS.items():
            own = sums.get(label, dict.fromkeys(DYNAMO_NAMES, (float("nan"), 1)))
            rows[title] = {name: total / count for name, (total, count) in own.items()}
        lines += _table(len(segmented), rows)
    return "".join(line + "\n" for line in lines)


def _table(images: int, rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [f"=== len={images} ===", _cells(["Split", *DYNAMO_NAMES])]
    for title, values in rows.items():
        lines.append(_cells([title, *(f"& {values[name]:.3f}" for name in DYNAMO_NAMES)]))
    return [*lines, "", ""]


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"{text:^15}" for text in texts)
