"""A scene straight into a sequence file, with every stream that it has."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.lidar import lidar_to_points
from depthdata.synthetic.actors import SEMANTIC_CLASSES
from depthdata.synthetic.frame import Frame
from depthdata.synthetic.scene import SyntheticScene

if TYPE_CHECKING:
    from depthdata.sequence import Points

__all__ = ["VERSION", "write_sequence"]

VERSION = 1
"""Changes whenever the same arguments would give other bytes."""

_TRUTH = "synthetic scene, exact"
# stream -> (attribute of Frame, dtype, what is said about it)
_STREAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "depth": ("depth", "float32", {"unit": "m", "missing": "nan"}),
    "disparity": ("disparity", "float32", {"unit": "px", "missing": "nan"}),
    "flow_forward": ("flow_forward", "float32", {"unit": "px", "missing": "nan"}),
    "flow_backward": ("flow_backward", "float32", {"unit": "px", "missing": "nan"}),
    "instances": ("instances", "uint16", {"background": 0}),
    "semantics": (
        "semantics",
        "uint8",
        {"classes": {str(k): v for k, v in SEMANTIC_CLASSES.items()}},
    ),
    "masks/moving": ("moving", "uint8", {"one_means": "on an object that moves in the world"}),
    "masks/occluded": (
        "occluded_right",
        "uint8",
        {"one_means": "not seen by the other camera of the pair"},
    ),
    "masks/occluded_forward": (
        "occluded_forward",
        "uint8",
        {"one_means": "not seen by this camera in the next frame"},
    ),
    "masks/occluded_backward": (
        "occluded_backward",
        "uint8",
        {"one_means": "not seen by this camera in the previous frame"},
    ),
}


def write_sequence(
    scene: SyntheticScene,
    path: str | Path,
    *,
    cameras: Sequence[str] = ("left", "right"),
    portable: bool = False,
    tracks: int = 64,
    lidar: bool = True,
) -> Path:
    """Write images and all truth of a scene into one sequence file.

    The streams of each camera are ``rgb`` (PNG), ``depth``, ``disparity``, ``flow_forward``,
    ``flow_backward``, ``instances``, ``semantics``, ``masks/moving``, ``masks/occluded`` (from the
    other camera), ``masks/occluded_forward``, ``masks/occluded_backward`` and, as sparse points,
    ``lidar_depth``. Flow and its masks are absent where there is no next or previous frame. The
    same scene gives the same bytes.

    Parameters
    ----------
    scene : SyntheticScene
    path : path
        File to create.
    cameras : sequence of str
        Which cameras; a pair among them becomes a stereo pair.
    portable : bool
        gzip instead of zstd, readable with plain HDF5.
    tracks : int
        Points to follow per camera; 0 writes none.
    lidar : bool
        Whether to scan.

    Returns
    -------
    Path
        The file.
    """
    from depthdata.sequence import SequenceWriter

    if not cameras or len(set(cameras)) != len(cameras):
        raise UsageError(f"cameras: expected different names, found {list(cameras)}")
    facts = json.dumps({**scene.arguments, "version": VERSION}, sort_keys=True)
    with SequenceWriter(
        Path(path),
        dataset="synthetic",
        sequence=f"street_{scene.seed:04d}",
        split=None,
        licence="CC0-1.0",
        citation="depthdata, synthetic street",
        converter=f"depthdata synthetic {VERSION}",
        source_fingerprint=f"xxh3:{xxhash.xxh3_64_hexdigest(facts.encode())}",
        profile="portable" if portable else "default",
        attrs={
            "scene": scene.arguments,
            "world": "inertial unit at the first frame: x forward, y left, z up",
        },
    ) as writer:
        writer.timeline(scene.timestamps, scene.frame_ids)
        for left, right in (("left", "right"), ("gray_left", "gray_right")):
            if left in cameras and right in cameras:
                writer.stereo_pair(left, right, baseline=scene.baseline)
        scans = [scene.lidar(t) for t in range(scene.frames)] if lidar else []
        for camera in cameras:
            _write_camera(writer, scene, camera, scans)
            if tracks:
                found = scene.tracks(camera, tracks)
                writer.tracks(camera, found.xy, found.visible, found.xyz_world)
        boxes = scene.objects()
        if boxes.frame.size:
            writer.objects(
                boxes.frame,
                boxes.id,
                boxes.category,
                boxes.T_world_box,
                boxes.size,
                velocity=boxes.velocity,
                moving=boxes.moving,
            )
    return Path(path)


def _write_camera(
    writer: Any, scene: SyntheticScene, camera: str, scans: list[npt.NDArray[np.float32]]
) -> None:
    cam = writer.camera(
        camera,
        height=scene.height,
        width=scene.width,
        intrinsics=scene.intrinsics,
        model="pinhole",
        T_world_cam=scene.T_world_cam(camera),
        T_rig_cam=scene.rig.T_imu_cam(camera),
        timestamps=scene.timestamps,
    )
    with tempfile.TemporaryDirectory(prefix="depthdata-synth-") as folder:
        spool = _Spool(scene, Path(folder))
        for t in range(scene.frames):
            spool.add(t, scene.render(t, camera))
        cam.encoded("rgb", spool.images, spool.sizes, encoding="png", channels=3, provenance=_TRUTH)
        for name, (attribute, dtype, facts) in _STREAMS.items():
            frames = _frames(scene, name)
            if frames.size:
                cam.dense(
                    name,
                    spool.read(attribute, frames),
                    dtype=dtype,
                    frame_index=frames,
                    provenance=_TRUTH,
                    **facts,
                )
    if scans:
        cam.points(
            "lidar_depth",
            _lidar_points(scene, camera, scans),
            unit="m",
            provenance=f"{_TRUTH}: lidar cast from its own place at the frame's time",
            quantity="camera z; the points' own coordinates are x forward, y left, z up",
            sensor="velodyne",
            projection=scene.projection(camera),
            eigen_size=[scene.height, scene.width],
        )


def _frames(scene: SyntheticScene, name: str) -> npt.NDArray[np.int64]:
    """Frames that have a stream: flow needs a neighbour."""
    every = np.arange(scene.frames)
    if name.endswith("_forward"):
        return every[:-1]
    return every[1:] if name.endswith("_backward") else every


def _lidar_points(
    scene: SyntheticScene, camera: str, scans: list[npt.NDArray[np.float32]]
) -> Iterator[Points]:
    for scan in scans:
        yield lidar_to_points(scan, scene.projection(camera), (scene.height, scene.width))


class _Spool:
    """Frames on disk between rendering, which makes all streams at once, and writing."""

    def __init__(self, scene: SyntheticScene, folder: Path) -> None:
        self._folder, self._count = folder, scene.frames
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self.images: list[Path] = []
        self.sizes = np.zeros(scene.frames, np.int64)

    def add(self, t: int, frame: Frame) -> None:
        """Keep one frame."""
        blob = encode_png(frame.rgb)
        image = self._folder / f"{t}.png"
        image.write_bytes(blob)
        self.images.append(image)
        self.sizes[t] = len(blob)
        for attribute, dtype, _ in _STREAMS.values():
            values = getattr(frame, attribute)
            if attribute not in self._arrays:
                self._arrays[attribute] = np.lib.format.open_memmap(
                    self._folder / f"{attribute}.npy",
                    mode="w+",
                    dtype=np.dtype(dtype),
                    shape=(self._count, *values.shape),
                )
            self._arrays[attribute][t] = values

    def read(self, attribute: str, frames: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Any]]:
        """Give an attribute's frames, one by one."""
        for t in frames:
            yield self._arrays[attribute][t]
