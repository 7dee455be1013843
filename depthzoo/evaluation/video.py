"""A clip of stereo video under one protocol, frame by frame: sums, never the whole clip.

The measures are those of `depthzoo.evaluation.metrics.temporal`, which takes whole sequences.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depthzoo.evaluation.metrics.regions import RegionSums
from depthzoo.evaluation.metrics.temporal import BAD
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.regions import Masks
from depthzoo.evaluation.scoring import Curves, RegionScore, Score

__all__ = ["VideoScore"]

FloatMap = NDArray[np.floating]
_PIXEL_METRICS = ("epe", *(f"bad_{k}" for k in BAD))


class VideoScore:
    """Sums of a clip; `add` its frames in order, then `finish`.

    Parameters
    ----------
    protocol : Protocol
        ``options["count"]``: ``"nonzero"`` (DynamicStereo's divisor: pixels whose error is not 0)
        or ``"valid"``.
    curves : Curves, optional
        Receives the pixels for the charts.
    """

    def __init__(self, protocol: Protocol, curves: Curves | None = None) -> None:
        self.protocol, self.curves = protocol, curves
        self._nonzero = protocol.options["count"] == "nonzero"
        self._sums = {"": np.zeros(2 + len(BAD)), "temp_": np.zeros(2 + len(BAD))}
        self._previous: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None
        self._regions = RegionSums(_PIXEL_METRICS)
        self._with_regions = False
        self.frames = self.pixels = self.missing = 0
        self.series: list[float] = []

    def add(self, prediction: FloatMap, truth: FloatMap, regions: Masks | None = None) -> None:
        """Add the next frame: (H,W) disparities (px), NaN where there is none."""
        counts = self.protocol.valid.contains(truth)
        scored = counts & np.isfinite(prediction)
        error = np.asarray(prediction, np.float64) - truth
        own = np.abs(error[scored])
        self._count("", own)
        if self._previous is not None:
            before, valid = self._previous
            both = valid & scored
            self._count("temp_", np.abs(before[both] - error[both]))
        self._previous = error, scored
        self.frames += 1
        self.pixels += own.size
        self.missing += int(counts.sum()) - own.size
        self.series.append(float(own.mean()) if own.size else float("nan"))
        if regions:
            self._regions.add(prediction, truth, regions, counts)
            self._with_regions = True
        if self.curves is not None and own.size:
            self.curves.add(own, np.asarray(truth, np.float64)[scored])

    def _count(self, kind: str, error: NDArray[np.float64]) -> None:
        size = np.count_nonzero(error) if self._nonzero else error.size
        bad = [np.count_nonzero(error > k) for k in BAD]
        self._sums[kind] += [size, error.sum(), *bad]

    def finish(self) -> Score:
        """Return the measures of the clip."""
        values: dict[str, float] = {}
        for kind, (size, total, *bad) in self._sums.items():
            # DynamicStereo: 0 where no error is counted, also in a clip without any truth; a model
            # that predicted nothing is not perfect
            empty = 0.0 if self._nonzero and (self.pixels or not self.missing) else float("nan")
            mean = total / size if size else empty
            values["tepe" if kind else "epe"] = float(mean)
            for k, number in zip(BAD, bad, strict=True):
                values[f"{kind}bad_{k}"] = 100 * float(number / size) if size else empty
        parts: dict[str, RegionScore] = {}
        if self._with_regions:
            for name in self._regions.regions:
                found = self._regions.values(name)
                pixels, missing = int(found.pop("pixels")), int(found.pop("missing"))
                if name != "all":
                    parts[name] = RegionScore(found, pixels, missing)
        return Score(
            {name: values[name] for name in self.protocol.metrics},
            self.pixels,
            self.missing,
            1.0,
            parts,
            weight=float(self.frames),
            series={"epe": self.series},
        )
