"""The checks of a stereo pair of a sequence: match, rows, depth against it, photometric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.checks.picture import Overlay
from depthdata.checks.report import Finding, at_least, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.stereo import (
    DEPTH_DISPLACED,
    TELLING_SHARE,
    Agreement,
    Hypothesis,
    agreement,
    best_hypothesis,
    expected_disparity,
    other_time_share,
    try_all,
)
from depthdata.checks.tracking import follow, photometric_ratio

__all__ = ["check_stereo"]

Floats = npt.NDArray[np.float64]

MATCHED_SHARE = 0.25  # KITTI 0.74 to 0.9, swapped or displaced 0.15 to 0.4
ROWS_PX = 1.0  # KITTI 0.3 to 0.5; displaced by a frame 1.8 to 4
MEDIAN_PX, SHARE_3PX = 1.5, 0.7  # KITTI 0.33 to 0.76 and 0.81 to 0.98
FRAME_SHARE_3PX = 0.5
PHOTOMETRIC = 0.8
SUSPICIOUS = 0.85  # of the median score of all frames
MIN_POINTS, ALL_POINTS = 50, 20000


@dataclass(frozen=True)
class _Frame:
    """What was measured at one frame."""

    frame: int
    matched: float  # share of pixels with a disparity
    rows: float  # median |dy| of matches, pixels
    depth: Agreement | None
    points: Floats
    photometric: float

    @property
    def score(self) -> float:
        return self.matched if self.depth is None else self.depth.score


def check_stereo(
    sampler: Sampler, left: str, right: str, baseline: float, frames: int | None
) -> tuple[list[Finding], list[Overlay]]:
    """Compare the images of a rectified pair with one another and with depth.

    Parameters
    ----------
    sampler : Sampler
        Of the sequence.
    left, right : str
        Cameras of the pair.
    baseline : float
        Metres.
    frames : int or None
        At most so many frames, spread over the sequence.
    """
    pair = f"{left}/{right}"
    usable = [
        t
        for t in range(len(sampler.sequence))
        if sampler.has_image(left, t) and sampler.has_image(right, t)
    ]
    if not usable:
        return [skipped("stereo match", "no frame with both images", pair)], []
    cameras = sampler.sequence.cameras
    sizes = {(cameras[name].height, cameras[name].width) for name in (left, right)}
    if len(sizes) > 1:
        message = f"images of the pair differ in size: {sorted(sizes)}"
        return [Finding("stereo match", False, message, pair)], []
    meter = _Meter(sampler, left, right, baseline)
    measured = [meter.measure(usable[i]) for i in spread(len(usable), frames)]
    fault = _find_fault(meter, measured)
    found = [
        _match_finding(pair, measured, fault),
        _rows_finding(pair, measured, fault),
        _depth_finding(pair, meter, measured, fault),
        _photometric_finding(pair, meter, measured),
    ]
    overlays = []
    with_depth = [m for m in measured if m.depth is not None and m.depth.count >= MIN_POINTS]
    if with_depth:
        named = [m for m in with_depth if m.frame == found[2].frame]
        worst = (named or with_depth)[0]
        assert worst.depth is not None
        overlays.append(
            Overlay(
                camera=left,
                frame=worst.frame,
                xy=worst.points[:, :2],
                error=worst.depth.error,
                limit=3.0,
                unit="px",
                title=found[2].name,
                finding=found[2],
            )
        )
    return found, overlays


class _Meter:
    """Measures one pair, as the file says or under a hypothesis."""

    def __init__(self, sampler: Sampler, left: str, right: str, baseline: float) -> None:
        self.sampler, self.left, self.right, self.baseline = sampler, left, right, baseline
        source = sampler.depth_source(left)
        self.source = None if source == "sgbm" or not baseline > 0 else source
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
        cameras = self.sampler.sequence.cameras
        K_left, K_right = (
            cameras[self.left].intrinsics(frame),
            cameras[self.right].intrinsics(frame),
        )
        return expected_disparity(points, K_left, K_right, self.baseline)

    def measure(self, frame: int) -> _Frame:
        """Measure a frame as the file says."""
        left, right = (self.left, frame), (self.right, frame)
        disparity = self.sampler.matched(left, right, self.most)
        points = self.points(frame)
        compared, ratio = None, float("nan")
        if points is not None:
            expected = self.expected(points, frame)
            compared = agreement(disparity, points, expected)
            textured = self.points(frame, textured=True)
            assert textured is not None
            other = textured[:, :2].copy()
            other[:, 0] -= self.expected(textured, frame)
            images = self.sampler.image(*left), self.sampler.image(*right)
            ratio, _, _ = photometric_ratio(*images, textured[:, :2], other)
        return _Frame(
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
        return agreement(disparity, points, self.expected(points, frame)).score

    def other_time(self, m: _Frame, shift: int) -> float | None:
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


@dataclass(frozen=True)
class _Fault:
    hypothesis: Hypothesis
    frame: int
    message: str


@dataclass(frozen=True)
class _Vote:
    """One frame for which a hypothesis fits better than what the file says."""

    hypothesis: Hypothesis
    frame: int
    before: float
    after: float
    telling: bool  # of the telling points only


def _find_fault(meter: _Meter, measured: list[_Frame]) -> _Fault | None:
    usual = float(np.median([m.score for m in measured]))
    votes: dict[Hypothesis, list[_Vote]] = {}
    for m in measured:
        vote = _vote(meter, m, usual)
        if vote is not None:
            votes.setdefault(vote.hypothesis, []).append(vote)
    if not votes:
        return None
    chosen = max(votes.values(), key=lambda v: (len(v), max(x.after - x.before for x in v)))
    best = max(chosen, key=lambda vote: vote.after - vote.before)
    shift = best.hypothesis.shift
    text = best.hypothesis.message.format(t=best.frame, u=best.frame + shift)
    if len(chosen) > 1 and len(chosen) > 0.4 * len(measured):
        text = f"{text} (the same in {len(chosen)} of {len(measured)} frames)"
    if best.telling:
        evidence = (
            f"{best.after:.0%} of the points that tell the two frames apart agree with frame "
            f"{best.frame + shift}"
        )
    else:
        what = "points that agree" if meter.source else "pixels matched"
        kind = "swapped" if best.hypothesis.swapped else f"shifted by {abs(shift)} frame"
        evidence = f"{what} rise from {best.before:.0%} to {best.after:.0%} when {kind}"
    return _Fault(best.hypothesis, best.frame, f"{text}: {evidence}")


def _vote(meter: _Meter, m: _Frame, usual: float) -> _Vote | None:
    """Return what fits a frame better than what the file says, or None."""
    suspicious = m.score < SUSPICIOUS * usual or m.score < 0.6 or not m.rows <= ROWS_PX
    scores = try_all(
        lambda hypothesis: meter.score(m.frame, hypothesis),
        only_depth=not suspicious,
        with_depth=meter.source is not None,
    )
    best = best_hypothesis(m.score, scores)
    if best is not None:
        return _Vote(best[0], m.frame, m.score, best[1], telling=False)
    for hypothesis in DEPTH_DISPLACED:
        share = meter.other_time(m, hypothesis.shift)
        if share is not None and share > TELLING_SHARE:
            return _Vote(hypothesis, m.frame, 1 - share, share, telling=True)
    return None


def _match_finding(pair: str, measured: list[_Frame], fault: _Fault | None) -> Finding:
    shares = np.array([m.matched for m in measured])
    worst = int(shares.argmin())
    value = float(shares[worst])
    concerns = fault is not None and not fault.hypothesis.needs_depth
    message = f"disparity found for {np.median(shares):.0%} of the pixels, {len(measured)} frames"
    if value < MATCHED_SHARE:
        message = (
            f"only {value:.0%} of frame {measured[worst].frame} can be matched: "
            "not a rectified pair, or not of one time"
        )
    if concerns and fault is not None:
        message = fault.message
    return at_least(
        "stereo match",
        value,
        MATCHED_SHARE,
        "",
        message=message,
        camera=pair,
        frame=fault.frame if concerns and fault is not None else measured[worst].frame,
        numbers={"median_share": float(np.median(shares))},
        ok=value >= MATCHED_SHARE and not concerns,
    )


def _rows_finding(pair: str, measured: list[_Frame], fault: _Fault | None) -> Finding:
    rows = [(m.rows, m.frame) for m in measured if np.isfinite(m.rows)]
    if not rows:
        return skipped("stereo rows", "too few matches", pair)
    value, frame = max(rows)
    message = f"matches lie on equal rows: median {np.median([r for r, _ in rows]):.2g} px apart"
    if value > ROWS_PX:
        message = (
            f"matches of frame {frame} lie {value:.2g} px apart in rows: "
            "not rectified, or the two images are not of one time"
        )
        if fault is not None and not fault.hypothesis.needs_depth:
            message = fault.message
    return at_most("stereo rows", value, ROWS_PX, "px", message=message, camera=pair, frame=frame)


def _depth_finding(
    pair: str, meter: _Meter, measured: list[_Frame], fault: _Fault | None
) -> Finding:
    have = [m for m in measured if m.depth is not None and m.depth.count >= MIN_POINTS]
    if not have:
        reason = "no depth" if meter.source is None else "too few points could be matched"
        if fault is not None:
            return Finding(meter.name, False, fault.message, pair, frame=fault.frame)
        return skipped(meter.name if meter.source else "depth vs stereo", reason, pair)
    agreements = [m.depth for m in have if m.depth is not None]
    together = Agreement(np.concatenate([a.error for a in agreements]))
    shares = [a.share(3) for a in agreements]
    frame = have[int(np.argmin(shares))].frame
    ok = together.median <= MEDIAN_PX and together.share(3) >= SHARE_3PX
    ok = ok and min(shares) >= FRAME_SHARE_3PX
    message = (
        f"median {together.median:.2g} px, {together.share(3):.1%} below 3 px, "
        f"{together.count} points in {len(have)} frames"
    )
    if not ok:
        message = f"{message}; worst frame {frame}: {min(shares):.0%}{_scale_note(meter, have)}"
    if fault is not None:
        ok, frame, message = False, fault.frame, fault.message
    return at_most(
        meter.name,
        together.median,
        MEDIAN_PX,
        "px",
        message=message,
        camera=pair,
        frame=frame,
        numbers={
            "median_px": together.median,
            "share_below_3px": together.share(3),
            "share_below_1px": together.share(1),
            "worst_frame_share_below_3px": min(shares),
            "points": float(together.count),
            "frames": float(len(have)),
        },
        ok=ok,
    )


def _scale_note(meter: _Meter, have: list[_Frame]) -> str:
    """Say so when found and expected disparity differ by one factor."""
    ratios = []
    for m in have:
        left, right = (meter.left, m.frame), (meter.right, m.frame)
        disparity = meter.sampler.matched(left, right, meter.most)
        rows, columns = (np.rint(m.points[:, i]).astype(int) for i in (1, 0))
        found, expected = disparity[rows, columns], meter.expected(m.points, m.frame)
        ok = np.isfinite(found) & (found > 2) & (expected > 0)
        ratios.append(found[ok] / expected[ok])
    ratio = np.concatenate(ratios)
    if ratio.size < MIN_POINTS:
        return ""
    middle = float(np.median(ratio))
    tight = float(np.median(np.abs(ratio / middle - 1)))
    if abs(middle - 1) < 0.03 or tight > 0.05:
        return ""
    return (
        f"; disparities in the images are {middle:.3g} times the expected ones: "
        "baseline, focal length or unit of depth is wrong"
    )


def _photometric_finding(pair: str, meter: _Meter, measured: list[_Frame]) -> Finding:
    name = "photometric"
    ratios = [(m.photometric, m.frame) for m in measured if np.isfinite(m.photometric)]
    if not ratios:
        return skipped(name, "no depth to carry pixels from left to right", pair)
    middle = float(np.median([ratio for ratio, _ in ratios]))
    worst, frame = max(ratios)
    message = (
        f"carried by {meter.source}, left and right differ by {middle:.2g} of what they differ "
        f"unmoved (worst frame {frame}: {worst:.2g})"
    )
    if middle > PHOTOMETRIC:
        message = f"{message}: depth does not explain the other image"
    return at_most(
        name,
        middle,
        PHOTOMETRIC,
        "",
        message=message,
        camera=pair,
        frame=frame,
        numbers={"worst_ratio": worst},
    )
