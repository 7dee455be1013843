"""Calibration of one scene of KITTI's stereo benchmarks: text files as matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti import CalibrationText, read_calibration
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform, se3_inverse
from depthdata.sources.files import read_bytes
from depthdata.sources.kitti_raw_geometry import DriveGeometry

__all__ = ["SceneCalibration"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SceneCalibration:
    """The rectified cameras of a scene.

    Parameters
    ----------
    path : Path
        The main file, for messages.
    projections : mapping
        Camera -> (3, 4), ``P_rect``: a point of ``rect0`` to (u z, v z, z).
    T_rig_cam : mapping
        Camera -> (4, 4).
    rig : str
        What the rig's frame is: ``imu``, ``velo`` or ``rect0`` (camera 00 after rectification).
    size : (height, width), optional
        That the calibration is for.
    texts : mapping
        Folder -> the text of the scene's file in it, untouched.
    """

    path: Path
    projections: Mapping[str, FloatArray]
    T_rig_cam: Mapping[str, FloatArray]
    rig: str
    size: tuple[int, int] | None
    texts: Mapping[str, str]

    @classmethod
    def read(cls, paths: Mapping[str, Path], numbers: Mapping[str, int]) -> SceneCalibration:
        """Read the files of a scene.

        Parameters
        ----------
        paths : mapping
            Folder -> file: ``calib_cam_to_cam`` (2015; the other two add the rig) or ``calib``.
        numbers : mapping
            Camera -> KITTI's number of it.
        """
        texts = {folder: read_bytes(path).decode("latin-1") for folder, path in paths.items()}
        if "calib" in paths:
            return cls._of_2012(read_calibration(paths["calib"]), numbers, texts)
        path = paths["calib_cam_to_cam"]
        geometry = DriveGeometry.of(
            path, paths.get("calib_velo_to_cam"), paths.get("calib_imu_to_velo")
        )
        return cls(
            path=path,
            projections={camera: geometry.projection(n) for camera, n in numbers.items()},
            T_rig_cam={camera: geometry.T_rig_cam(n) for camera, n in numbers.items()},
            rig=geometry.rig,
            size=geometry.size(numbers["left"]),
            texts=texts,
        )

    @classmethod
    def _of_2012(
        cls, text: CalibrationText, numbers: Mapping[str, int], texts: Mapping[str, str]
    ) -> SceneCalibration:
        projections, poses = {}, {}
        for camera, number in numbers.items():
            key = f"P{number}"
            P = text.numbers(key, 3, 4)
            if not (P[0, 0] > 0 and P[1, 1] > 0 and P[2, 2] > 0):
                raise FormatError(f"{text.path}, line {text.lines[key]}: {key} is no projection")
            T_cam_rect0 = rigid_transform(np.eye(3), np.linalg.solve(P[:, :3], P[:, 3]))
            projections[camera], poses[camera] = P, se3_inverse(T_cam_rect0)
        return cls(text.path, projections, poses, "rect0", None, texts)

    def intrinsics(self, camera: str) -> FloatArray:
        """Return the (3, 3) matrix of a camera."""
        return self.projections[camera][:, :3]

    def baseline(self, left: str, right: str) -> float:
        """Return (P_left[0, 3] - P_right[0, 3]) / fx in metres, as the benchmark defines it.

        Raises
        ------
        SourceError
            The right camera is not to the right of the left one.
        """
        P, other = self.projections[left], self.projections[right]
        baseline = float((P[0, 3] - other[0, 3]) / P[0, 0])
        if not baseline > 0:
            raise SourceError(
                f"{self.path}: expected {right} to the right of {left}, found a baseline of "
                f"{baseline:.4g} m; take the file from its archive again"
            )
        return baseline
