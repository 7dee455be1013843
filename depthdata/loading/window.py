"""Which frames around an anchor frame make a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = ["Window"]

MISSING_TIME = np.iinfo(np.int64).min
_BOUNDARIES = ("drop", "clamp")


@dataclass(frozen=True)
class Window:
    """The frames of a sample, in the order in which they are returned.

    Give `offsets`, `seconds` or `length`; nothing means the anchor frame alone.

    Parameters
    ----------
    offsets : tuple of int, optional
        Frames relative to the anchor, multiplied by `stride`.
    seconds : tuple of float, optional
        Times relative to the anchor; the nearest frame in time is taken.
    length : int, optional
        A clip of so many frames that starts at the anchor, `stride` apart.
    stride : int
        Frames between neighbours of `offsets` or of a clip.
    hop : int
        Without a split list, every `hop`-th frame is an anchor.
    boundary : {"drop", "clamp"}
        What to do where the window leaves the sequence or meets a frame without an image: leave
        the sample out, or take the next usable frame on the way to the anchor.
    tolerance : float, optional
        For `seconds`: how far the nearest frame may be from the time asked for; half of the
        median frame interval where not given.

    Examples
    --------
    >>> Window(offsets=(-1, 0, 1), stride=2).steps
    (-2, 0, 2)
    >>> Window(length=4).steps
    (0, 1, 2, 3)
    >>> len(Window(seconds=(0.0, 0.5)))
    2
    """

    offsets: tuple[int, ...] | None = None
    seconds: tuple[float, ...] | None = None
    length: int | None = None
    stride: int = 1
    hop: int = 1
    boundary: str = "drop"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        given = [n for n in ("offsets", "seconds", "length") if getattr(self, n) is not None]
        if len(given) > 1:
            raise UsageError(f"a window has one of offsets, seconds, length; found {given}")
        for name in ("offsets", "seconds"):
            values: Any = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(values))
                if not len(values):
                    raise UsageError(f"a window needs at least one frame; {name} is empty")
        for name in ("stride", "hop", *(["length"] if self.length is not None else [])):
            if getattr(self, name) < 1:
                raise UsageError(f"window {name} must be 1 or more, found {getattr(self, name)}")
        if self.boundary not in _BOUNDARIES:
            raise UsageError(
                f"window boundary must be one of {_BOUNDARIES}, found {self.boundary!r}"
            )

    def __len__(self) -> int:
        return len(self.seconds) if self.seconds is not None else len(self.steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """Frame offsets with the stride applied (not for a window in seconds)."""
        if self.length is not None:
            return tuple(range(0, self.length * self.stride, self.stride))
        return tuple(o * self.stride for o in self.offsets or (0,))

    def frames(
        self,
        anchors: npt.NDArray[np.int64],
        usable: npt.NDArray[np.bool_],
        timestamps: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the frames of the window at each anchor, and which windows can be had.

        Parameters
        ----------
        anchors : int array, (n,)
            Frames of the timeline.
        usable : bool array, (T,)
            Which frames have what the window needs.
        timestamps : int array, (T,)
            Nanoseconds; only used for a window in seconds.

        Returns
        -------
        frames : int array, (n, K)
        keep : bool array, (n,)
            Rows of `frames` that are meaningful.
        """
        anchors = np.asarray(anchors, dtype=np.int64)
        total = len(usable)
        if total == 0:
            return np.zeros((len(anchors), len(self)), np.int64), np.zeros(len(anchors), bool)
        inside = (anchors >= 0) & (anchors < total)
        anchors = np.where(inside, anchors, 0)
        if self.seconds is not None:
            frames, found = self._at_seconds(anchors, timestamps)
        else:
            frames = anchors[:, None] + np.asarray(self.steps, dtype=np.int64)
            found = (frames >= 0) & (frames < total)
            frames = frames.clip(0, total - 1)
        if self.boundary == "clamp":
            frames = _towards(frames, anchors, usable)
            return frames, inside & usable[anchors] & usable[frames].all(axis=1)
        return frames, inside & (found & usable[frames]).all(axis=1)

    def _at_seconds(
        self, anchors: npt.NDArray[np.int64], timestamps: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        if (timestamps == MISSING_TIME).any() or (np.diff(timestamps) < 0).any():
            raise UsageError(
                "a window in seconds needs a timeline with ascending timestamps in every frame; "
                "use offsets here"
            )
        steps = np.rint(np.asarray(self.seconds, dtype=np.float64) * 1e9).astype(np.int64)
        wanted = timestamps[anchors][:, None] + steps
        after = np.searchsorted(timestamps, wanted).clip(0, len(timestamps) - 1)
        before = (after - 1).clip(0)
        nearer = np.abs(timestamps[before] - wanted) <= np.abs(timestamps[after] - wanted)
        frames = np.where(nearer, before, after)
        if self.tolerance is not None:
            tolerance = self.tolerance * 1e9
        else:
            tolerance = float(np.median(np.diff(timestamps))) / 2 if len(timestamps) > 1 else 0.0
        return frames, np.abs(timestamps[frames] - wanted) <= tolerance


def _towards(
    frames: npt.NDArray[np.int64], anchors: npt.NDArray[np.int64], usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Replace each frame by the first usable one between it and its anchor."""
    positions = np.arange(len(usable))
    at_or_before = np.maximum.accumulate(np.where(usable, positions, -1))
    at_or_after = np.minimum.accumulate(np.where(usable, positions, len(usable))[::-1])[::-1]
    later = frames >= anchors[:, None]
    moved = np.where(later, at_or_before[frames], at_or_after[frames])
    return np.asarray(np.clip(moved, 0, len(usable) - 1), dtype=np.int64)
