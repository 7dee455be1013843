"""Depth and poses against the images of two times: where static points really go.

Points with depth are followed from frame a to frame b in the images (`tracking.follow`), and
predicted there from depth and poses. The distance is measured again under other hypotheses (poses
inverted, a frame displaced by one ...): the one that fits names the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from depthdata.checks.structure import JUMP_SHARE, step_deviation
from depthdata.checks.tracking import predict
from depthdata.geometry import se3_inverse

__all__ = ["Motion", "Track", "diagnose_frame", "diagnose_poses", "residual_limit"]

Floats = npt.NDArray[np.float64]

MIN_POINTS = 30
LIMIT_PX, LIMIT_WIDTH = 2.0, 1242  # KITTI's own poses leave 0.7 to 1.4 px at this width
LIMIT_MIN_PX = 1.0
LIMIT_MOTION = 0.1  # of the motion itself: time stamps and poses are noisy in proportion
EXPLAINS = 0.5  # a hypothesis explains a fault when it at least halves the distance
_BODY_AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
_OPENGL_AXES = np.diag([1.0, -1, -1, 1])

Pose = Callable[[Floats, int, int], Floats]


@dataclass(frozen=True)
class Track:
    """Points of frame `first` (n, 3: column, row, z) and where they are found in `second`."""

    first: int
    second: int
    points: Floats
    found: Floats


@dataclass(frozen=True)
class Motion:
    """One camera in motion: poses, intrinsics, times, and what was followed in its images.

    Parameters
    ----------
    poses : float64, (T, 4, 4)
        `T_world_cam`.
    intrinsics : callable
        Frame to (3, 3).
    times : int64, (T,)
    track : callable
        (first, second) to `Track`, or None when too few points could be followed.
    width : int
        Of the image, pixels.
    """

    poses: Floats
    intrinsics: Callable[[int], Floats]
    times: npt.NDArray[np.int64]
    track: Callable[[int, int], Track | None]
    width: int

    def distances(self, track: Track, T_second_first: Floats | None = None) -> Floats:
        """Distance of predicted and found positions (n,), pixels; NaN where not visible."""
        T = self.relative(track.first, track.second) if T_second_first is None else T_second_first
        K_first, K_second = self.intrinsics(track.first), self.intrinsics(track.second)
        predicted = predict(track.points, K_first, K_second, T)
        return np.asarray(np.linalg.norm(predicted - track.found, axis=-1))

    def residual(self, track: Track, T_second_first: Floats | None = None) -> float:
        """Median distance, pixels; a point predicted behind the camera counts as far off."""
        distances = self.distances(track, T_second_first)
        return float(np.median(np.where(np.isfinite(distances), distances, self.width)))

    def amount(self, track: Track) -> float:
        """How much the image moves: the larger of the found and the predicted median motion."""
        here = track.points[:, :2]
        found = np.linalg.norm(track.found - here, axis=-1)
        K_first, K_second = self.intrinsics(track.first), self.intrinsics(track.second)
        T = self.relative(track.first, track.second)
        predicted = np.linalg.norm(predict(track.points, K_first, K_second, T) - here, axis=-1)
        predicted = predicted[np.isfinite(predicted)]
        return float(max(np.median(found), np.median(predicted) if predicted.size else 0.0))

    def relative(self, first: int, second: int) -> Floats:
        """Return T_second_first from the poses."""
        return np.asarray(se3_inverse(self.poses[second]) @ self.poses[first])

    def with_pose(self, frame: int, other: int) -> Motion:
        """Return the same with the pose of `frame` replaced by that of `other`."""
        poses = self.poses.copy()
        poses[frame] = poses[other]
        return replace(self, poses=poses)

    def known(self, *frames: int) -> bool:
        """Tell whether all these frames exist and have poses."""
        return all(
            0 <= frame < len(self.poses) and bool(np.isfinite(self.poses[frame]).all())
            for frame in frames
        )


def residual_limit(width: int, amount: float) -> float:
    """Return the largest residual that passes, for an image width and an amount of motion, pixels.

    >>> residual_limit(1242, 10.0), residual_limit(400, 0.0)
    (3.0, 1.0)
    """
    return max(LIMIT_MIN_PX, LIMIT_PX * width / LIMIT_WIDTH) + LIMIT_MOTION * amount


def px(value: float) -> str:
    """Write a distance in pixels.

    >>> px(6.86), px(0.004)
    ('6.9', '<0.1')
    """
    return "<0.1" if value < 0.1 else f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _inverted(poses: Floats, first: int, second: int) -> Floats:
    return np.asarray(poses[second] @ se3_inverse(poses[first]))


def _reversed(poses: Floats, first: int, second: int) -> Floats:
    return np.asarray(se3_inverse(poses[first]) @ poses[second])


def _backwards(poses: Floats, first: int, second: int) -> Floats:
    last = len(poses) - 1
    return np.asarray(se3_inverse(poses[last - second]) @ poses[last - first])


def _still(poses: Floats, first: int, second: int) -> Floats:
    return np.eye(4)


def _axes(change: Floats) -> Pose:
    def relative(poses: Floats, first: int, second: int) -> Floats:
        step = se3_inverse(poses[second]) @ poses[first]
        return np.asarray(change @ step @ change.T)

    return relative


def _scaled(factor: float) -> Pose:
    def relative(poses: Floats, first: int, second: int) -> Floats:
        step = np.array(se3_inverse(poses[second]) @ poses[first])
        step[:3, 3] *= factor
        return step

    return relative


def _displaced(shift: int) -> Pose:
    def relative(poses: Floats, first: int, second: int) -> Floats:
        if not (0 <= first + shift < len(poses) and 0 <= second + shift < len(poses)):
            return np.full((4, 4), np.nan)
        return np.asarray(se3_inverse(poses[second + shift]) @ poses[first + shift])

    return relative


HYPOTHESES: Mapping[str, Pose] = {
    "poses look inverted (T_cam_world stored as T_world_cam)": _inverted,
    "the order of the images or of the poses is reversed": _backwards,
    "relative poses look inverted (T_t_t+1 chained as T_t+1_t)": _reversed,
    "poses look like those of a camera with y up and z backward (OpenGL axes)": _axes(_OPENGL_AXES),
    "poses look like those of a body with x forward and z up, not of the camera": _axes(_BODY_AXES),
    "images are one frame early: image t fits the pose of t+1 (shifted by 1 frame)": _displaced(1),
    "images are one frame late: image t fits the pose of t-1 (shifted by 1 frame)": _displaced(-1),
    "translations look 100 times too large (centimetres?)": _scaled(0.01),
    "translations look 1000 times too large (millimetres?)": _scaled(0.001),
    "translations look 100 times too small": _scaled(100.0),
    "the images do not move although the poses do": _still,
}


def diagnose_poses(motion: Motion, tracks: list[Track]) -> str | None:
    """Name what is wrong with all poses of a camera, or None when nothing explains them.

    Parameters
    ----------
    motion : Motion
        The camera.
    tracks : list of Track
        Of consecutive frames; a displacement in time is only told from three or more.
    """
    base = [motion.residual(track) for track in tracks]
    now = float(np.median(base))
    best: tuple[float, str] | None = None
    for name, relative in HYPOTHESES.items():
        pairs = []
        for track, before in zip(tracks, base, strict=True):
            T = relative(motion.poses, track.first, track.second)
            if np.isfinite(T).all():
                pairs.append((motion.residual(track, T), before))
        if not pairs or ("frame" in name and len(pairs) < 3):
            continue
        then = float(np.median([after for after, _ in pairs]))
        better = sum(after < before for after, before in pairs) / len(pairs)
        if better > 0.7 and (best is None or then < 0.9 * best[0]):
            best = (then, name)
    if best is None or best[0] > EXPLAINS * now:
        return None
    return f"{best[1]}: reprojection error falls from {px(now)} to {px(best[0])} px"


def diagnose_frame(
    motion: Motion, bad: Track, passes: Callable[[Track], bool], same_image: Callable[..., bool]
) -> tuple[int, str, bool]:
    """Tell which of the two frames of a track that does not fit is at fault, and why.

    Parameters
    ----------
    motion : Motion
        The camera.
    bad : Track
        Of two consecutive frames whose residual is too large.
    passes : callable
        Whether a track's residual is within its limit.
    same_image : callable
        (frame, frame) to bool: whether two images are the same bytes.

    Returns
    -------
    frame : int
        The suspect.
    message : str
    named : bool
        Whether a displacement by one frame, or an exchange, explains it.
    """
    exchanged = _exchanged(motion, bad)
    if exchanged is not None:
        return bad.first, exchanged, True
    suspect = _suspect(motion, bad, passes)
    around = _around(motion, suspect, suspect)
    before = max(motion.residual(track) for track in [*around, bad])
    fits = [
        (_worst(motion.with_pose(suspect, suspect + shift), around), suspect + shift)
        for shift in (1, -1)
        if motion.known(suspect + shift)
    ]
    after, other = min(fits, default=(np.inf, suspect))
    jumps = _pose_jumps(motion, suspect)
    if not _explains(motion, before, after):
        repeated = _repeated_pose(motion, suspect) if jumps else None
        if repeated is not None:
            return suspect, f"pose of frame {suspect} repeats the pose of frame {repeated}", True
        what = "pose" if jumps else "image, depth or pose"
        return suspect, f"{what} of frame {suspect} does not fit its neighbours", False
    evidence = f"shifted by 1 frame it fits ({px(after)} instead of {px(before)} px)"
    if same_image(suspect, other):
        what = f"image of frame {suspect} repeats the image of frame {other}"
    elif jumps:
        what = f"pose of frame {suspect} is not of the time of its image but of frame {other}"
    else:
        what = f"image of frame {suspect} is not of the time of its pose but of frame {other}"
    return suspect, f"{what}: {evidence}", True


def _around(motion: Motion, first: int, last: int) -> list[Track]:
    """Return the tracks between consecutive frames from before `first` to after `last`."""
    return [
        track
        for t in range(first - 1, last + 1)
        if motion.known(t, t + 1) and (track := motion.track(t, t + 1)) is not None
    ]


def _worst(motion: Motion, tracks: list[Track]) -> float:
    return max((motion.residual(track) for track in tracks), default=float("inf"))


def _explains(motion: Motion, before: float, after: float) -> bool:
    return after <= EXPLAINS * before and after <= residual_limit(motion.width, before)


def _exchanged(motion: Motion, bad: Track) -> str | None:
    """Say so when the two frames of a track fit with their poses exchanged."""
    first, second = bad.first, bad.second
    around = _around(motion, first, second)
    if len(around) < 2:
        return None
    changed = motion.with_pose(first, second).poses
    changed[second] = motion.poses[first]
    before, after = _worst(motion, around), _worst(replace(motion, poses=changed), around)
    if not _explains(motion, before, after):
        return None
    what = "poses" if _pose_jumps(motion, first) or _pose_jumps(motion, second) else "images"
    return (
        f"{what} of frames {first} and {second} are exchanged: the other way round they fit "
        f"({px(after)} instead of {px(before)} px)"
    )


def _repeated_pose(motion: Motion, frame: int) -> int | None:
    """Return the neighbour whose pose a frame repeats, or None."""
    for other in (frame + 1, frame - 1):
        if motion.known(other) and np.allclose(
            motion.poses[frame], motion.poses[other], rtol=1e-9, atol=1e-6
        ):
            return other
    return None


def _suspect(motion: Motion, bad: Track, passes: Callable[[Track], bool]) -> int:
    """Return the frame without which its neighbours fit."""
    first, second = bad.first, bad.second
    scores: dict[int, float] = {}
    for frame in (first, second):
        if motion.known(frame - 1, frame + 1):
            around = motion.track(frame - 1, frame + 1)
            if around is not None and passes(around):
                scores[frame] = motion.residual(around)
    if scores:
        return min(scores, key=lambda frame: scores[frame])
    for frame, outer in ((first, second + 1), (second, first - 1)):  # at the ends
        inner = second if frame == first else first
        if motion.known(inner, outer):
            track = motion.track(min(inner, outer), max(inner, outer))
            if track is not None and passes(track):
                return frame
    return second


def _pose_jumps(motion: Motion, frame: int) -> bool:
    """Tell from the poses alone whether that of a frame is off the path of its neighbours."""
    if motion.known(frame - 1, frame, frame + 1):
        near = slice(frame - 1, frame + 2)
        return bool(step_deviation(motion.poses[near], motion.times[near])[0] > JUMP_SHARE)
    inward = 1 if frame == 0 else -1
    if not motion.known(frame, frame + inward, frame + 2 * inward):
        return False
    position = motion.poses[:, :3, 3]
    outer = float(np.linalg.norm(position[frame + inward] - position[frame]))
    inner = float(np.linalg.norm(position[frame + 2 * inward] - position[frame + inward]))
    return bool(abs(outer - inner) > JUMP_SHARE * max(inner, 1e-9))
