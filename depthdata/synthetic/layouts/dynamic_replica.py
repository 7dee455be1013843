"""A scene as a sequence of Dynamic Replica: both views with everything, and the annotation."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.annotation_writer import AnnotationWriter, frame_object, usual_path
from depthdata.codecs.frame_annotations import (
    DEFAULT_FORMAT,
    FrameAnnotation,
    annotated_objects,
)
from depthdata.codecs.half_png import encode_half_flow, encode_half_png
from depthdata.codecs.images import encode_png
from depthdata.codecs.ndc_cameras import ndc_from_intrinsics, view_from_pose
from depthdata.codecs.trajectories import Trajectories, encode_trajectories
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.synthetic.frame import Frame
    from depthdata.synthetic.scene import SyntheticScene
    from depthdata.synthetic.truth import TrackSet

__all__ = ["write"]

_VIEWS = ("left", "right")


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    split: str = "test",
    sequence: str = "5eed00-3_obj",
    intrinsics_format: str | None = "ndc_isotropic",
    recording: str | None = None,
    tracks: int = 32,
    instances: str = "pickle",
) -> Path:
    """Write the scene below `root`; scenes that the annotation of the split has already stay.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder that holds the splits.
    split : str
        ``train``, ``valid`` or ``test``.
    sequence : str
        Its name in the annotation.
    intrinsics_format : str, optional
        ``ndc_isotropic`` or ``ndc_norm_image_bounds``; None leaves it out, which means the latter.
    recording : str, optional
        Write into ``real/<recording>/test`` instead.
    tracks : int
        Points to follow in the left view; 0 writes no trajectories, which need PyTorch.
    instances : {"pickle", "png"}
        Kind of the instance maps.

    Returns
    -------
    Path
        The folder of the annotation.

    Raises
    ------
    UsageError
        The annotation has the sequence already.
    """
    if recording is not None:
        split = "test"
    folder = root / split if recording is None else root / "real" / recording / split
    annotation = folder / f"frame_annotations_{split}.jgz"
    before = _objects(annotation)
    writer = _Views(scene, folder, sequence, intrinsics_format, instances, tracks)
    folder.mkdir(parents=True, exist_ok=True)
    part = annotation.with_suffix(".part")
    with AnnotationWriter(part) as annotations:
        for value in before:
            if value["sequence_name"] == sequence:
                raise UsageError(f"{annotation}: has a sequence {sequence} already; name another")
            annotations.add(value)
        for camera in _VIEWS:
            for t in range(scene.frames):
                annotations.add(writer.write(t, camera))
    os.replace(part, annotation)  # noqa: PTH105
    return folder


def _objects(annotation: Path) -> Iterator[dict[str, Any]]:
    if annotation.is_file():
        for item in annotated_objects(annotation):
            yield item.value


class _Views:
    """Files and frame objects of one scene."""

    def __init__(
        self,
        scene: SyntheticScene,
        folder: Path,
        sequence: str,
        intrinsics_format: str | None,
        instances: str,
        tracks: int,
    ) -> None:
        self.scene, self.folder, self.sequence = scene, folder, sequence
        self.format, self.instances = intrinsics_format, instances
        self.size = scene.height, scene.width
        self.tracks: TrackSet | None = scene.tracks("left", tracks) if tracks else None
        self.ndc = ndc_from_intrinsics(
            scene.intrinsics, self.size, intrinsics_format or DEFAULT_FORMAT
        )

    def write(self, t: int, camera: str) -> dict[str, Any]:
        """Write the files of a frame; return its object."""
        frame = self.scene.render(t, camera)
        files = {
            "image": encode_png(frame.rgb),
            "depth": encode_half_png(_half(frame.depth)),
            "mask": encode_png((frame.instances > 0).astype(np.uint8) * 255),
            "instances": self._instance_map(frame.instances),
        }
        for name, flow in self._flows(frame, t).items():
            files[name] = encode_half_flow(_half(flow))
            files[f"{name}_mask"] = encode_png(np.isfinite(flow).all(0).view(np.uint8) * 255)
        if camera == "left" and self.tracks is not None:
            files["trajectories"] = self._trajectories(t)
        paths = {field: self._save(field, camera, t, data) for field, data in files.items()}
        R, T = view_from_pose(self.scene.T_world_cam(camera)[t])
        annotation = FrameAnnotation(
            sequence=self.sequence,
            camera=camera,
            number=t,
            seconds=float(self.scene.times[t]),
            size=self.size,
            R=tuple(map(tuple, R.tolist())),
            T=tuple(T.tolist()),
            focal_length=tuple(self.ndc[0].tolist()),
            principal_point=tuple(self.ndc[1].tolist()),
            intrinsics_format=self.format or DEFAULT_FORMAT,
            **paths,
        )
        value = frame_object(annotation)
        if self.format is None:
            del value["viewpoint"]["intrinsics_format"]
        return value

    def _flows(self, frame: Frame, t: int) -> dict[str, npt.NDArray[np.float32]]:
        flows = {}
        if t + 1 < self.scene.frames:
            flows["flow_forward"] = frame.flow_forward
        if t > 0:
            flows["flow_backward"] = frame.flow_backward
        return flows

    def _instance_map(self, values: npt.NDArray[np.uint16]) -> bytes:
        if self.instances == "png":
            return encode_png(values)
        return pickle.dumps(values.astype(np.int64))

    def _trajectories(self, t: int) -> bytes:
        assert self.tracks is not None
        return encode_trajectories(
            Trajectories(
                self.tracks.xy[t],
                self.tracks.visible[t],
                self.tracks.xyz_world[t].astype(np.float32),
            )
        )

    def _save(self, field: str, camera: str, t: int, data: bytes) -> str:
        name = usual_path(field, self.sequence, camera, t)
        if field == "instances" and self.instances == "png":
            name = f"{name.removesuffix('.pkl')}.png"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name


def _half(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Round to half floats, 0 where nothing is measured."""
    return np.nan_to_num(values.astype(np.float16), nan=0.0, posinf=np.inf, neginf=-np.inf)
