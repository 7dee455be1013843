"""Paths of the camera that were estimated elsewhere: text of KITTI or TUM, or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.codecs.colmap import rotation_from_quaternion
from depthdata.errors import FormatError, UsageError
from depthdata.sequence import MISSING_TIME
from depthzoo.evaluation.stored_files import open_stack

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = ["PATHS", "read_path"]

PATHS = (".txt", ".tum", ".kitti", ".npz", ".npy", ".h5")
APART_NS = 20_000_000
"""A time of a TUM file belongs to a frame that is no further away than this."""

Poses = NDArray[np.float64]


def read_path(path: Path, seq: Sequence, frames: tuple[int, ...]) -> Poses:
    """Return the poses of frames, camera to world.

    Parameters
    ----------
    path : Path
        Text with 12 numbers a line (KITTI: the first three rows of the matrix; a line for each
        frame of the sequence, or for each that is evaluated), or 8 (TUM: seconds, x y z,
        quaternion x y z w; found by time), or an array (n,4,4), (n,3,4) or (n,12).
    seq : Sequence
        Its frame times and names.
    frames : tuple of int
        Timeline indices.

    Returns
    -------
    (N, 4, 4) float64

    Raises
    ------
    UsageError
        A frame has no pose.
    FormatError
        The text or the array is no path.
    """
    if path.suffix in (".npz", ".npy", ".h5"):
        stack = open_stack(path, "pose")
        if stack.frame_ids is not None or stack.frames is not None:
            numbers = [stack.number(t, str(seq.frame_ids[t])) for t in frames]
            lost = [t for t, n in zip(frames, numbers, strict=True) if n is None]
            if lost:
                raise UsageError(_lost(path, seq, lost, len(frames)))
            rows = np.stack([stack.read(n) for n in numbers if n is not None])
            return _matrices(path, rows)
        every = np.stack([stack.read(n) for n in range(len(stack))])
        return _in_order(path, _matrices(path, every), seq, frames)
    rows = _text(path)
    if rows.shape[1] == 12:
        return _in_order(path, _matrices(path, rows), seq, frames)
    return _by_time(path, rows, seq, frames)


def _text(path: Path) -> Poses:
    rows: list[list[float]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise FormatError(
                f"{path}: line {number}: expected numbers, found {line!r:.60}"
            ) from None
        if len(row) not in (8, 12) or (rows and len(row) != len(rows[0])):
            raise FormatError(
                f"{path}: line {number}: expected 12 numbers (KITTI) or 8 (TUM: time x y z "
                f"qx qy qz qw) in every line, found {len(row)}"
            )
        rows.append(row)
    if not rows:
        raise FormatError(f"{path} is empty; expected a pose a line")
    return np.array(rows)


def _matrices(path: Path, rows: NDArray[Any]) -> Poses:
    """Return (n,4,4) from (n,4,4), (n,3,4) or (n,12)."""
    values = np.asarray(rows, np.float64)
    if values.shape[1:] == (12,):
        values = values.reshape(-1, 3, 4)
    if values.shape[1:] not in ((3, 4), (4, 4)):
        raise FormatError(f"{path}: expected poses (n, 4, 4), (n, 3, 4) or (n, 12), found "
                          f"{rows.shape}")  # fmt: skip
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3] = values[:, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.linalg.det(np.nan_to_num(poses[:, :3, :3], posinf=0, neginf=0))
    wrong = np.flatnonzero(~np.isfinite(poses).all((1, 2)) | (np.abs(size - 1) > 1e-2))
    if len(wrong):
        raise FormatError(
            f"{path}: pose {wrong[0]} is no rotation and translation (determinant "
            f"{size[wrong[0]]:.3g}); {len(wrong)} of {len(poses)} are not"
        )
    return poses


def _in_order(path: Path, poses: Poses, seq: Sequence, frames: tuple[int, ...]) -> Poses:
    if len(poses) == len(seq):
        return poses[list(frames)]
    if len(poses) == len(frames):
        return poses
    raise UsageError(
        f"{path}: {len(poses)} poses for sequence {seq.name} of {len(seq)} frames, {len(frames)} "
        "of which are evaluated; give one for each"
    )


def _by_time(path: Path, rows: Poses, seq: Sequence, frames: tuple[int, ...]) -> Poses:
    rotations = np.stack([rotation_from_quaternion(row[[7, 4, 5, 6]]) for row in rows])
    values = np.concatenate([rotations, rows[:, 1:4, None]], axis=2)
    poses = _matrices(path, values)
    times = np.asarray(seq.timestamps, np.int64)[list(frames)]
    if (times == MISSING_TIME).any():
        return _in_order(path, poses, seq, frames)
    given = np.round(rows[:, 0] * 1e9)
    order = np.argsort(given, kind="stable")
    right = np.clip(np.searchsorted(given[order], times), 1, max(len(given) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(given) - 1)
    nearest = np.where(
        np.abs(given[order[left]] - times) <= np.abs(given[order[right]] - times), left, right
    )
    apart = np.abs(given[order[nearest]] - times)
    lost = [t for t, far in zip(frames, apart > APART_NS, strict=True) if far]
    if lost:
        own, theirs = times / 1e9, rows[:, 0]
        raise UsageError(
            f"{_lost(path, seq, lost, len(frames))}: its times run from {theirs.min():.3f} s to "
            f"{theirs.max():.3f} s, the frames' from {own.min():.3f} s to {own.max():.3f} s"
        )
    return poses[order[nearest]]


def _lost(path: Path, seq: Sequence, lost: list[int], total: int) -> str:
    return (
        f"{path} has no pose for {len(lost)} of {total} frames of {seq.name}, the first is "
        f"{seq.frame_ids[lost[0]]}"
    )
