"""The check "reprojection": static points of frame t, carried to t+1, against the images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthdata.checks.motion import (
    MIN_POINTS,
    Motion,
    Track,
    diagnose_frame,
    diagnose_poses,
    residual_limit,
)
from depthdata.checks.picture import Overlay
from depthdata.checks.report import Finding, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.tracking import follow

__all__ = ["check_reprojection", "judge_motion"]

NAME = "reprojection"
CLEARLY_PX, CLEARLY = 0.5, 3.0  # below the limit, but far above what the other pairs leave


def check_reprojection(
    sampler: Sampler, camera: str, frames: int | None
) -> tuple[list[Finding], list[Overlay]]:
    """Follow static points with depth from t to t+1 and compare with depth + poses.

    Parameters
    ----------
    sampler : Sampler
        Of the sequence.
    camera : str
        With images and poses; depth from the file, else by semi-global matching.
    frames : int or None
        At most so many pairs of consecutive frames, spread over the sequence.
    """
    cam = sampler.sequence.cameras[camera]
    count = len(sampler.sequence)
    poses = cam.poses
    reason = _cannot(sampler, camera, poses)
    if reason is not None:
        return [skipped(NAME, reason, camera)], []
    assert poses is not None
    tracker = _Tracker(sampler, camera)
    motion = Motion(poses, cam.intrinsics, sampler.sequence.timestamps, tracker, cam.width)
    usable = [t for t in range(count - 1) if motion.known(t, t + 1) and tracker.usable(t, t + 1)]
    chosen = [usable[i] for i in spread(len(usable), frames)]
    tracks = [track for t in chosen if (track := tracker(t, t + 1)) is not None]
    if not tracks:
        why = "no two consecutive frames with images, depth and poses"
        if usable:
            why = f"fewer than {MIN_POINTS} points could be followed: too little texture"
        return [skipped(NAME, why, camera)], []

    def same_image(a: int, b: int) -> bool:
        return sampler.blob(camera, a) == sampler.blob(camera, b)

    finding, worst = judge_motion(camera, motion, tracks, same_image, tracker.source)
    overlay = Overlay(
        camera=camera,
        frame=worst.first,
        xy=worst.points[:, :2],
        error=motion.distances(worst),
        limit=residual_limit(cam.width, motion.amount(worst)),
        unit="px",
        title=f"{NAME} {worst.first} -> {worst.second}",
        finding=finding,
    )
    return [finding], [overlay]


def judge_motion(
    camera: str,
    motion: Motion,
    tracks: list[Track],
    same_image: Callable[..., bool] = lambda a, b: False,
    source: str = "depth",
) -> tuple[Finding, Track]:
    """Compare followed points with depth + poses, and name the fault when they disagree.

    Returns
    -------
    Finding
        Value: the median distance (px) of the pair that is worst against its limit.
    Track
        That pair.
    """
    residuals = np.array([motion.residual(track) for track in tracks])
    limits = np.array([residual_limit(motion.width, motion.amount(track)) for track in tracks])
    worst = int((residuals / limits).argmax())
    distances = np.concatenate([motion.distances(track) for track in tracks])
    numbers = {
        "median_px": float(np.median(residuals)),
        "share_below_3px": float((distances < 3).mean()),
        "pairs": float(len(tracks)),
        "motion_px": float(np.median([motion.amount(track) for track in tracks])),
    }
    frame, ok = tracks[worst].first, True
    message = (
        f"static points move as {source} and poses say: median {numbers['median_px']:.2g} px of "
        f"{numbers['motion_px']:.3g} px motion, {len(tracks)} pairs"
    )
    everywhere = diagnose_poses(motion, tracks) if np.median(residuals) > CLEARLY_PX else None
    if everywhere is not None:
        ok, message = False, everywhere
    else:
        usual = float(np.median(residuals))
        odd = (residuals > limits) | ((residuals > CLEARLY_PX) & (residuals > CLEARLY * usual))
        for i in sorted(np.flatnonzero(odd), key=lambda i: -residuals[i] / limits[i]):
            over = bool(residuals[i] > limits[i])
            suspect, reason, named = diagnose_frame(
                motion, tracks[i], lambda t: _passes(motion, t), same_image
            )
            if over or named:
                worst, frame, ok, message = int(i), suspect, False, reason
                break
    return (
        at_most(
            NAME,
            float(residuals[worst]),
            float(limits[worst]),
            "px",
            message=message,
            camera=camera,
            frame=frame,
            numbers=numbers,
            ok=ok,
        ),
        tracks[worst],
    )


def _passes(motion: Motion, track: Track) -> bool:
    return motion.residual(track) <= residual_limit(motion.width, motion.amount(track))


def _cannot(sampler: Sampler, camera: str, poses: npt.NDArray[np.float64] | None) -> str | None:
    if len(sampler.sequence) < 2:
        return "the sequence has one frame"
    if poses is None:
        return "no poses"
    if not sampler.has_images(camera):
        return "no images"
    if sampler.depth_source(camera) is None:
        return "no depth, no disparity and no stereo pair"
    return None


class _Tracker:
    """Follows points of one camera from frame to frame; remembers what it followed."""

    def __init__(self, sampler: Sampler, camera: str) -> None:
        self.sampler, self.camera = sampler, camera
        self.source = {"sgbm": "SGBM depth", None: "depth"}.get(
            sampler.depth_source(camera), str(sampler.depth_source(camera))
        )
        self._kept: dict[tuple[int, int], Track | None] = {}

    def usable(self, first: int, second: int) -> bool:
        return (
            self.sampler.has_image(self.camera, first)
            and self.sampler.has_image(self.camera, second)
            and self.sampler.has_depth(self.camera, first)
        )

    def __call__(self, first: int, second: int) -> Track | None:
        key = (first, second)
        if key not in self._kept:
            self._kept[key] = self._follow(first, second) if self.usable(first, second) else None
        return self._kept[key]

    def _follow(self, first: int, second: int) -> Track | None:
        points = self.sampler.depth_points(self.camera, first)
        before, after = (self.sampler.image(self.camera, t) for t in (first, second))
        found, good = follow(before, after, points[:, :2])
        if int(good.sum()) < MIN_POINTS:
            return None
        return Track(first, second, points[good], found[good])
