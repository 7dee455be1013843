"""Dense frames: measured values to what is stored, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = ["check_missing", "from_stored", "to_stored"]

Missing = str | int | float | None


def check_missing(missing: Missing, dtype: np.dtype[Any], scale: float | None) -> Missing:
    """Return the rule for missing values as the file states it, or raise UsageError."""
    if dtype.kind not in "iuf" or dtype.byteorder == ">":
        raise UsageError(f"dense stream: dtype must be a little-endian number, found {dtype.str}")
    if scale is not None and (dtype.kind == "f" or not 0 < scale < math.inf):
        raise UsageError(
            f"dense stream: scale is for whole numbers and above 0, found {scale} for {dtype}"
        )
    if missing is None:
        return None
    if missing == "nan":
        if dtype.kind != "f":
            raise UsageError(f"dense stream: missing='nan' needs a float dtype, found {dtype}")
        return "nan"
    if isinstance(missing, str):
        raise UsageError(f"dense stream: missing must be 'nan', a number or None, found {missing}")
    if dtype.kind != "f" and int(missing) != missing:
        raise UsageError(f"dense stream: missing={missing} is not a value of {dtype}")
    return int(missing) if dtype.kind != "f" else float(missing)


def to_stored(
    frame: npt.NDArray[Any],
    dtype: np.dtype[Any],
    scale: float | None,
    missing: Missing,
    where: str = "dense frame",
) -> npt.NDArray[Any]:
    """Return a frame as it is stored.

    Whole numbers are stored as they are. Floating values of a stream with a scale are divided by
    it and must come back as the same float32; NaN becomes `missing`. Nothing is rounded silently,
    except floats to the float type that the stream asks for. `where` names the frame in errors.

    Examples
    --------
    >>> to_stored(np.array([[1.5, np.nan]]), np.dtype("u2"), 1 / 256, 0)
    array([[384,   0]], dtype=uint16)
    """
    if frame.dtype == dtype:
        return np.ascontiguousarray(frame)
    if dtype.kind == "f":
        if frame.dtype.kind not in "fiu":
            raise UsageError(f"{where}: expected numbers, found {frame.dtype}")
        with np.errstate(over="ignore"):
            stored = frame.astype(dtype)
        overflow = np.isinf(stored) & ~np.isinf(frame)
        if overflow.any():
            raise UsageError(f"{where}: {frame[overflow][0]} does not fit into {dtype}")
        return stored
    if frame.dtype.kind == "f":
        return _quantise(frame, dtype, scale, missing, where)
    if frame.dtype.kind not in "iub":
        raise UsageError(f"{where}: expected numbers, found {frame.dtype}")
    return _fitted(frame, dtype, where)


def _quantise(
    frame: npt.NDArray[Any],
    dtype: np.dtype[Any],
    scale: float | None,
    missing: Missing,
    where: str,
) -> npt.NDArray[Any]:
    if scale is None:
        raise UsageError(f"{where}: {frame.dtype} values in a {dtype} stream need a scale")
    absent = np.isnan(frame)
    if absent.any() and missing is None:
        raise UsageError(f"{where}: NaN in a stream that says nothing is missing")
    steps = np.rint(frame.astype(np.float64) / scale)
    whole = np.where(absent, 0 if missing is None else missing, steps)
    off = (from_stored(whole, scale, None) != frame.astype(np.float32)) & ~absent
    if off.any():
        raise UsageError(
            f"{where}: {frame[off][0]} is not a multiple of the scale {scale}; "
            "store float32 instead"
        )
    if missing is not None and (whole[~absent] == missing).any():
        raise UsageError(f"{where}: a measured value is {missing}, which marks missing ones")
    return _fitted(whole, dtype, where)


def _fitted(frame: npt.NDArray[Any], dtype: np.dtype[Any], where: str) -> npt.NDArray[Any]:
    limits = np.iinfo(dtype)
    if frame.size and (frame.min() < limits.min or frame.max() > limits.max):
        raise UsageError(f"{where}: values {frame.min()} to {frame.max()} do not fit into {dtype}")
    return frame.astype(dtype)


def from_stored(
    stored: npt.NDArray[Any],
    scale: float | None,
    missing: Missing,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Return measured values, NaN where nothing was measured.

    Written into `out`, a contiguous array of the shape, where it is given; `out` may be `stored`.
    What is returned without `out` may be `stored` itself.

    Examples
    --------
    >>> from_stored(np.array([[384, 0]], np.uint16), 1 / 256, 0)
    array([[1.5, nan]], dtype=float32)
    """
    numeric = missing is not None and missing != "nan"
    absent = stored == missing if numeric else None
    has_absent = absent is not None and bool(absent.any())
    if out is None:
        if stored.dtype == np.float32 and scale is None and not has_absent:
            return stored
        out = np.empty(stored.shape, np.float32)
    if scale is None:
        if stored.dtype == np.float16:
            _widen(stored, out)
        elif out is not stored:
            np.copyto(out, stored, casting="unsafe")
    elif math.frexp(scale)[0] == 0.5 and stored.dtype.itemsize <= 2:  # exact in float32
        np.multiply(stored, np.float32(scale), out=out, dtype=np.float32)
    else:
        np.copyto(out, stored * np.float64(scale), casting="unsafe")
    if has_absent:
        out[absent] = np.nan
    return out


def _widen(half: npt.NDArray[np.float16], out: npt.NDArray[np.float32]) -> None:
    """Copy half floats to floats, exactly; six times as fast as numpy's own conversion.

    The bits of a half, shifted by 13, are those of a float that is 2**112 times as small.
    """
    bits = np.ascontiguousarray(half).view(np.uint16)
    highest = int(bits.max(initial=0))
    size = bits if highest < 0x8000 else bits & np.uint16(0x7FFF)
    if (highest if size is bits else int(size.max())) >= 0x7C00:  # infinity and NaN
        np.copyto(out, half)
        return
    word = out.view(np.uint32)
    np.left_shift(size, np.uint32(13), out=word, dtype=np.uint32)
    out *= np.float32(2.0**112)
    if size is not bits:
        word |= (bits & np.uint16(0x8000)).astype(np.uint32) << np.uint32(16)
