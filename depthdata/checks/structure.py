"""Checks that need no image: poses, times, intrinsics, the geometry of a stereo rig.

Every function takes arrays and gives findings; none knows where the arrays come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from depthdata.checks.report import Finding, at_most, skipped

__all__ = [
    "camera_times",
    "images_differ",
    "intrinsics_plausible",
    "monotone_times",
    "pose_steps",
    "poses_rigid",
    "stereo_rig",
]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

MISSING_TIME = np.iinfo(np.int64).min
RIGID_TOLERANCE = 1e-4  # float32 poses that were chained a few times stay below 1e-5
JUMP_SHARE = 0.5  # of a step; half a step off is a frame that is displaced by one
JUMP_FACTOR = 5.0  # times the sequence's own usual deviation
JUMP_METRES, JUMP_DEGREES = 0.05, 1.0  # smaller deviations are jitter
FOV_DEGREES = (5.0, 170.0)
ASPECT = 1.35  # fx/fy of anamorphic resizes in use (1242x375 -> 640x192) stays below 1.04
BASELINE_SHARE, BASELINE_METRES = 0.05, 0.005
RIG_DEGREES, TILT_DEGREES = 0.5, 2.0
FOCAL_SHARE, CENTRE_ROWS = 0.002, 1.0


def poses_rigid(camera: str, poses: Floats | None) -> Finding:
    """Check that every known pose is a proper rotation and a translation: R^T R = I, det R = +1.

    Parameters
    ----------
    camera : str
        Named in the finding.
    poses : float64, (T, 4, 4) or None
        `T_world_cam`, NaN where unknown.
    """
    name = "poses rigid"
    known = _known(poses)
    if poses is None or not known.any():
        return skipped(name, "no poses", camera)
    partly = np.isfinite(poses).any((-1, -2)) & ~known
    if partly.any():
        frame = int(np.flatnonzero(partly)[0])
        return Finding(name, False, f"pose of frame {frame} is partly NaN", camera, frame=frame)
    rotation = poses[:, :3, :3]
    gram = np.swapaxes(rotation, -1, -2) @ rotation
    bottom = np.abs(poses[:, 3] - [0, 0, 0, 1]).max(-1)
    off = np.maximum(np.abs(gram - np.eye(3)).max((-1, -2)), bottom)
    off[~known] = 0.0
    frame = int(off.argmax())
    mirrored = known & (np.linalg.det(np.where(known[:, None, None], rotation, np.eye(3))) < 0)
    value = float(off[frame])
    if mirrored.any():
        frame = int(np.flatnonzero(mirrored)[0])
        message = (
            f"pose of frame {frame} mirrors (det = -1): an axis was flipped or two were swapped"
        )
    elif bottom[frame] > RIGID_TOLERANCE:
        message = f"pose of frame {frame}: last row is not 0 0 0 1; is the matrix transposed?"
    elif value > RIGID_TOLERANCE:
        message = f"pose of frame {frame}: rotation is not orthogonal (scaled or damaged)"
    else:
        message = f"{int(known.sum())} poses are rotations and translations"
    ok = value <= RIGID_TOLERANCE and not mirrored.any()
    return at_most(
        name, value, RIGID_TOLERANCE, "", message=message, camera=camera, frame=frame, ok=ok
    )


def pose_steps(camera: str, poses: Floats | None, times: Times) -> Finding:
    """Check that no pose jumps: each lies near the path between its neighbours.

    A pose is compared with its two neighbours interpolated at its own time. The finding names the
    frame whose pose is off by more than half a step, when that is far above the sequence's habit.

    Parameters
    ----------
    camera : str
        Named in the finding.
    poses : float64, (T, 4, 4) or None
        `T_world_cam`, NaN where unknown.
    times : int64, (T,)
        Nanoseconds.
    """
    name = "pose steps"
    known = np.flatnonzero(_known(poses))
    if poses is None or known.size < 4:
        return skipped(name, f"{known.size} poses; at least 4 are needed", camera)
    off, size = _deviation(poses[known], times[known])
    value = float(off.max())
    worst = np.where(off > JUMP_SHARE, size, 0.0) if value > JUMP_SHARE else off
    frame = int(known[1 + int(worst.argmax())])
    message = (
        f"pose of frame {frame} jumps: {value:.2g} of a step away from the path of its neighbours"
        if value > JUMP_SHARE
        else "poses follow a smooth path"
    )
    return at_most(name, value, JUMP_SHARE, "step", message=message, camera=camera, frame=frame)


def step_deviation(poses: Floats, times: Times) -> Floats:
    """How far each inner pose is from the path between its neighbours, in steps.

    Parameters
    ----------
    poses : float64, (n, 4, 4)
        All known, n >= 3.
    times : int64, (n,)

    Returns
    -------
    float64, (n - 2,)
        Distance divided by the mean step of the two sides, the larger of translation and rotation;
        at most 0.25 for what is jitter (below 5 cm and 1 degree, or usual in this sequence).
    """
    return _deviation(poses, times)[0]


def _deviation(poses: Floats, times: Times) -> tuple[Floats, Floats]:
    """Return `step_deviation`, and the deviation itself in units of what counts as jitter."""
    position, rotation = poses[:, :3, 3], poses[:, :3, :3]
    whole = (times[2:] - times[:-2]).astype(np.float64)
    part = (times[1:-1] - times[:-2]) / np.where(whole > 0, whole, 1)
    part = np.where((whole > 0) & (part > 0) & (part < 1), part, 0.5)
    between = position[:-2] + part[:, None] * (position[2:] - position[:-2])
    shift = np.linalg.norm(position[1:-1] - between, axis=-1)
    shift_step = np.linalg.norm(position[2:] - position[:-2], axis=-1) / 2
    before = _angle(rotation[:-2], rotation[1:-1])
    across = _angle(rotation[:-2], rotation[2:])
    after = _angle(rotation[1:-1], rotation[2:])
    turn = np.maximum(np.maximum(before - part * across, after - (1 - part) * across), 0.0)
    steps = np.maximum(
        _steps(shift, shift_step, JUMP_METRES), _steps(turn, across / 2, JUMP_DEGREES)
    )
    return steps, np.maximum(shift / JUMP_METRES, turn / JUMP_DEGREES)


def monotone_times(times: Times) -> Finding:
    """Check that timestamps strictly increase."""
    name = "time"
    known = np.flatnonzero(times != MISSING_TIME)
    if known.size < 2:
        return skipped(name, f"{known.size} frames with a time; at least 2 are needed")
    steps = np.diff(times[known]).astype(np.float64) * 1e-6
    worst = int(steps.argmin())
    frame = int(known[worst + 1])
    value = float(steps[worst])
    if value <= 0:
        message = (
            f"time does not increase from frame {known[worst]} to frame {frame}: "
            "frames out of order or repeated"
        )
    else:
        message = (
            f"{known.size} times increase, median step {np.median(steps):.4g} ms, "
            f"largest {steps.max():.4g} ms"
        )
    return Finding(
        name,
        value > 0,
        message,
        value=value,
        threshold=0.0,
        relation=">",
        unit="ms",
        frame=frame,
        numbers={"median_step_ms": float(np.median(steps)), "largest_step_ms": steps.max()},
    )


def camera_times(camera: str, own: Times | None, timeline: Times) -> Finding:
    """Check that the exposure times of a camera lie within half a step of the timeline."""
    name = "camera time"
    if own is None:
        return skipped(name, "camera has no times of its own", camera)
    known = np.flatnonzero((own != MISSING_TIME) & (timeline != MISSING_TIME))
    if known.size < 2:
        return skipped(name, f"{known.size} frames with both times", camera)
    steps = np.diff(timeline[known]).astype(np.float64) * 1e-6
    off = (own[known] - timeline[known]).astype(np.float64) * 1e-6
    worst = int(np.abs(off).argmax())
    value, limit = float(abs(off[worst])), float(np.median(np.abs(steps))) / 2
    frame = int(known[worst])
    message = f"median offset {np.median(off):.3g} ms"
    if value > limit:
        message = (
            f"time of frame {frame} is {off[worst]:.4g} ms from the timeline, more than half a "
            "step: frames of this camera are shifted"
        )
    backwards = np.flatnonzero(np.diff(own[known]) <= 0)
    if backwards.size:
        frame = int(known[backwards[0] + 1])
        message = f"time of the camera does not increase at frame {frame}"
    return at_most(
        name,
        value,
        limit,
        "ms",
        message=message,
        camera=camera,
        frame=frame,
        ok=value <= limit and not backwards.size,
    )


def images_differ(camera: str, images: Sequence[object], poses: Floats | None) -> Finding:
    """Check that no image repeats the one before it while the camera moves.

    Parameters
    ----------
    camera : str
        Named in the finding.
    images : sequence
        Something for each frame that is equal when the images are the same bytes; None: no image.
    poses : float64, (T, 4, 4) or None
        `T_world_cam`; without them a repeated image is only counted.
    """
    name = "images differ"
    pairs = [
        t for t in range(1, len(images)) if images[t] is not None and images[t - 1] is not None
    ]
    if not pairs:
        return skipped(name, "no two consecutive images", camera)
    repeats = [t for t in pairs if images[t] == images[t - 1]]
    message = (
        f"{len(repeats)} of {len(pairs)} images repeat the one before; the camera stands still"
    )
    if poses is not None:
        moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1) > JUMP_METRES
        moved |= _angle(poses[:-1, :3, :3], poses[1:, :3, :3]) > JUMP_DEGREES
        wrong = [t for t in repeats if moved[t - 1]]
    else:
        wrong, message = [], f"{len(repeats)} of {len(pairs)} images repeat the one before"
    if not repeats:
        message = f"{len(pairs)} images differ from the one before"
    if wrong:
        message = (
            f"images of frames {wrong[0] - 1} and {wrong[0]} are the same although the camera "
            f"moved ({len(wrong)} such pairs): an image was shifted by one frame, or lost"
        )
    return at_most(
        name,
        float(len(wrong)),
        0.0,
        "frames",
        message=message,
        camera=camera,
        frame=wrong[0] if wrong else None,
        numbers={"repeats": float(len(repeats))},
    )


def intrinsics_plausible(camera: str, intrinsics: Floats, height: int, width: int) -> Finding:
    """Check focal lengths (positive, alike), principal point inside the image, sane field of view.

    Parameters
    ----------
    camera : str
        Named in the finding.
    intrinsics : float64, (3, 3) or (T, 3, 3)
        For the stored image.
    height, width : int
        Of the stored image.
    """
    name = "intrinsics"
    stack = np.asarray(intrinsics, np.float64).reshape(-1, 3, 3)
    worst: tuple[float, int, str] | None = None
    for frame, K in enumerate(stack):
        problem = _intrinsics_problem(K, height, width)
        if problem:
            worst = (0.0, frame, problem)
            break
    fx, cx, cy = stack[0, 0, 0], stack[0, 0, 2], stack[0, 1, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        fov = float(np.degrees(2 * np.arctan(width / (2 * fx))))
    message = (
        f"fx {fx:.4g}, fy {stack[0, 1, 1]:.4g}, centre ({cx:.4g}, {cy:.4g}) of {width}x{height}"
    )
    if worst is not None:
        message = worst[2] if len(stack) == 1 else f"frame {worst[1]}: {worst[2]}"
    return at_most(
        name,
        fov,
        FOV_DEGREES[1],
        "deg",
        message=message,
        camera=camera,
        frame=None if worst is None else worst[1],
        ok=worst is None,
    )


def stereo_rig(
    pair: str, T_left_right: Floats, baseline: float, K_left: Floats, K_right: Floats
) -> list[Finding]:
    """Check that the right camera lies `baseline` to the right of the left one, and is alike.

    Parameters
    ----------
    pair : str
        "left/right", named in the findings.
    T_left_right : float64, (4, 4)
        From the rig, or from the two poses of one frame.
    baseline : float
        Metres, as the file states it.
    K_left, K_right : float64, (3, 3)
    """
    x, y, z = (float(v) for v in T_left_right[:3, 3])
    if x < 0:
        note = (
            f"the right camera lies {-x:.3g} m to the LEFT of the left one: "
            "left and right look swapped (or the poses are inverted)"
        )
    elif abs(x - baseline) > _baseline_limit(baseline):
        note = f"poses put the cameras {x:.4g} m apart, the file says {baseline:.4g} m"
    else:
        note = f"right camera at ({x:.4g}, {y:.3g}, {z:.3g}) m in the left one"
    found = [
        at_most(
            "baseline",
            abs(x - baseline),
            _baseline_limit(baseline),
            "m",
            message=note,
            camera=pair,
        )
    ]
    turn = float(_angle(np.eye(3)[None], T_left_right[None, :3, :3])[0])
    tilt = float(np.degrees(np.arctan2(np.hypot(y, z), abs(x)))) if abs(x) > 0.01 else 0.0
    parallel = turn <= RIG_DEGREES and tilt <= TILT_DEGREES
    note = f"cameras turned by {turn:.3g} deg, baseline tilted by {tilt:.3g} deg"
    found.append(
        at_most(
            "rectified rig",
            turn,
            RIG_DEGREES,
            "deg",
            message=note if parallel else f"{note}: not a rectified pair",
            camera=pair,
            ok=parallel,
            numbers={"tilt_deg": tilt},
        )
    )
    focal = float(np.abs(np.diag(K_left)[:2] / np.diag(K_right)[:2] - 1).max())
    rows = float(abs(K_left[1, 2] - K_right[1, 2]))
    alike = focal <= FOCAL_SHARE and rows <= CENTRE_ROWS
    note = f"focal lengths differ by {focal:.2%}, rows of the centres by {rows:.3g} px"
    found.append(
        at_most(
            "rectified intrinsics",
            focal,
            FOCAL_SHARE,
            "",
            message=note if alike else f"{note}: not a rectified pair",
            camera=pair,
            ok=alike,
            numbers={"centre_rows_px": rows},
        )
    )
    return found


def _baseline_limit(baseline: float) -> float:
    return max(BASELINE_METRES, BASELINE_SHARE * abs(baseline))


def _intrinsics_problem(K: Floats, height: int, width: int) -> str | None:
    if not np.isfinite(K).all():
        return "intrinsics are not finite"
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    if fx <= 0 or fy <= 0:
        return f"focal length is not positive (fx {fx:.4g}, fy {fy:.4g})"
    if np.abs(K[2] - [0, 0, 1]).max() > 1e-9 or abs(K[1, 0]) > 1e-6 * fx:
        return "not an upper triangular matrix with last row 0 0 1; is it transposed?"
    if fx <= 2 and fy <= 2:
        return f"fx {fx:.4g}, fy {fy:.4g} look normalised by the image size, not in pixels"
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        return (
            f"principal point ({cx:.4g}, {cy:.4g}) lies outside the image {width}x{height}: "
            "intrinsics of another resolution, or cx and cy swapped"
        )
    if not 1 / ASPECT <= fx / fy <= ASPECT:
        return f"fx {fx:.4g} and fy {fy:.4g} differ: intrinsics of a resized image?"
    fov = np.degrees(2 * np.arctan(width / (2 * fx)))
    if not FOV_DEGREES[0] <= fov <= FOV_DEGREES[1]:
        return f"field of view {fov:.3g} deg: focal length {fx:.4g} is not of this image"
    return None


def _known(poses: Floats | None) -> npt.NDArray[np.bool_]:
    if poses is None:
        return np.zeros(0, bool)
    return np.asarray(np.isfinite(poses).all((-1, -2)))


def _angle(a: Floats, b: Floats) -> Floats:
    """Return the angle between rotations (..., 3, 3) in degrees, exact for small angles too."""
    chord = np.linalg.norm(a - b, axis=(-1, -2)) / np.sqrt(8.0)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord, 0.0, 1.0))))


def _steps(deviation: Floats, step: Floats, jitter: float) -> Floats:
    usual = JUMP_FACTOR * float(np.median(deviation)) if deviation.size >= 8 else 0.0
    ratio = np.minimum(deviation / np.maximum(step, 1e-9), 100.0)
    jittering = deviation <= max(jitter, usual)
    return np.asarray(np.where(jittering, np.minimum(ratio, JUMP_SHARE / 2), ratio))
