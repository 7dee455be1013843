"""Convex solids, the only shapes of the synthetic world: half spaces, boxes, prisms, balls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from depthdata.geometry import transform
from depthdata.synthetic.materials import Material

__all__ = ["Solid", "ball", "box", "ground", "prism", "tapered_box"]

Float = npt.NDArray[np.float64]
Vector = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Solid:
    """All points with ``normals @ p <= offsets``, in the frame of the body it belongs to.

    Parameters
    ----------
    normals : float64, (P, 3)
        Outward unit normals of the P faces.
    offsets : float64, (P,)
        Distance of each face from the origin along its normal, metres.
    corners : float64, (C, 3)
        Points whose convex hull contains the solid; empty for an unbounded one.
    material : Material
        How its surface looks.
    semantic : int
        Class of its surface (`depthdata.synthetic.SEMANTIC_CLASSES`).
    """

    normals: Float
    offsets: Float
    corners: Float
    material: Material
    semantic: int

    def moved(self, T: npt.ArrayLike) -> Solid:
        """Return the solid after a rigid transform (4, 4)."""
        T = np.asarray(T, np.float64)
        normals = self.normals @ T[:3, :3].T
        return replace(
            self,
            normals=normals,
            offsets=self.offsets + normals @ T[:3, 3],
            corners=transform(T, self.corners),
        )


def ground(material: Material, semantic: int) -> Solid:
    """Everything below z = 0."""
    return Solid(np.array([[0.0, 0, 1]]), np.zeros(1), np.empty((0, 3)), material, semantic)


def box(low: Vector, high: Vector, material: Material, semantic: int) -> Solid:
    """Axis-aligned box between two corners; faces in the order +x +y +z -x -y -z."""
    lo, hi = np.asarray(low, np.float64), np.asarray(high, np.float64)
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    choice = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(8, 3)
    corners = np.where(choice == 1, hi, lo)
    return Solid(normals, np.concatenate([hi, -lo]), corners, material, semantic)


def tapered_box(
    low: Vector, high: Vector, top: tuple[Vector, Vector], material: Material, semantic: int
) -> Solid:
    """Box whose upper face is the rectangle from `top[0]` to `top[1]` (x, y; z is ignored)."""
    base = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    (x0, y0, _), (x1, y1, _) = top
    roof = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    bottom = np.column_stack([base, np.full(4, low[2])])
    upper = np.column_stack([roof, np.full(4, high[2])])
    normals, offsets = [np.array([0.0, 0, 1]), np.array([0.0, 0, -1])], [high[2], -low[2]]
    for i in range(4):
        j = (i + 1) % 4
        normal = np.cross(bottom[j] - bottom[i], upper[i] - bottom[i])
        normal /= np.linalg.norm(normal)
        normals.append(normal)
        offsets.append(float(normal @ bottom[i]))
    corners = np.concatenate([bottom, upper])
    return Solid(np.array(normals), np.array(offsets), corners, material, semantic)


def prism(
    centre: Vector,
    axis: int,
    radius: float,
    half_length: float,
    material: Material,
    semantic: int,
    *,
    sides: int = 10,
) -> Solid:
    """Regular prism around a coordinate axis (wheels, posts, trunks); `radius` is the inner one."""
    angles = 2 * np.pi * np.arange(sides) / sides
    a, b = (axis + 1) % 3, (axis + 2) % 3
    normals = np.zeros((sides + 2, 3))
    normals[:sides, a], normals[:sides, b] = np.cos(angles), np.sin(angles)
    normals[sides, axis], normals[sides + 1, axis] = 1, -1
    outer = radius / np.cos(np.pi / sides)
    rim = np.zeros((sides, 3))
    rim[:, a], rim[:, b] = (
        outer * np.cos(angles + np.pi / sides),
        outer * np.sin(angles + np.pi / sides),
    )
    end = half_length * np.eye(3)[axis]
    middle = np.asarray(centre, np.float64)
    offsets = np.concatenate([np.full(sides, radius), [half_length, half_length]])
    corners = np.concatenate([rim - end, rim + end]) + middle
    return Solid(normals, offsets + normals @ middle, corners, material, semantic)


def ball(centre: Vector, radius: float, material: Material, semantic: int) -> Solid:
    """Polyhedron of 26 faces around a ball."""
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), -1)
    normals = steps.reshape(-1, 3)[np.arange(27) != 13].astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middle = np.asarray(centre, np.float64)
    x, y, z = centre
    hull = box(
        (x - radius, y - radius, z - radius),
        (x + radius, y + radius, z + radius),
        material,
        semantic,
    ).corners
    return Solid(normals, radius + normals @ middle, hull, material, semantic)
