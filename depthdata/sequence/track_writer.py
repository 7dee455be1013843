"""Trajectories being written, one frame at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.errors import UsageError
from depthdata.sequence.index import Block
from depthdata.sequence.target import Target, write_all

__all__ = ["TracksSink"]

_COLUMNS = {"xy": ("<f4", 2), "visible": ("|u1", 1), "xyz_world": ("<f4", 3)}


class TracksSink:
    """Takes the frames of the tracks of one camera; made by `SequenceWriter.open_tracks`."""

    def __init__(
        self, target: Target, camera: str, frames: int, count: int, xyz_world: bool
    ) -> None:
        self._target, self._camera = target, camera
        self._frames, self._count, self._added = frames, count, 0
        group = f"tracks/{camera}"
        target.group(group, {"unit": "px", "missing": "nan"})
        self._digests = {}
        for name, (dtype, width) in _COLUMNS.items():
            if name != "xyz_world" or xyz_world:
                shape = (frames, count) if width == 1 else (frames, count, width)
                target.block(f"{group}/{name}", dtype, shape)
                self._digests[name] = xxhash.xxh3_64()

    def add(
        self, xy: npt.ArrayLike, visible: npt.ArrayLike, xyz_world: npt.ArrayLike | None = None
    ) -> None:
        """Append the next frame: `xy` (N, 2), `visible` (N,) and, where announced, `xyz_world`.

        Raises
        ------
        UsageError
            Another shape, a column too many or too few, or more frames than the timeline has.
        """
        if self._added == self._frames:
            raise UsageError(f"tracks of {self._camera}: expected {self._frames} frames, got more")
        given: dict[str, Any] = {"xy": xy, "visible": visible, "xyz_world": xyz_world}
        for name, values in given.items():
            if (values is not None) != (name in self._digests):
                raise UsageError(
                    f"tracks of {self._camera}, frame {self._added}: {name} is "
                    f"{'not announced' if values is not None else 'missing'}"
                )
            if values is not None:
                self._write(name, values)
        self._added += 1

    def finish(self) -> None:
        """Hand the checksums to the index; the commit does it too."""
        if self._added < self._frames:
            raise UsageError(
                f"tracks of {self._camera}: expected {self._frames} frames, found {self._added}"
            )
        for name, digest in self._digests.items():
            path = f"tracks/{self._camera}/{name}"
            block = self._target.index.blocks[path]
            self._target.index.blocks[path] = Block(
                block.offset, block.dtype, block.shape, f"{digest.intdigest():016x}"
            )

    def _write(self, name: str, values: npt.ArrayLike) -> None:
        dtype, width = _COLUMNS[name]
        array = np.ascontiguousarray(values).astype(dtype, copy=False)
        expected = (self._count,) if width == 1 else (self._count, width)
        if array.shape != expected:
            raise UsageError(
                f"tracks of {self._camera}, frame {self._added}: {name} should be {expected}, "
                f"found {array.shape}"
            )
        data = array.tobytes()
        self._digests[name].update(data)
        block = self._target.index.blocks[f"tracks/{self._camera}/{name}"]
        write_all(self._target.fd, memoryview(data), block.offset + self._added * len(data))
