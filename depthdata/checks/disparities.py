"""The checks of disparity against what else a file holds: depth, the other view, masks, change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthdata.checks import flow as measures
from depthdata.checks.report import Finding, at_least, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.warping import self_occluded

__all__ = [
    "check_depth_disparity",
    "check_disparity_change",
    "check_left_right",
    "check_occluded",
    "check_out_of_frame",
]

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DISPARITY_PX, DISPARITY_SHARE = 1.0, 0.9
BOTH_WAYS_PX, BOTH_WAYS_SHARE = 0.75, 0.8
CHANGE_PX = 0.75
SEEN_SHARE, OCCLUDED_SHARE = 0.8, 0.5
OUTSIDE_SHARE = 0.98
_LEAST, _SAME_SHARE = 50, 0.9


def check_depth_disparity(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check that stored depth and stored disparity of one view say the same."""
    cam = sampler.sequence.cameras[camera]
    name = "depth vs disparity"
    if "depth" not in cam.streams or "disparity" not in cam.streams:
        return []
    if sampler.geometry(camera, 0) is None:
        return [skipped(name, "no calibrated stereo pair with this camera", camera)]
    both = np.flatnonzero(cam["depth"].present & cam["disparity"].present)
    results: list[tuple[float, int]] = []
    kept: list[tuple[Map, Map]] = []
    shares: list[float] = []
    regions: dict[str, list[float]] = {"foreground": [], "background": []}
    for i in spread(len(both), frames):
        t = int(both[i])
        depth, disparity = (
            sampler.values(camera, "depth", t),
            sampler.values(camera, "disparity", t),
        )
        expected = _expected(sampler, camera, t, depth)
        off = np.abs(disparity - expected)
        known = np.isfinite(off)
        if int(known.sum()) < _LEAST:
            continue
        results.append((float(np.median(off[known])), t))
        shares.append(float((off[known] < DISPARITY_PX).mean()))
        kept.append((expected[known][::7], disparity[known][::7]))
        objects = sampler.objects(camera, t)
        if objects is not None:
            for region, use in (("foreground", objects), ("background", ~objects)):
                if int((use & known).sum()) >= _LEAST:
                    regions[region].append(float((off[use & known] < DISPARITY_PX).mean()))
    if not results:
        return [skipped(name, "no frame has both", camera)]
    value, frame = max(results)
    share = min(shares)
    numbers = {"share_below_1px": float(np.mean(shares)), "worst_frame_share": share}
    numbers |= {f"{r}_share_below_1px": float(np.mean(v)) for r, v in regions.items() if v}
    ok = value <= DISPARITY_PX and share >= DISPARITY_SHARE
    message = f"disparity is fx b / z - doffs, frames: {len(results)}"
    if not ok:
        message = (
            f"disparity is not fx b / z - doffs in frame {frame} ({share:.0%} within "
            f"{DISPARITY_PX:.0f} px): {_name_fault(sampler, camera, frame, kept)}"
        )
        if len(numbers) == 4:
            parts = [f"{r} {numbers[f'{r}_share_below_1px']:.0%}" for r in regions]
            message += f" ({', '.join(parts)} agree)"
    return [
        at_most(
            name,
            value,
            DISPARITY_PX,
            "px",
            message=message,
            camera=camera,
            frame=frame,
            numbers=numbers,
            ok=ok,
        )
    ]


def _expected(sampler: Sampler, camera: str, frame: int, depth: Map) -> Map:
    found = sampler.sequence.stereo_geometry(camera, frame).disparity(depth)
    return found.astype(np.float32)


def _name_fault(sampler: Sampler, camera: str, frame: int, kept: list[tuple[Map, Map]]) -> str:
    """Say which factor or shift would make disparity and depth agree."""
    expected, found = (np.concatenate([pair[i] for pair in kept]) for i in (0, 1))
    shift = float(np.median(found - expected))
    doffs = sampler.sequence.stereo_geometry(camera, frame).offset
    usable = np.abs(expected) > 1
    if usable.sum() < _LEAST:
        return "focal length, baseline, unit or scale of one of them is wrong"
    factor = float(np.median(found[usable] / expected[usable]))
    by_factor = float(np.median(np.abs(found - factor * expected)))
    by_shift = float(np.median(np.abs(found - shift - expected)))
    if min(by_factor, by_shift) > DISPARITY_PX / 2:
        return "focal length, baseline, unit or scale of one of them is wrong"
    if by_shift < by_factor:
        about = f"doffs is {doffs:.4g} px" if abs(doffs) > 0.5 else "doffs left out or added twice?"
        return f"it is shifted by {shift:.4g} px ({about})"
    if factor < 0:
        return f"it is {factor:.4g} times that: negated"
    return f"it is {factor:.4g} times that: focal length, baseline, unit or scale is wrong"


