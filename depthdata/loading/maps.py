"""Bring maps and points to the size of a sample. Pure numpy.

Everything that is measured is sampled, never interpolated: a depth between two surfaces is the
depth of neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["densify", "disparity_factor", "is_disparity", "nearest_resize", "scale_points"]

Float = npt.NDArray[np.float32]


def nearest_resize(values: npt.NDArray[np.generic], hw: tuple[int, int]) -> npt.NDArray[np.generic]:
    """Sample the last two axes at a new size; the pixel whose area holds the new centre is taken.

    Examples
    --------
    >>> nearest_resize(np.arange(6).reshape(1, 6), (1, 3)).tolist()
    [[1, 3, 5]]
    """
    height, width = values.shape[-2:]
    if (height, width) == hw:
        return values
    rows = ((2 * np.arange(hw[0]) + 1) * height) // (2 * hw[0])
    columns = ((2 * np.arange(hw[1]) + 1) * width) // (2 * hw[1])
    return values[..., rows[:, None], columns]


def is_disparity(name: str) -> bool:
    """Whether values of a stream are pixels of a stereo match: they scale with the image.

    Examples
    --------
    >>> is_disparity("disparity_change_forward"), is_disparity("depth")
    (True, False)
    """
    return name.startswith("disparity") and not name.endswith("_valid")


def disparity_factor(name: str, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> float:
    """Return what the values of a stream are multiplied with when its image changes size.

    ``disparity_y`` is along a column, every other disparity along a row; the rest is as it was.

    Examples
    --------
    >>> [disparity_factor(name, (4, 8), (2, 8)) for name in ("disparity", "disparity_y")]
    [1.0, 0.5]
    """
    if not is_disparity(name):
        return 1.0
    return to_hw[0] / from_hw[0] if name == "disparity_y" else to_hw[1] / from_hw[1]


def scale_points(
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating],
    from_hw: tuple[int, int],
    to_hw: tuple[int, int],
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Move image positions (pixel centres at integers) to an image of another size.

    Examples
    --------
    >>> x, y = scale_points(np.array([0.5]), np.array([0.0]), (2, 2), (1, 1))
    >>> float(x[0]), float(y[0])
    (0.0, -0.25)
    """
    if from_hw == to_hw:
        return x, y
    sy, sx = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    return (x + 0.5) * sx - 0.5, (y + 0.5) * sy - 0.5


def densify(
    out: Float,
    flat: npt.NDArray[np.integer],
    value: npt.NDArray[np.floating],
    *,
    largest: bool = False,
) -> None:
    """Write `value` at flat positions of `out`; of several at one pixel the smallest wins.

    Parameters
    ----------
    out : float32 array, (H*W,)
        Zero where nothing is written.
    flat : int array, (N,)
        row * W + column, all inside.
    value : float array, (N,)
    largest : bool
        The largest wins (disparity: near is large).

    Examples
    --------
    >>> out = np.zeros(3, np.float32)
    >>> densify(out, np.array([1, 1, 2]), np.array([4.0, 9.0, 5.0]))
    >>> out.tolist()
    [0.0, 4.0, 5.0]
    """
    value = value.astype(np.float32, copy=False)
    out[flat] = value
    if (flat[1:] > flat[:-1]).all():  # sorted, so no pixel twice
        return
    written = out[flat]
    lost = np.flatnonzero(value > written if largest else value < written)
    if len(lost):
        rank = np.argsort(value[lost] if largest else -value[lost], kind="stable")
        lost = lost[rank]
        out[flat[lost]] = value[lost]
