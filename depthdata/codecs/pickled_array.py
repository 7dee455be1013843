"""One NumPy array of whole numbers from a pickle, without unpickling.

A pickle is a program. Here it is read, not run: its opcodes come from `pickletools.genops`, those
that a pickled array consists of are followed on a stack of plain values, and the few names that
such a pickle mentions are compared with a list, never looked up. Everything else is refused.
Protocols 2 to 5, as Python 2 and 3 with NumPy 1 and 2 write them.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = ["decode_pickled_array", "encode_pickled_array", "read_pickled_array"]

_DTYPE = re.compile(r"[|<>=]?([iub][1248])")
_MARK = object()

_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "nothing",  # how protocol 2 writes b""
}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS: dict[str, Any] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
    "MARK": _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A name that the pickle mentions; stands for itself only."""

    what: str


@dataclass
class _Type:
    """A dtype on its way: kind and size, then the byte order."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array on its way: empty, then filled."""

    values: npt.NDArray[Any] | None = None


def decode_pickled_array(data: bytes) -> npt.NDArray[Any]:
    """Return the array that a pickle holds, read-only, in its own dtype (bool counts as whole).

    Parameters
    ----------
    data : bytes
        The whole pickle.

    Raises
    ------
    FormatError
        It is cut or damaged, or holds anything but one array of whole numbers.

    Examples
    --------
    >>> import pickle
    >>> decode_pickled_array(pickle.dumps(np.array([[1, 2]])))
    array([[1, 2]])
    >>> decode_pickled_array(pickle.dumps(print))
    Traceback (most recent call last):
    depthdata.errors.FormatError: pickle: names builtins.print; expected an array of whole numbers
    """
    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(data):
            assert position is not None
            if opcode.name == "STOP":
                return machine.result(len(data) - position - 1)
            machine.step(opcode.name, argument, position)
    except FormatError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise FormatError(f"pickle: {len(data)} bytes, cut or damaged: {reason}") from error
    raise FormatError(f"pickle: {len(data)} bytes without an end")


def read_pickled_array(path: str | Path) -> npt.NDArray[Any]:
    """Read a file as `decode_pickled_array` does; errors name the path."""
    return read_with(path, decode_pickled_array)


def encode_pickled_array(array: npt.NDArray[Any]) -> bytes:
    """Return a pickle of an array of whole numbers that any Python 3 with any NumPy can load.

    The same bytes whatever NumPy is installed here.

    Raises
    ------
    UsageError
        Not whole numbers.

    Examples
    --------
    >>> import pickle
    >>> pickle.loads(encode_pickled_array(np.array([[3, -1]], np.int32)))
    array([[ 3, -1]], dtype=int32)
    """
    values = np.ascontiguousarray(array)
    if values.dtype.kind not in "iub":
        raise UsageError(f"encode_pickled_array: expected whole numbers, found {values.dtype}")
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("<"))
    order = "|" if values.dtype.itemsize == 1 else "<"
    data = values.tobytes()
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values.shape) + b"t"
    code = f"{values.dtype.kind}{values.dtype.itemsize}"
    size = b"B" + struct.pack("<I", len(data)) if len(data) < 1 << 32 else b""
    if not size:
        raise UsageError(f"encode_pickled_array: {len(data)} bytes do not fit")
    return b"".join(
        (
            b"\x80\x03",  # protocol 3
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R",
            b"(K\x01" + shape,
            b"cnumpy\ndtype\n" + _text(code) + b"\x89\x88\x87R",
            b"(K\x03" + _text(order) + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb",
            b"\x89" + size + data + b"tb.",
        )
    )


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode("ascii")