def check_left_right(sampler: Sampler, left: str, right: str, frames: int | None) -> list[Finding]:
    """Check that the disparities of both views lead to one another and back."""
    name, pair = "disparity both ways", f"{left}/{right}"
    cameras = sampler.sequence.cameras
    if any("disparity" not in cameras[c].streams for c in (left, right)):
        return []
    both = np.flatnonzero(cameras[left]["disparity"].present & cameras[right]["disparity"].present)
    medians, shares, at = [], [], []
    for i in spread(len(both), frames):
        t = int(both[i])
        off = _there_and_back(sampler, left, right, t)
        off[sampler.flagged(left, "masks/occluded", t, off.shape)] = np.nan
        off[self_occluded(sampler.values(left, "disparity", t), -1)] = np.nan
        known = np.isfinite(off)
        if int(known.sum()) < _LEAST:
            continue
        medians.append(float(np.median(off[known])))
        shares.append(float((off[known] < 1).mean()))
        at.append(t)
    if not at:
        if len(both):
            message = (
                "no pixel of one view leads into the other: disparity negated, or of another scale"
            )
            return [Finding(name, False, message, pair, frame=int(both[0]))]
        return [skipped(name, "no frame has both", pair)]
    worst = int(np.argmin(shares))
    value, share = max(medians), shares[worst]
    same = _alike(sampler, left, right, at[worst])
    ok = value <= BOTH_WAYS_PX and share >= BOTH_WAYS_SHARE and same <= _SAME_SHARE
    message = (
        f"{np.mean(shares):.1%} of the visible pixels return to within 1 px, frames: {len(at)}"
    )
    if not ok:
        message = (
            f"disparities of the two views disagree in frame {at[worst]}: only {share:.0%} of the "
            "visible pixels return to within 1 px"
        )
        if same > _SAME_SHARE:
            message += f"; {same:.0%} of the pixels are equal: one view's was stored for both"
    return [
        at_most(
            name,
            value,
            BOTH_WAYS_PX,
            "px",
            message=message,
            camera=pair,
            frame=at[worst],
            numbers={"share_below_1px": float(np.mean(shares)), "worst_frame_share": share},
            ok=ok,
        )
    ]


def _there_and_back(sampler: Sampler, camera: str, other: str, frame: int) -> Map:
    view = sampler.view(camera)
    sign = -1 if view is None else view[1]
    own = sampler.values(camera, "disparity", frame)
    back = sampler.values(other, "disparity", frame)
    nothing = np.zeros_like(own)
    return np.asarray(
        measures.forward_backward(
            np.stack([sign * own, nothing]), np.stack([-sign * back, nothing])
        ),
        np.float32,
    )


def _alike(sampler: Sampler, left: str, right: str, frame: int) -> float:
    a, b = sampler.values(left, "disparity", frame), sampler.values(right, "disparity", frame)
    known = np.isfinite(a) & np.isfinite(b) & (np.abs(a) > 1)
    return float((np.abs(a - b)[known] < 1e-3).mean()) if known.any() else 0.0


