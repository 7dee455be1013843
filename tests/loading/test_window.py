"""Which frames make a sample."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.loading import Window

ALL = np.ones(6, dtype=bool)
TIMES = np.arange(6, dtype=np.int64) * 100_000_000  # 10 Hz


def frames_of(
    window: Window, usable: np.ndarray = ALL, times: np.ndarray = TIMES
) -> dict[int, tuple[int, ...]]:
    anchors = np.arange(len(usable))
    frames, keep = window.frames(anchors, usable, times)
    return {int(a): tuple(f) for a, f, k in zip(anchors, frames.tolist(), keep, strict=True) if k}


def test_offsets_leave_out_what_leaves_the_sequence() -> None:
    assert frames_of(Window((0, -1, 1))) == {t: (t, t - 1, t + 1) for t in (1, 2, 3, 4)}
    assert frames_of(Window((0, -1), stride=4)) == {4: (4, 0), 5: (5, 1)}


def test_a_frame_without_image_is_met_by_its_neighbours_too() -> None:
    usable = ALL.copy()
    usable[3] = False
    assert set(frames_of(Window((-1, 0, 1)), usable)) == {1}


def test_clamp_takes_the_next_usable_frame_towards_the_anchor() -> None:
    usable = ALL.copy()
    usable[[0, 4]] = False
    found = frames_of(Window((-2, 0, 2), boundary="clamp"), usable)
    assert found == {1: (1, 1, 3), 2: (1, 2, 3), 3: (1, 3, 5), 5: (3, 5, 5)}


def test_clip() -> None:
    assert frames_of(Window(length=3, stride=2)) == {0: (0, 2, 4), 1: (1, 3, 5)}
    assert len(Window(length=3)) == 3


def test_seconds_take_the_nearest_frame_in_time() -> None:
    uneven = np.array([0, 100, 190, 320, 400, 900], dtype=np.int64) * 1_000_000
    found = frames_of(Window(seconds=(-0.1, 0.0, 0.1)), ALL, uneven)
    assert found == {1: (0, 1, 2), 2: (1, 2, 3), 3: (2, 3, 4)}
    wide = Window(seconds=(0.0, 0.1), tolerance=0.5)
    assert frames_of(wide, ALL, uneven)[4] == (4, 4)
    clamped = Window(seconds=(0.0, 10.0), boundary="clamp")
    assert frames_of(clamped, ALL, uneven)[0] == (0, 5)


def test_seconds_need_timestamps() -> None:
    missing = np.full(6, np.iinfo(np.int64).min)
    with pytest.raises(UsageError, match="timestamps"):
        frames_of(Window(seconds=(0.0, 0.1)), ALL, missing)


def test_frames_outside_the_timeline_are_no_anchors() -> None:
    _, keep = Window().frames(np.array([-1, 0, 6]), ALL, TIMES)
    assert keep.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"offsets": (0,), "length": 2}, "one of offsets, seconds, length"),
        ({"offsets": ()}, "empty"),
        ({"length": 0}, "length must be 1"),
        ({"stride": 0}, "stride must be 1"),
        ({"boundary": "wrap"}, "'wrap'"),
    ],
)
def test_wrong_arguments(arguments: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Window(**arguments)