class _Machine:
    """The stack and the memo of a pickle, with plain values on them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any, position: int) -> None:
        """Follow one opcode."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._tuple(_TUPLES[name])
        elif name == "TUPLE":
            start = len(stack) - 1 - stack[::-1].index(_MARK)
            items = tuple(stack[start + 1 :])
            del stack[start:]
            stack.append(items)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self._top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self._top()
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            stack.append(_known(module, attribute))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(module, attribute))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_reduced(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(self._top(), state)
        elif name not in ("PROTO", "FRAME"):
            raise FormatError(
                f"pickle: opcode {name} at byte {position}; an array of whole numbers needs none"
            )

    def result(self, left: int) -> npt.NDArray[Any]:
        """Return the array when the pickle ends, `left` bytes before the data do."""
        if left:
            raise FormatError(f"pickle: {left} bytes after its end")
        if len(self.stack) != 1 or not isinstance(self.stack[0], _Array):
            raise FormatError("pickle: holds no array of whole numbers")
        values = self.stack[0].values
        if values is None:
            raise FormatError("pickle: its array has no content")
        return values

    def _top(self) -> Any:
        value = self.stack[-1]
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)


def _known(module: Any, attribute: Any) -> _Name:
    what = _NAMES.get((module, attribute)) if isinstance(module, str) else None
    if what is None:
        raise FormatError(
            f"pickle: names {_shown(module)}.{_shown(attribute)}; "
            "expected an array of whole numbers"
        )
    return _Name(what)


def _shown(text: Any) -> str:
    return ascii(text[:60])[1:-1] if isinstance(text, str) else type(text).__name__


def _reduced(function: Any, arguments: Any) -> Any:
    """Return what a call in the pickle stands for."""
    what = function.what if isinstance(function, _Name) else ""
    if what not in _CALLS or not isinstance(arguments, tuple):
        raise FormatError(f"pickle: calls {what or type(function).__name__}; not a plain array")
    return _CALLS[what](*arguments)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _Name("ndarray"):
        raise FormatError("pickle: an array of another class than numpy.ndarray")
    return _Array()


def _dtype(code: Any, *flags: Any) -> _Type:
    match = _DTYPE.fullmatch(code.decode("latin-1") if isinstance(code, bytes) else code)
    if match is None or len(flags) > 2:
        raise FormatError(f"pickle: an array of {_shown(code)}, expected whole numbers")
    return _Type(match[1])


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise FormatError("pickle: text in an unexpected encoding")
    return text.encode("latin-1")


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> _Array:
    if order not in ("C", "F") or axes:
        raise FormatError("pickle: an array of unexpected order")
    return _Array(_filled(buffer, dtype, shape, order == "F"))


_CALLS: dict[str, Callable[..., Any]] = {
    "reconstruct": _reconstruct,
    "dtype": _dtype,
    "encode": _encode,
    "frombuffer": _frombuffer,
    "nothing": lambda: b"",
}


def _build(value: Any, state: Any) -> None:
    """Give a dtype its byte order, an array its content."""
    if isinstance(value, _Type):
        _, order, *rest = state
        order = order.decode("latin-1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "=") or any(item is not None for item in rest[:3]):
            raise FormatError("pickle: a dtype that is not of plain whole numbers")
        value.order = order
    elif isinstance(value, _Array):
        _, shape, dtype, fortran, data = state
        value.values = _filled(data, dtype, shape, bool(fortran))
    else:
        raise FormatError(f"pickle: sets the state of {type(value).__name__}; not a plain array")


def _filled(data: Any, dtype: Any, shape: Any, fortran: bool) -> npt.NDArray[Any]:
    if isinstance(data, str):  # as Python 2 wrote bytes
        data = data.encode("latin-1")
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, _Type) or not whole:
        raise FormatError("pickle: an array that is not of plain whole numbers")
    if len(shape) > 32:
        raise FormatError(f"pickle: an array of {len(shape)} axes")
    kind = np.dtype("?" if dtype.code == "b1" else dtype.order + dtype.code)
    if math.prod(shape) * kind.itemsize != len(data):
        raise FormatError(
            f"pickle: {len(data)} bytes for an array {'x'.join(map(str, shape[:4]))} of {kind}"
        )
    values = np.frombuffer(data, "u1" if kind == np.bool_ else kind)
    if kind == np.bool_:
        values = (values != 0).view(np.uint8)
    shaped: npt.NDArray[Any] = values.reshape(shape, order="F" if fortran else "C")
    shaped.flags.writeable = False
    return shaped
