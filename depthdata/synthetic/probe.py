"""The scene at any moment, for cameras and lidars of any rig: what surround datasets need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.distortion import undistort_pixels
from depthdata.geometry import pixel_grid, se3_inverse
from depthdata.synthetic.raycast import View, cast, tile_order
from depthdata.synthetic.shading import shade

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene
    from depthdata.synthetic.solids import Solid

__all__ = ["Probe", "Shot"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shot:
    """A picture and its truth.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    depth : (H, W) float64
        Camera z at the pixel centre, metres; NaN in the sky.
    instances : (H, W) uint16
        Object number; 0 is the street and the sky.
    semantics : (H, W) uint8
        `SEMANTIC_CLASSES`.
    """

    rgb: npt.NDArray[np.uint8]
    depth: Float
    instances: npt.NDArray[np.uint16]
    semantics: npt.NDArray[np.uint8]


class Probe:
    """A scene at one moment.

    Parameters
    ----------
    scene : SyntheticScene
    seconds : float
        After the first frame; between frames and beyond the ends, too.

    Examples
    --------
    >>> from depthdata.synthetic import SyntheticScene
    >>> probe = Probe(SyntheticScene(seed=1, frames=1), 0.05)
    >>> distance, body = probe.ranges(probe.T_world_imu, np.array([[0.0], [0.0], [-1.0]]))
    >>> round(float(distance[0]), 2), int(body[0])
    (0.93, 0)
    """

    def __init__(self, scene: SyntheticScene, seconds: float) -> None:
        self.scene, self.seconds = scene, float(seconds)
        moment = np.array([self.seconds])
        self.T_world_imu: Float = scene.path.pose(moment)[0]
        self.poses: Float = np.stack([body.path.pose(moment)[0] for body in scene.bodies])
        self._parts = [(solid, i) for i, body in enumerate(scene.bodies) for solid in body.solids]
        self._solids: list[Solid] = [solid.moved(self.poses[i]) for solid, i in self._parts]
        self._owner = np.array([i for _, i in self._parts], np.int64)

    def shoot(
        self,
        T_world_cam: Float,
        K: Float,
        size: tuple[int, int],
        lens: npt.ArrayLike | None = None,
    ) -> Shot:
        """Take a picture.

        Parameters
        ----------
        T_world_cam : (4, 4)
            Optical axes: x right, y down, z forward.
        K : (3, 3)
        size : (height, width)
        lens : (5,), optional
            Distortion of OpenCV's model; the picture is distorted, ray by ray.
        """
        order = tile_order(*size)
        uv = pixel_grid(*size).reshape(-1, 2)
        if lens is not None:
            uv = undistort_pixels(uv, K, lens)
        uv = np.ascontiguousarray(uv[order].T)
        x, y = (uv[0] - K[0, 2]) / K[0, 0], (uv[1] - K[1, 2]) / K[1, 1]
        directions = T_world_cam[:3, :3] @ np.stack([x, y, np.ones_like(x)])
        view = View(K, se3_inverse(T_world_cam))
        hits = cast(self._solids, T_world_cam[:3, 3], directions, uv=uv, view=view)
        colours = shade(
            self._parts, self.scene.bodies, self.poses, T_world_cam, K, hits, directions
        )
        seen = hits.solid >= 0
        classes = np.array([solid.semantic for solid, _ in self._parts], np.uint8)

        def image(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            out = np.empty_like(values)
            out[..., order] = values
            return out.reshape(*values.shape[:-1], *size)

        levels = np.clip(np.round(colours * np.float32(255)), 0, 255).astype(np.uint8)
        return Shot(
            rgb=np.ascontiguousarray(np.moveaxis(image(levels), 0, -1)),
            depth=image(np.where(seen, hits.s, np.nan)),
            instances=image(np.where(seen, self._owner[hits.solid], 0).astype(np.uint16)),
            semantics=image(np.where(seen, classes[hits.solid], 0).astype(np.uint8)),
        )

    def ranges(
        self, T_world_sensor: Float, directions: Float, limit: float = 75.0
    ) -> tuple[Float, npt.NDArray[np.int64]]:
        """Measure along rays of a sensor.

        Parameters
        ----------
        T_world_sensor : (4, 4)
        directions : (3, N)
            Unit vectors in the sensor's frame; neighbours side by side are fastest.
        limit : float
            Metres that the sensor reaches.

        Returns
        -------
        distance : (N,) float64
            Metres; inf where nothing is met.
        body : (N,) int64
            Object number; 0 for the street, -1 for nothing.
        """
        world = T_world_sensor[:3, :3] @ directions
        hits = cast(self._solids, T_world_sensor[:3, 3], world, limit=limit)
        return hits.s, np.where(hits.solid >= 0, self._owner[hits.solid], -1)
