"""Measuring one stereo pair of a sequence, as the file says or under a hypothesis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.checks.samples import Sampler
from depthdata.checks.stereo import (
    Agreement,
    Hypothesis,
    other_time_share,
)
from depthdata.checks.tracking import follow, photometric_ratio

__all__ = ["MIN_POINTS", "FrameMeasure", "StereoMeter"]

Floats = npt.NDArray[np.float64]

MIN_POINTS, ALL_POINTS = 50, 20000


@dataclass(frozen=True)
class FrameMeasure:
    """What was measured at one frame."""

    frame: int
    matched: float  # share of pixels with a disparity
    rows: float  # median |dy| of matches, pixels
    depth: Agreement | None
    points: Floats
    photometric: float

    @property
    def score(self) -> float:
        """Return the share of points that agree, or without depth of pixels matched."""
        return self.matched if self.depth is None else self.depth.score


class StereoMeter:
    """Measures one pair, as the file says or under a hypothesis."""

    def __init__(self, sampler: Sampler, left: str, right: str) -> None:
        self.sampler, self.left, self.right = sampler, left, right
        source = sampler.depth_source(left)
        self.source = None if source == "sgbm" else source
        self.most = self._search_range()

    @property
    def name(self) -> str:
        """Name of the check of depth against the images."""
        if self.source == "depth":
            kind = self.sampler.sequence.cameras[self.left]["depth"].kind
            return "lidar vs stereo" if kind == "points" else "depth vs stereo"
        return "disparity vs stereo"

    def points(self, frame: int, *, textured: bool = False) -> Floats | None:
        """Points with depth of a frame, or None."""
        if self.source is None or not self.sampler.has_depth(self.left, frame):
            return None
        most = None if textured else ALL_POINTS
        points = self.sampler.depth_points(self.left, frame, textured=textured, most=most)
        return points if len(points) >= MIN_POINTS else None

    def expected(self, points: Floats, frame: int) -> Floats:
        """Disparity that depth predicts."""
        geometry = self.sampler.sequence.stereo_geometry(self.left, frame)
        return geometry.disparity(points[:, 2])

    def measure(self, frame: int) -> FrameMeasure:
        """Measure a frame as the file says."""
        left, right = (self.left, frame), (self.right, frame)
        disparity = self.sampler.matched(left, right, self.most)
        points = self.points(frame)
        compared, ratio = None, float("nan")
        if points is not None:
            expected = self.expected(points, frame)
            compared = Agreement.of(disparity, points, expected)
            textured = self.points(frame, textured=True)
            assert textured is not None
            other = textured[:, :2].copy()
            other[:, 0] -= self.expected(textured, frame)
            images = self.sampler.image(*left), self.sampler.image(*right)
            ratio, _, _ = photometric_ratio(*images, textured[:, :2], other)
        return FrameMeasure(
            frame=frame,
            matched=float(np.isfinite(disparity).mean()),
            rows=self._rows(frame, disparity),
            depth=compared,
            points=np.zeros((0, 3)) if points is None else points,
            photometric=ratio,
        )

    def score(self, frame: int, hypothesis: Hypothesis) -> float | None:
        """Score a frame under a hypothesis; None when its frames are not there."""
        left = (self.left, frame + hypothesis.left)
        right = (self.right, frame + hypothesis.right)
        if not (self.sampler.has_image(*left) and self.sampler.has_image(*right)):
            return None
        if hypothesis.swapped:
            left, right = right, left
        disparity = self.sampler.matched(left, right, self.most)
        if self.source is None:
            return float(np.isfinite(disparity).mean())
        points = self.points(frame + hypothesis.depth)
        if points is None:
            return None
        expected = self.expected(points, frame)
        return Agreement.of(disparity, points, expected).score

    def other_time(self, m: FrameMeasure, shift: int) -> float | None:
        """Share of the telling points whose depth fits the images of another frame."""
        other = m.frame + shift
        there = self.sampler.has_image(self.left, other)
        if not (len(m.points) and there and self.sampler.has_image(self.right, other)):
            return None
        rows, columns = (np.rint(m.points[:, i]).astype(int) for i in (1, 0))
        own, moved = (
            self.sampler.matched((self.left, t), (self.right, t), self.most)[rows, columns]
            for t in (m.frame, other)
        )
        return other_time_share(self.expected(m.points, m.frame), own, moved)

    def _rows(self, frame: int, disparity: npt.NDArray[np.float32]) -> float:
        rows, columns = np.nonzero(np.isfinite(disparity))
        if len(rows) < 4 * MIN_POINTS:
            return float("nan")
        chosen = np.random.default_rng([self.sampler.seed, frame]).permutation(len(rows))[:1500]
        here = np.stack([columns[chosen], rows[chosen]], 1).astype(np.float64)
        there = here.copy()
        there[:, 0] -= disparity[rows[chosen], columns[chosen]]
        images = self.sampler.image(self.left, frame), self.sampler.image(self.right, frame)
        found, good = follow(*images, here, guess=there)
        if int(good.sum()) < MIN_POINTS:
            return float("nan")
        return float(np.median(np.abs(found[good, 1] - here[good, 1])))

    def _search_range(self) -> int:
        width = self.sampler.sequence.cameras[self.left].width
        for frame in range(len(self.sampler.sequence)):
            points = self.points(frame)
            if points is not None:
                near = float(np.percentile(self.expected(points, frame), 99.5))
                return int(np.clip(1.25 * near, 48, max(48, min(width // 2, 384))))
        return max(48, min(192, width // 4))
