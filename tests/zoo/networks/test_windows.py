"""Windows over a video, and work in pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthzoo.networks.pieces import in_pieces
from depthzoo.networks.windows import Windows


def kept(size: int, count: int, *, reference: bool = False) -> list[int]:
    windows = Windows(size, reference=reference).over(range(count))
    return [frame for window in windows for frame in window.frames[window.kept]]


def as_described(size: int, count: int) -> list[int]:
    """The authors' merging, sentence by sentence."""
    step, result = size // 2, []
    before, behind = step // 2, -(-step // 2)
    for start in range(0, count, step):
        frames = list(range(start, min(start + size, count)))
        length = len(frames)
        if start == 0:
            result += frames[: max(0, length - behind)]
        elif length >= step:
            result += frames[before:] if length < size else frames[before : length - behind]
    return result


@given(st.integers(1, 25), st.integers(1, 120))
def test_every_frame_is_kept_once_whatever_the_size(size, count):
    assert kept(size, count) == list(range(count))


@given(st.integers(2, 25), st.integers(0, 120))
def test_reference_windows_keep_what_the_authors_keep(size, count):
    found = kept(size, count, reference=True)
    assert found == as_described(size, count)
    if size % 2 == 0 and count >= size:
        assert found == kept(size, count)


@given(st.integers(1, 12), st.integers(0, 60), st.booleans())
def test_windows_are_read_as_they_are_needed(size, count, reference):
    read = []

    def video():
        for frame in range(count):
            read.append(frame)
            yield frame

    new: list[int] = []
    for window in Windows(max(2, size), reference=reference).over(video()):
        assert read[-1] == window.frames[-1] and window.frames[0] == window.start
        new += window.frames[len(window.frames) - window.fresh :]
    assert new == list(range(count))


@pytest.mark.parametrize(("size", "reference"), [(0, False), (1, True)])
def test_sizes_that_give_no_windows_are_refused(size, reference):
    with pytest.raises(ValueError, match="has at least"):
        Windows(size, reference=reference)


@given(st.integers(1, 9), st.none() | st.integers(1, 12), st.integers(0, 1))
def test_pieces_make_the_whole(length, size, dim):
    x = torch.arange(float(length)).expand(3, length) if dim else torch.arange(float(length))
    x = x.clone()
    calls = []

    def double(at: slice) -> torch.Tensor:
        calls.append(at)
        return 2 * (x[:, at] if dim else x[at])

    assert torch.equal(in_pieces(double, length, size, dim=dim), 2 * x)
    assert len(calls) == (1 if size is None else -(-length // size))
    want = 2 * x
    assert torch.equal(in_pieces(double, length, size, dim=dim, out=x), want)
