"""The checks of dense truth: flow both ways, flow against depth and poses, lidar against depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depthdata.checks import flow as measures
from depthdata.checks.picture import Overlay
from depthdata.checks.report import Finding, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.geometry import se3_inverse

__all__ = ["check_flow", "check_lidar_depth"]

Floats = npt.NDArray[np.float64]

AGREE_PX, AGREE_SHARE = 0.5, 0.9  # share of the pixels that agree within a pixel
MOTION_PX = 0.5
LIDAR_SHARE = 0.02
_SHOWN = 20000


def check_flow(
    sampler: Sampler, camera: str, frames: int | None
) -> tuple[list[Finding], list[Overlay]]:
    """Check the flows of a camera against each other, and against depth + poses."""
    streams = sampler.sequence.cameras[camera].streams
    if "flow_forward" not in streams and "flow_backward" not in streams:
        return [], []
    both, overlays = _both_ways(sampler, camera, frames)
    return [both, _against_motion(sampler, camera, frames)], overlays


def check_lidar_depth(sampler: Sampler, camera: str, frames: int | None) -> list[Finding]:
    """Check that a dense depth and a lidar stream beside it say the same."""
    cam = sampler.sequence.cameras[camera]
    name = "lidar vs depth"
    if not {"depth", "lidar_depth"} <= set(cam.streams) or cam["depth"].kind != "dense":
        return []
    both = np.flatnonzero(cam["depth"].present & cam["lidar_depth"].present)
    results = []
    for i in spread(len(both), frames):
        t = int(both[i])
        dense, sparse = cam["depth"][t], cam["lidar_depth"][t]
        off = np.abs(sparse / dense - 1)
        if np.isfinite(off).any():
            results.append((float(np.nanmedian(off)), t))
    if not results:
        return [skipped(name, "no frame has both", camera)]
    value, frame = max(results)
    message = f"lidar lies on the surfaces of the dense depth, {len(results)} frames"
    if value > LIDAR_SHARE:
        message = (
            f"lidar of frame {frame} is off the dense depth by {value:.1%}: another time, another "
            "calibration, or another unit"
        )
    return [at_most(name, value, LIDAR_SHARE, "", message=message, camera=camera, frame=frame)]


def _both_ways(sampler: Sampler, camera: str, frames: int | None) -> tuple[Finding, list[Overlay]]:
    name = "flow both ways"
    cam = sampler.sequence.cameras[camera]
    if "flow_forward" not in cam.streams or "flow_backward" not in cam.streams:
        return skipped(name, "no flow in both directions", camera), []
    present = cam["flow_forward"].present[:-1] & cam["flow_backward"].present[1:]
    pairs = np.flatnonzero(present)
    worst: tuple[float, int, Floats] | None = None
    medians, shares = [], []
    for i in spread(len(pairs), frames):
        t = int(pairs[i])
        forward = sampler.values(camera, "flow_forward", t)
        occluded = sampler.flagged(camera, "masks/occluded_forward", t, forward.shape[1:])
        off = measures.forward_backward(
            forward, sampler.values(camera, "flow_backward", t + 1), occluded
        )
        if not np.isfinite(off).any():
            continue
        share = float((off < 1).sum() / np.isfinite(off).sum())
        medians.append(float(np.nanmedian(off)))
        shares.append(share)
        if worst is None or share < worst[0]:
            worst = (share, t, off)
    if worst is None:
        return skipped(name, "no two consecutive frames have both", camera), []
    share, frame, off = worst
    value = max(medians)
    ok = value <= AGREE_PX and share >= AGREE_SHARE
    message = (
        f"{np.mean(shares):.1%} of the visible pixels return to within 1 px, {len(shares)} pairs"
    )
    if not ok:
        message = (
            f"forward and backward flow disagree between frames {frame} and {frame + 1}: only "
            f"{share:.0%} of the visible pixels return to within 1 px"
        )
    finding = at_most(
        name,
        value,
        AGREE_PX,
        "px",
        message=message,
        camera=camera,
        frame=frame,
        numbers={"share_below_1px": float(np.mean(shares)), "worst_share_below_1px": share},
        ok=ok,
    )
    return finding, [_overlay(name, camera, frame, off, finding)]


def _against_motion(sampler: Sampler, camera: str, frames: int | None) -> Finding:
    name = "flow vs motion"
    cam = sampler.sequence.cameras[camera]
    poses = cam.poses
    if poses is None or "flow_forward" not in cam.streams or not sampler.calibrated(camera):
        return skipped(name, "needs forward flow, intrinsics and poses", camera)
    source = sampler.depth_source(camera)
    if source not in ("depth", "disparity"):
        return skipped(name, "needs depth or disparity", camera)
    known = np.asarray(np.isfinite(poses).all((-1, -2)))
    usable = np.flatnonzero(
        cam["flow_forward"].present[:-1] & cam[source].present[:-1] & known[:-1] & known[1:]
    )
    results = []
    for i in spread(len(usable), frames):
        t = int(usable[i])
        T = se3_inverse(poses[t + 1]) @ poses[t]
        moving = sampler.moving(camera, t)
        off = measures.motion_distance(
            sampler.values(camera, "flow_forward", t),
            sampler.values(camera, "depth", t),
            cam.intrinsics(t),
            T,
            moving,
        )
        if np.isfinite(off).any():
            results.append((float(np.nanmedian(off)), t))
    if not results:
        return skipped(name, "no frame with flow, depth and poses", camera)
    value, frame = max(results)
    limit = max(MOTION_PX, MOTION_PX * cam.width / 1242)
    message = f"flow of static pixels is that of depth and poses, {len(results)} frames"
    if value > limit:
        message = (
            f"flow of frame {frame} is not that of depth and poses: poses inverted or shifted, or "
            "depth of another unit"
        )
    return at_most(name, value, limit, "px", message=message, camera=camera, frame=frame)


def _overlay(name: str, camera: str, frame: int, off: Floats, finding: Finding) -> Overlay:
    rows, columns = np.nonzero(np.isfinite(off))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SHOWN]
    rows, columns = rows[chosen], columns[chosen]
    return Overlay(
        camera=camera,
        frame=frame,
        xy=np.stack([columns, rows], 1).astype(np.float64),
        error=off[rows, columns],
        limit=1.0,
        unit="px",
        title=name,
        finding=finding,
    )
