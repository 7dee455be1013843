"""Long-range trajectories of Dynamic Replica: one ``.pth`` file of PyTorch a frame.

The file is a zip archive with a pickle; PyTorch reads it with ``weights_only=True``, which takes
tensors and plain containers and refuses everything that would have to be run.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, MissingDependencyError, UsageError

__all__ = ["Trajectories", "encode_trajectories", "read_trajectories"]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """N points at one frame; a point has the same row in all frames of its sequence.

    Attributes
    ----------
    xy : (N, 2) float32
        Pixels; may lie outside the image.
    visible : (N,) bool
        Whether the point is seen in this frame.
    xyz_world : (N, 3) float32, optional
        Metres.
    """

    xy: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    xyz_world: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.visible)


def read_trajectories(path: str | Path) -> Trajectories:
    """Read a file; nothing in it is executed.

    Raises
    ------
    FormatError
        It cannot be read, is damaged, holds anything executable, or lacks the arrays.
    MissingDependencyError
        PyTorch is not installed.
    """
    torch = _torch(path)
    try:
        size = _checked_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # PyTorch and its unpickler raise a dozen kinds
        raise FormatError(f"{path} {_reason(error)}; take the published file") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a dict of tensors, found {type(content).__name__}")
    xy = _array(content, "traj_2d", path, size)
    visible = _array(content, "verts_inds_vis", path, size)
    world = _array(content, "traj_3d_world", path, size) if "traj_3d_world" in content else None
    count = visible.shape[0] if visible.ndim == 1 else -1
    shapes = [array.shape for array in (xy, visible, world) if array is not None]
    if (
        xy.shape not in ((count, 2), (count, 3))
        or (world is not None and world.shape != (count, 3))
        or any(array is not None and array.dtype.kind != "f" for array in (xy, world))
        or visible.dtype.kind not in "bu"
    ):
        raise FormatError(
            f"{path}: expected floats traj_2d (N, 3) and traj_3d_world (N, 3) and truth values "
            f"verts_inds_vis (N), found {', '.join(map(str, shapes))}"
        )
    return Trajectories(
        np.array(xy[:, :2], np.float32),
        visible != 0,
        None if world is None else np.array(world, np.float32),
    )


def encode_trajectories(trajectories: Trajectories) -> bytes:
    """Return the file of a frame; the third column of ``traj_2d`` is 1.

    Raises
    ------
    MissingDependencyError
        PyTorch is not installed.
    UsageError
        Arrays of different lengths.
    """
    count = len(trajectories)
    if trajectories.xy.shape != (count, 2):
        raise UsageError(f"trajectories: expected xy ({count}, 2), found {trajectories.xy.shape}")
    torch = _torch("trajectories")
    content = {
        "traj_2d": np.column_stack([trajectories.xy, np.ones(count)]).astype(np.float32),
        "verts_inds_vis": np.array(trajectories.visible, np.bool_),
    }
    if trajectories.xyz_world is not None:
        content["traj_3d_world"] = np.array(trajectories.xyz_world, np.float32)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in content.items()}, file)
    return file.getvalue()


def _torch(what: str | Path) -> ModuleType:
    try:
        import torch
    except ImportError:
        raise MissingDependencyError(
            f"{what}: trajectories are files of PyTorch: pip install 'depthdata[zoo]'"
        ) from None
    return torch


def _checked_zip(path: str | Path) -> int:
    """Compare every member with its checksum (PyTorch does not); return the size of the file."""
    try:
        size = Path(path).stat().st_size
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
                    raise FormatError(f"{path}: {member.filename} is compressed; PyTorch's are not")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FormatError(
            f"{path} is no file of PyTorch 1.6 or later, or it is cut ({_first_line(error)}); "
            "unpack it again"
        ) from error
    if damaged is not None:
        raise FormatError(f"{path}: damaged: the checksum of {damaged} does not match")
    return size


def _array(content: dict[Any, Any], key: str, path: str | Path, size: int) -> npt.NDArray[Any]:
    tensor = content.get(key)
    try:
        whole = tensor is not None and tensor.numel() * tensor.element_size() <= size
        array = tensor.detach().numpy() if whole and tensor is not None else None
    except Exception:  # not a tensor, or one that NumPy has no type for
        array = None
    if not isinstance(array, np.ndarray):
        raise FormatError(f"{path}: expected a tensor {key}, found {type(tensor).__name__}")
    return array


def _reason(error: Exception) -> str:
    if type(error).__name__ != "UnpicklingError":
        return f"is damaged ({_first_line(error)})"
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f" (it names {named[1]})" if named else ""
    return f"holds more than tensors{what}; nothing of it was run"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
