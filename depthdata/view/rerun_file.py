"""A file for the interactive viewer rerun (.rrd): opened, written whole, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.errors import MissingDependencyError
from depthdata.sequence.part import PartFile

__all__ = ["RerunLog", "rerun_file"]

_MAGIC = b"RRF"
_PIXEL_CENTRE = 0.5  # the viewer's pixels have their centres at halves, ours at integers


class RerunLog:
    """An open recording; `rr` is the module rerun."""

    def __init__(self, rr: Any, stream: Any) -> None:
        self.rr, self._stream = rr, stream
        self._lenses: dict[str, npt.NDArray[np.float64]] = {}

    def at(self, frame: int, seconds: float | None) -> None:
        """Say what time the entities have that follow."""
        self._stream.reset_time()
        self._stream.set_time("frame", sequence=frame)
        if seconds is not None:
            self._stream.set_time("time", duration=seconds)

    def put(self, path: str, entity: Any, *, static: bool = False) -> None:
        """Log an entity."""
        self._stream.log(path, entity, static=static, strict=True)

    def clear(self, path: str) -> None:
        """Say that there is nothing now; else the last one would stay in view."""
        self.put(path, self.rr.Clear(recursive=False))

    def pinhole(
        self, path: str, intrinsics: npt.NDArray[np.float64], width: int, height: int
    ) -> None:
        """Log the intrinsics of a camera where they change."""
        before = self._lenses.get(path)
        if before is not None and np.array_equal(before, intrinsics):
            return
        self._lenses[path] = intrinsics
        shown = intrinsics.copy()
        shown[:2, 2] += _PIXEL_CENTRE
        axes = self.rr.ViewCoordinates.RDF
        resolution = [width, height]
        self.put(
            path,
            self.rr.Pinhole(image_from_camera=shown, resolution=resolution, camera_xyz=axes),
        )

    def pose(self, path: str, T_world_cam: npt.NDArray[np.float64]) -> None:
        """Log where something is."""
        moved = self.rr.Transform3D(translation=T_world_cam[:3, 3], mat3x3=T_world_cam[:3, :3])
        self.put(path, moved)

    def dots(self, path: str, xy: npt.NDArray[Any], shades: npt.NDArray[np.uint8]) -> None:
        """Log points of an image."""
        self.put(path, self.rr.Points2D(xy + _PIXEL_CENTRE, colors=shades, radii=2.0))

    def way(self, path: str, places: npt.NDArray[np.float64], **options: Any) -> None:
        """Log lines through places (N, 3); those that are not finite interrupt them."""
        gaps = np.flatnonzero(~np.isfinite(places).all(1))
        parts = np.split(places, sorted({*gaps.tolist(), *(gaps + 1).tolist()}))
        strips = [part for part in parts if len(part) > 1 and np.isfinite(part).all()]
        if strips:
            static = options.pop("static", False)
            self.put(path, self.rr.LineStrips3D(strips, **options), static=static)

    def boxes(
        self,
        path: str,
        T_world_box: npt.NDArray[np.float64],
        size: npt.NDArray[np.float64],
        shades: npt.NDArray[np.uint8],
        labels: list[str] | None = None,
    ) -> None:
        """Log boxes (N)."""
        turns = np.array([_quaternion(T[:3, :3]) for T in T_world_box]).reshape(-1, 4)
        self.put(
            path,
            self.rr.Boxes3D(
                centers=T_world_box[:, :3, 3],
                half_sizes=size / 2,
                quaternions=turns,
                labels=labels,
                colors=shades,
            ),
        )


@contextmanager
def rerun_file(out: str | Path, name: str) -> Iterator[RerunLog]:
    """Open a recording to write; the file appears when it is whole.

    Raises
    ------
    MissingDependencyError
        rerun is not installed.
    UsageError
        No such folder to write to.
    """
    rr = _rerun()
    part = PartFile(Path(out))
    try:
        stream = rr.RecordingStream("depthdata")
        try:
            stream.save(part.path)
            stream.send_recording_name(name)
            yield RerunLog(rr, stream)
        finally:
            stream.disconnect()
        part.commit(_check)
    except BaseException:
        part.discard()
        raise


def _rerun() -> Any:
    try:
        import rerun
    except ImportError:
        raise MissingDependencyError(
            "recordings (.rrd) need rerun: pip install 'depthdata[view]'"
        ) from None
    return rerun


def _check(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise OSError(f"{path}: rerun could not write the recording")


def _quaternion(rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (x, y, z, w) of a rotation matrix.

    >>> _quaternion(np.diag([-1.0, -1.0, 1.0])).round(6).tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    turn = np.ravel(cv2.Rodrigues(rotation)[0]).astype(np.float64)
    angle = float(np.linalg.norm(turn))
    axis = turn / angle if angle else turn
    return np.array([*(axis * np.sin(angle / 2)), np.cos(angle / 2)])
