"""A drive through a synthetic street, with the exact truth of everything that can be measured."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import project, se3_inverse, transform
from depthdata.synthetic.actors import Body
from depthdata.synthetic.frame import Frame
from depthdata.synthetic.lidar import scan
from depthdata.synthetic.motion import Path
from depthdata.synthetic.raycast import Hits, View, cast, hidden, tile_order
from depthdata.synthetic.rig import CAMERAS, Rig
from depthdata.synthetic.shading import shade
from depthdata.synthetic.solids import Solid
from depthdata.synthetic.street import build_street
from depthdata.synthetic.truth import Boxes, TrackSet, boxes, track_points

__all__ = ["SyntheticScene"]

Float = npt.NDArray[np.float64]
_EPOCH = 1317042145000000000  # 2011-09-26 13:02:25 UTC
_PARTNER = {
    "left": "right",
    "right": "left",
    "gray_left": "gray_right",
    "gray_right": "gray_left",
}


class SyntheticScene:
    """A street with houses, cars and people, seen by a moving stereo rig with a lidar.

    The world is the frame of the inertial unit at the first frame (x forward, y left, z up,
    metres), as poses from KITTI's OXTS are. Everything follows from the arguments: the same
    arguments give the same arrays.

    Parameters
    ----------
    seed : int
    frames : int
    height, width : int
        Image size of all cameras, pixels.
    objects : int
        Cars, vans and people; the third and fifth and those after the seventh are parked.
    baseline : float
        Metres between the cameras of a pair.
    intrinsics : (3, 3) float64, optional
        Of all cameras, pixel centres at integers; a wide lens like KITTI's when not given.
    fps : float
        Frames per second.
    speed : float
        Metres per second that the rig drives; 0 stands still.
    supersample : int
        The colour of a pixel is the mean of supersample x supersample rays; 1 is fastest. Texture
        is always filtered for the pixel, so this smooths outlines only. Truth is never averaged.
    lidar_rows, lidar_steps : int
        Beams of the lidar and directions per turn.

    Examples
    --------
    >>> scene = SyntheticScene(seed=1, frames=2, height=24, width=80)
    >>> frame = scene.render(0)
    >>> frame.depth.shape, float(np.isnan(frame.depth).mean()) < 0.5
    ((24, 80), True)
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        frames: int = 8,
        height: int = 120,
        width: int = 400,
        objects: int = 3,
        baseline: float = 0.54,
        intrinsics: npt.ArrayLike | None = None,
        fps: float = 10.0,
        speed: float = 7.0,
        supersample: int = 1,
        lidar_rows: int = 64,
        lidar_steps: int = 1800,
    ) -> None:
        for name, value, least in (
            ("frames", frames, 1),
            ("height", height, 2),
            ("width", width, 2),
            ("objects", objects, 0),
            ("supersample", supersample, 1),
            ("lidar_rows", lidar_rows, 1),
            ("lidar_steps", lidar_steps, 1),
        ):
            if int(value) != value or value < least:
                raise UsageError(
                    f"synthetic scene: {name} must be an integer >= {least}, found {value}"
                )
        if not (baseline > 0 and fps > 0 and speed >= 0):
            raise UsageError(
                "synthetic scene: baseline and fps must be > 0 and speed >= 0, "
                f"found {baseline}, {fps}, {speed}"
            )
        self.arguments: dict[str, Any] = {
            "seed": seed,
            "frames": frames,
            "height": height,
            "width": width,
            "objects": objects,
            "baseline": baseline,
            "fps": fps,
            "speed": speed,
            "supersample": supersample,
            "lidar_rows": lidar_rows,
            "lidar_steps": lidar_steps,
        }
        self.seed, self.frames, self.height, self.width = seed, frames, height, width
        self.baseline, self.fps, self.speed = float(baseline), float(fps), float(speed)
        self.supersample = supersample
        self.lidar_rows, self.lidar_steps = lidar_rows, lidar_steps
        self.rig = Rig(baseline=self.baseline)
        self.times = np.arange(frames) / self.fps
        self.timestamps = _EPOCH + np.round(self.times * 1e9).astype(np.int64)
        self.frame_ids = [f"{t:010d}" for t in range(frames)]
        focal = round(0.58 * width, 3)
        centre = (round(0.4908 * width, 3), round(0.461 * height, 3))
        self.intrinsics = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
        if intrinsics is not None:
            self.intrinsics = _lens(intrinsics)
            self.arguments["intrinsics"] = self.intrinsics.tolist()
        sway = {"roll": 0.006, "pitch": 0.004, "bounce": 0.008, "sway_rate": 4.0}
        self.path = Path(speed=speed, weave=0.18, weave_rate=0.9, **sway) if speed else Path()
        self.bodies: list[Body] = build_street(
            seed,
            objects,
            travel=speed * float(self.times[-1]),
            speed=speed,
            ground_z=-self.rig.imu_height,
        )

    def __repr__(self) -> str:
        """Name the arguments that matter."""
        return (
            f"SyntheticScene(seed={self.seed}, frames={self.frames}, height={self.height}, "
            f"width={self.width}, objects={len(self.bodies) - 1})"
        )

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the four cameras."""
        return tuple(CAMERAS)

    @cached_property
    def T_world_imu(self) -> Float:
        """Poses of the inertial unit, (T, 4, 4); the first is the identity."""
        return self.path.pose(self.times)

    @property
    def T_imu_velo(self) -> Float:
        """Lidar to inertial unit, (4, 4)."""
        return se3_inverse(self.rig.T_velo_imu)

    @property
    def T_cam_velo(self) -> Float:
        """Lidar to the rectified `left` camera, (4, 4); `rig.T_cam_velo(name)` for another."""
        return self.rig.T_cam_velo("left")

    @property
    def T_world_velo(self) -> Float:
        """Poses of the lidar, (T, 4, 4)."""
        poses: Float = self.T_world_imu @ self.T_imu_velo
        return poses

    def T_world_cam(self, camera: str = "left") -> Float:
        """Poses of a rectified camera, (T, 4, 4)."""
        poses: Float = self.T_world_imu @ self.rig.T_imu_cam(camera)
        return poses

    def projection(self, camera: str = "left") -> Float:
        """Lidar point (homogeneous) to (u z, v z, z) of a camera, (3, 4)."""
        projection: Float = self.intrinsics @ self.rig.T_cam_velo(camera)[:3]
        return projection

    def body_poses(self, t: int) -> Float:
        """Poses `T_world_body` at frame t, (bodies, 4, 4); index = instance number."""
        self._check(t)
        poses: Float = self._body_poses[t]
        return poses

    def render(self, t: int, camera: str = "left", *, colour: bool = True) -> Frame:
        """Image and truth of a camera at frame t.

        Parameters
        ----------
        t : int
            0 ... frames - 1.
        camera : str
            ``left``, ``right``, ``gray_left`` or ``gray_right``.
        colour : bool
            False leaves `rgb` black, which saves half of the time.
        """
        self._check(t)
        uv, pose = self._pixels, self.T_world_cam(camera)[t]
        hits, directions = self._see(t, pose, uv)
        seen = hits.solid >= 0
        body = np.where(seen, self._owner[hits.solid], 0)
        points = pose[:3, 3:] + directions * np.where(seen, hits.s, 0.0)
        partner = _PARTNER[camera]
        stereo = self._follow(points, uv, seen, body, t, t, partner)[1]
        forward, gone_forward = self._follow(points, uv, seen, body, t, t + 1, camera)
        backward, gone_backward = self._follow(points, uv, seen, body, t, t - 1, camera)
        depth = np.where(seen, hits.s, np.nan)
        semantic = np.array([solid.semantic for solid, _ in self._parts], np.uint8)
        moving = np.array([b.path.moving for b in self.bodies], np.uint8)
        rgb = np.zeros((self.height, self.width, 3), np.uint8)
        if colour:
            rgb[:] = self.photograph(t, camera, (hits, directions))
        fb = float(self.intrinsics[0, 0]) * self.baseline
        return Frame(
            rgb=rgb,
            depth=self._image(depth.astype(np.float32)),
            disparity=self._image((fb / depth).astype(np.float32)),
            flow_forward=forward,
            flow_backward=backward,
            occluded_right=stereo,
            occluded_forward=gone_forward,
            occluded_backward=gone_backward,
            instances=self._image(body.astype(np.uint16)),
            semantics=self._image(np.where(seen, semantic[hits.solid], 0).astype(np.uint8)),
            moving=self._image(moving[body]),
        )

    def photograph(
        self, t: int, camera: str = "left", first: tuple[Hits, Float] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Only the colours of frame t, uint8 (H, W, 3); the same bytes as `render` gives.

        `first` are the hits and directions of the pixel centres where they are at hand.
        """
        self._check(t)
        n, pose, poses = self.supersample, self.T_world_cam(camera)[t], self.body_poses(t)
        total = np.zeros((3, self.height * self.width), np.float32)
        for k in range(n * n):
            shift = np.array([[(k % n + 0.5) / n - 0.5], [(k // n + 0.5) / n - 0.5]])
            if n > 1 or first is None:
                hits, directions = self._see(t, pose, self._pixels + shift)
            else:
                hits, directions = first
            total += shade(self._parts, self.bodies, poses, pose, self.intrinsics, hits, directions)
        levels = np.clip(np.round(total * np.float32(255 / n**2)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.moveaxis(self._image(levels), 0, -1))

    def surface(
        self, t: int, camera: str
    ) -> tuple[Float, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """World points (3, H W) that the pixels of frame t see, their bodies, and a mask.

        The mask is False in the sky. The order of the pixels is fixed but not by rows.
        """
        self._check(t)
        pose = self.T_world_cam(camera)[t]
        hits, directions = self._see(t, pose, self._pixels)
        seen = hits.solid >= 0
        points = pose[:3, 3:] + directions * np.where(seen, hits.s, 0.0)
        return points, np.where(seen, self._owner[hits.solid], 0), seen

    def objects(self) -> Boxes:
        """3-D boxes of all objects in all frames."""
        return boxes(self)

    def tracks(self, camera: str = "left", n: int = 64) -> TrackSet:
        """Points followed through all frames, half of them on objects."""
        return track_points(self, camera, n)

    def visible(self, t: int, camera: str, points: Float) -> npt.NDArray[np.bool_]:
        """Tell which world points (N, 3) on surfaces the camera sees at frame t: exact ray test.

        A point outside the image (pixel borders at -0.5 and size - 0.5) is not visible.
        """
        self._check(t)
        T_cam_world = se3_inverse(self.T_world_cam(camera)[t])
        uv, z = project(self.intrinsics, transform(T_cam_world, points))
        return self._visible(t, camera, np.ascontiguousarray(points.T), uv.T, z)

    def lidar(self, t: int) -> npt.NDArray[np.float32]:
        """Scan of frame t: x forward, y left, z up in metres, reflectance, float32 (N, 4).

        All beams of a turn leave at once from the place of the lidar at the frame's time. Rows run
        from the highest beam to the lowest, each counter-clockwise from straight ahead. Beams that
        meet nothing within 80 m are left out.
        """
        self._check(t)
        return scan(self._world(t), self.T_world_velo[t], self.lidar_rows, self.lidar_steps)

    # --- inside -------------------------------------------------------------------------------

    def _check(self, t: int) -> None:
        if not 0 <= t < self.frames:
            raise UsageError(f"synthetic scene: frame {t} is outside 0 ... {self.frames - 1}")

    @cached_property
    def _body_poses(self) -> Float:
        return np.stack([body.path.pose(self.times) for body in self.bodies], 1)

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        return tile_order(self.height, self.width)

    @cached_property
    def _pixels(self) -> Float:
        """Pixel centres (2, H W) in tile order."""
        v, u = np.divmod(self._order, self.width)
        return np.stack([u, v]).astype(np.float64)

    def _image(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bring values (..., H W) from tile order to an image (..., H, W)."""
        out = np.empty_like(values)
        out[..., self._order] = values
        return out.reshape(*values.shape[:-1], self.height, self.width)

    @cached_property
    def _parts(self) -> list[tuple[Solid, int]]:
        """Solids in body coordinates and the body of each."""
        return [(solid, i) for i, body in enumerate(self.bodies) for solid in body.solids]

    @cached_property
    def _owner(self) -> npt.NDArray[np.int64]:
        return np.array([i for _, i in self._parts], np.int64)

    @cached_property
    def _still(self) -> list[Solid | None]:
        """Solids of bodies that never move, in world coordinates; None for the others."""
        poses = self.body_poses(0)
        moving = [body.path.moving for body in self.bodies]
        return [None if moving[i] else solid.moved(poses[i]) for solid, i in self._parts]

    def _world(self, t: int) -> list[Solid]:
        """All solids in world coordinates at frame t."""
        poses = self.body_poses(t)
        return [
            solid.moved(poses[i]) if still is None else still
            for still, (solid, i) in zip(self._still, self._parts, strict=True)
        ]

    def _see(self, t: int, pose: Float, uv: Float) -> tuple[Hits, Float]:
        """Cast the rays of pixels (2, N) of a camera at `pose`; directions have camera z = 1."""
        K = self.intrinsics
        x, y = (uv[0] - K[0, 2]) / K[0, 0], (uv[1] - K[1, 2]) / K[1, 1]
        directions = pose[:3, :3] @ np.stack([x, y, np.ones_like(x)])
        view = View(K, se3_inverse(pose))
        return cast(self._world(t), pose[:3, 3], directions, uv=uv, view=view), directions

    def _visible(
        self, t: int, camera: str, points: Float, uv: Float, z: Float
    ) -> npt.NDArray[np.bool_]:
        pose = self.T_world_cam(camera)[t]
        with np.errstate(invalid="ignore"):
            inside: npt.NDArray[np.bool_] = (uv[0] >= -0.5) & (uv[0] <= self.width - 0.5) & (z > 0)
            inside &= (uv[1] >= -0.5) & (uv[1] <= self.height - 0.5)
        index = np.flatnonzero(inside)
        view = View(self.intrinsics, se3_inverse(pose))
        gone = hidden(self._world(t), pose[:3, 3], points[:, index], uv[:, index], view)
        inside[index] = ~gone
        return inside

    def _follow(
        self,
        points: Float,
        uv: Float,
        seen: npt.NDArray[np.bool_],
        body: npt.NDArray[np.int64],
        t: int,
        other: int,
        camera: str,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Flow to `camera` at frame `other`, and where the points are not seen there."""
        n = uv.shape[1]
        flow, gone = np.full((2, n), np.nan, np.float32), np.ones(n, np.uint8)
        if 0 <= other < self.frames:
            moved = self.carry(points, body, t, other)
            T = se3_inverse(self.T_world_cam(camera)[other])
            x, y, z = T[:3, :3] @ moved + T[:3, 3:]
            K = self.intrinsics
            with np.errstate(divide="ignore", invalid="ignore"):
                there = np.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]])
            ahead = np.flatnonzero(seen & (z > 1e-6))
            flow[:, ahead] = there[:, ahead] - uv[:, ahead]
            visible = self._visible(other, camera, moved[:, ahead], there[:, ahead], z[ahead])
            gone[ahead] = ~visible
        return self._image(flow), self._image(gone)

    def carry(self, points: Float, body: npt.NDArray[np.int64], t: int, other: int) -> Float:
        """Move world points (3, N) of bodies `body` (N,) from frame t to frame `other`."""
        if other == t:
            return points
        moved: Float = points.copy()
        steps = self.body_poses(other) @ se3_inverse(self.body_poses(t))
        for i, b in enumerate(self.bodies):
            if b.path.moving:
                mine = np.flatnonzero(body == i)
                moved[:, mine] = steps[i, :3, :3] @ points[:, mine] + steps[i, :3, 3:]
        return moved


def _lens(intrinsics: npt.ArrayLike) -> Float:
    """Return intrinsics as float64 (3, 3) if rays can be cast through them."""
    K = np.array(intrinsics, np.float64)
    pinhole = K.shape == (3, 3) and bool(np.isfinite(K).all() and (K.diagonal() > 0).all())
    if not pinhole or K[[0, 1], [1, 0]].any() or K[2].tolist() != [0, 0, 1]:
        raise UsageError(
            "synthetic scene: intrinsics should be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "
            f"found {K.tolist()}"
        )
    return K