def check_occluded(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check masks/occluded against the disparities of both views."""
    name = "occluded vs disparity"
    if "masks/occluded" not in sampler.sequence.cameras[camera].streams:
        return []
    view = sampler.view(camera)
    if view is None:
        return [skipped(name, "no other view", camera)]
    other = view[0]
    if any("disparity" not in sampler.sequence.cameras[c].streams for c in (camera, other)):
        return [skipped(name, "needs the disparities of both views", camera)]

    def hidden(t: int) -> tuple[Mask, Mask]:
        off = _there_and_back(sampler, camera, other, t)
        own = sampler.values(camera, "disparity", t)
        at = np.arange(own.shape[1]) + view[1] * own
        outside = np.isfinite(own) & ((at < -1) | (at > own.shape[1]))
        return outside | (off > 1), np.isfinite(off) | outside

    return _mask_finding(
        sampler, camera, frames, name, "masks/occluded", hidden, SEEN_SHARE, OCCLUDED_SHARE
    )


def check_out_of_frame(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check masks/out_of_frame against where the disparity leads."""
    name = "out of frame vs disparity"
    streams = sampler.sequence.cameras[camera].streams
    view = sampler.view(camera)
    if "masks/out_of_frame" not in streams:
        return []
    if view is None or "disparity" not in streams:
        return [skipped(name, "needs disparity and the other view", camera)]

    def outside(t: int) -> tuple[Mask, Mask]:
        own = sampler.values(camera, "disparity", t)
        last = own.shape[1] - 1
        at = np.arange(own.shape[1]) + view[1] * own
        with np.errstate(invalid="ignore"):
            border = (np.abs(at) <= 1) | (np.abs(at - last) <= 1)
            return (at < 0) | (at > last), np.isfinite(at) & ~border

    return _mask_finding(
        sampler, camera, frames, name, "masks/out_of_frame", outside, OUTSIDE_SHARE, OUTSIDE_SHARE
    )


def _mask_finding(
    sampler: Sampler,
    camera: str,
    frames: int | None,
    name: str,
    mask: str,
    geometry: Callable[[int], tuple[Mask, Mask]],
    share_0: float,
    share_1: float,
) -> list[Finding]:
    """Compare a mask with what geometry says: (mask, where it says anything) of a frame."""
    present = [
        t
        for t in range(len(sampler.sequence))
        if sampler.has(camera, mask, t)
        and all(
            sampler.has(c, "disparity", t)
            for c in (camera, *([] if "out" in mask else [sampler.view(camera)[0]]))  # type: ignore[index]
        )
    ]
    count = np.zeros((2, 2), np.int64)  # [mask][geometry]
    worst: tuple[float, int] = (2.0, present[0] if present else 0)
    for i in spread(len(present), frames):
        t = present[i]
        said, known = geometry(t)
        stored = np.asarray(sampler.sequence.cameras[camera][mask][t])
        use = known & ((stored == 0) | (stored == 1))
        here = np.bincount(2 * stored[use].astype(int) + said[use], minlength=4).reshape(2, 2)
        count += here
        worst = min(worst, (float(np.trace(here) / max(here.sum(), 1)), t))
    if count.sum() < _LEAST:
        return [skipped(name, "no pixel where both say something", camera)]
    shares = [float(count[v, v] / n) if (n := count[v].sum()) >= _LEAST else np.nan for v in (0, 1)]
    agree = float(np.trace(count) / count.sum())
    ok = not (shares[0] < share_0 or shares[1] < share_1)
    word = mask.rpartition("/")[2].replace("_", " ")
    message = (
        f"of the pixels marked seen {shares[0]:.1%}, of those marked {word} {shares[1]:.1%} are so "
        "by disparity"
    )
    if not ok:
        message = f"{mask} does not agree with disparity: {message} (worst frame {worst[1]})"
        if agree < 0.3:
            message += "; it looks inverted (1 where it should be 0)"
    return [
        at_least(
            name,
            agree,
            min(share_0, share_1),
            "",
            message=message,
            camera=camera,
            frame=worst[1],
            numbers={"seen_share": shares[0], "marked_share": shares[1], "share": agree},
            ok=ok,
        )
    ]


def check_disparity_change(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check disparity + change against the disparity that flow leads to, in both directions."""
    findings = []
    streams = sampler.sequence.cameras[camera].streams
    for way, step in (("forward", 1), ("backward", -1)):
        change, flow = f"disparity_change_{way}", f"flow_{way}"
        if change not in streams:
            continue
        name = f"{change} vs disparity"
        usable = [
            t
            for t in range(len(sampler.sequence))
            if all(sampler.has(camera, s, t) for s in (change, flow, "disparity"))
            and sampler.has(camera, "disparity", t + step)
        ]
        if not usable:
            findings.append(skipped(name, f"needs {flow} and disparity of both frames", camera))
            continue
        results = []
        for i in spread(len(usable), frames):
            t = usable[i]
            now = sampler.values(camera, "disparity", t)
            difference = sampler.values(camera, change, t)
            then = measures.sampled(
                sampler.values(camera, "disparity", t + step), sampler.values(camera, flow, t)
            )
            hidden = sampler.flagged(camera, f"masks/occluded_{way}", t, now.shape)
            use = np.isfinite(then) & np.isfinite(now + difference) & ~hidden
            if int(use.sum()) < _LEAST:
                continue
            off = np.abs(now + difference - then)[use]
            negated = np.abs(now - difference - then)[use]
            results.append((float(np.median(off)), t, float(np.median(negated))))
        if not results:
            findings.append(skipped(name, "too few pixels that both frames see", camera))
            continue
        value, frame, negated = max(results)
        message = (
            f"disparity and its change give the disparity at t{step:+d}, frames: {len(results)}"
        )
        if value > CHANGE_PX:
            message = f"{change} of frame {frame} does not lead to the disparity at t{step:+d}"
            if negated < min(CHANGE_PX, value / 2):
                message += ": it looks negated"
        findings.append(
            at_most(name, value, CHANGE_PX, "px", message=message, camera=camera, frame=frame)
        )
    return findings
