"""The checks of a stereo pair of a sequence: match, rows, depth against it, photometric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depthdata.checks.picture import Overlay
from depthdata.checks.report import Finding, at_least, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.stereo import (
    DEPTH_DISPLACED,
    TELLING_SHARE,
    Agreement,
    Hypothesis,
    best_hypothesis,
    try_all,
)
from depthdata.checks.stereo_meter import MIN_POINTS, FrameMeasure, StereoMeter

__all__ = ["check_stereo"]

MATCHED_SHARE = 0.25  # KITTI 0.74 to 0.9, swapped or displaced 0.15 to 0.4
ROWS_PX = 1.0  # KITTI 0.3 to 0.5; displaced by a frame 1.8 to 4
MEDIAN_PX, SHARE_3PX = 1.5, 0.7  # KITTI 0.33 to 0.76 and 0.81 to 0.98
FRAME_SHARE_3PX = 0.5
SCALE = 0.05  # KITTI: 0.3 to 1.9 %
PHOTOMETRIC = 0.8
SUSPICIOUS = 0.85  # of the median score of all frames


def check_stereo(
    sampler: Sampler, left: str, right: str, frames: int | None
) -> tuple[list[Finding], list[Overlay]]:
    """Compare the images of a rectified pair with one another and with depth.

    Parameters
    ----------
    sampler : Sampler
        Of the sequence.
    left, right : str
        Cameras of the pair.
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
    meter = StereoMeter(sampler, left, right)
    measured = [meter.measure(usable[i]) for i in spread(len(usable), frames)]
    fault = _find_fault(meter, measured)
    found = [
        _match_finding(pair, measured, fault),
        _rows_finding(pair, measured, fault),
        _depth_finding(pair, meter, measured, fault),
        _scale_finding(pair, measured),
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


def _find_fault(meter: StereoMeter, measured: list[FrameMeasure]) -> _Fault | None:
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


def _vote(meter: StereoMeter, m: FrameMeasure, usual: float) -> _Vote | None:
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


def _match_finding(pair: str, measured: list[FrameMeasure], fault: _Fault | None) -> Finding:
    shares = np.array([m.matched for m in measured])
    worst = int(shares.argmin())
    value = float(shares[worst])
    concerns = fault is not None and not fault.hypothesis.needs_depth
    message = f"disparity found for {np.median(shares):.0%} of the pixels, frames: {len(measured)}"
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


def _rows_finding(pair: str, measured: list[FrameMeasure], fault: _Fault | None) -> Finding:
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
    pair: str, meter: StereoMeter, measured: list[FrameMeasure], fault: _Fault | None
) -> Finding:
    have = [m for m in measured if m.depth is not None and m.depth.count >= MIN_POINTS]
    if not have:
        reason = "no depth" if meter.source is None else "too few points could be matched"
        if fault is not None:
            return Finding(meter.name, False, fault.message, pair, frame=fault.frame)
        return skipped(meter.name if meter.source else "depth vs stereo", reason, pair)
    agreements = [m.depth for m in have if m.depth is not None]
    together = Agreement.joined(agreements)
    shares = [a.share(3) for a in agreements]
    frame = have[int(np.argmin(shares))].frame
    ok = together.median <= MEDIAN_PX and together.share(3) >= SHARE_3PX
    ok = ok and min(shares) >= FRAME_SHARE_3PX
    message = (
        f"median {together.median:.2g} px, {together.share(3):.1%} below 3 px, "
        f"{together.count} points, frames: {len(have)}"
    )
    if not ok:
        message = f"{message}; worst frame {frame}: {min(shares):.0%}"
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


def _scale_finding(pair: str, measured: list[FrameMeasure]) -> Finding:
    """Check that found and expected disparities do not differ by one factor."""
    name = "stereo scale"
    agreements = [m.depth for m in measured if m.depth is not None]
    together = Agreement.joined(agreements) if agreements else None
    if together is None or together.count < MIN_POINTS:
        return skipped(name, "no depth that can be compared", pair)
    scale, spread_of_scale = together.scale
    wrong = abs(scale - 1) > SCALE and spread_of_scale < SCALE
    message = f"found disparities are {scale:.3f} times the expected ones"
    if wrong:
        message = f"{message}: baseline, focal length, or scale or unit of depth is wrong"
    elif abs(scale - 1) > SCALE:
        message = f"{message}, but by no common factor (spread {spread_of_scale:.2f})"
    return at_most(
        name,
        abs(scale - 1),
        SCALE,
        "",
        message=message,
        camera=pair,
        numbers={"scale": scale, "spread": spread_of_scale},
        ok=not wrong,
    )


def _photometric_finding(pair: str, meter: StereoMeter, measured: list[FrameMeasure]) -> Finding:
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
