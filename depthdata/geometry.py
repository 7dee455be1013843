"""Pinhole cameras, rigid motion, depth and disparity: pure NumPy, float64.

Camera axes are x right, y down, z forward (OpenCV); pixel centres lie at integer coordinates and
(u, v) means (column, row). `T_dst_src` maps homogeneous points of `src` to `dst`, in metres.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = [
    "backproject",
    "crop_intrinsics",
    "depth_to_disparity",
    "disparity_to_depth",
    "euler_from_rotation",
    "is_rigid",
    "pixel_grid",
    "project",
    "rigid_flow",
    "rigid_transform",
    "rotation_from_euler",
    "scale_intrinsics",
    "se3_inverse",
    "transform",
]

Float = npt.NDArray[np.float64]


def _matrices(T: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Float:
    out: Float = np.asarray(T, np.float64)
    if out.shape[-len(shape) :] != shape:
        wanted = ", ".join(map(str, shape))
        raise UsageError(f"{name}: expected shape (..., {wanted}), found {out.shape}")
    return out


def rigid_transform(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> Float:
    """Join a rotation (..., 3, 3) and a translation (..., 3) to a transform (..., 4, 4).

    >>> rigid_transform(np.eye(3), [1, 2, 3])[:3, 3]
    array([1., 2., 3.])
    """
    R, t = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    lead = np.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    out = np.zeros((*lead, 4, 4))
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = R, t, 1.0
    return out


def se3_inverse(T: npt.ArrayLike) -> Float:
    """Inverse of rigid transforms, exactly rigid again (no general matrix inversion).

    Parameters
    ----------
    T : float64, (..., 4, 4)
        `T_dst_src`.

    Returns
    -------
    float64, (..., 4, 4)
        `T_src_dst`; NaN where `T` is NaN.
    """
    T = _matrices(T, (4, 4), "T")
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    return rigid_transform(R, -(R @ T[..., :3, 3:])[..., 0])


def is_rigid(T: npt.ArrayLike, tol: float = 1e-6) -> npt.NDArray[np.bool_]:
    """Tell which matrices (..., 4, 4) are a proper rotation plus a translation, within `tol`.

    >>> bool(is_rigid(np.eye(4))), bool(is_rigid(np.diag([1, 1, -1, 1])))
    (True, False)
    """
    T = _matrices(T, (4, 4), "T")
    R = T[..., :3, :3]
    with np.errstate(invalid="ignore"):
        orthogonal = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max((-1, -2)) <= tol
        proper = np.linalg.det(R) > 0
        bottom = np.abs(T[..., 3, :] - [0, 0, 0, 1]).max(-1) <= tol
    finite = np.isfinite(T).all((-1, -2))
    return np.asarray(orthogonal & proper & bottom & finite)


def rotation_from_euler(roll: npt.ArrayLike, pitch: npt.ArrayLike, yaw: npt.ArrayLike) -> Float:
    """Rotation matrices Rz(yaw) Ry(pitch) Rx(roll) from angles in radians, shape (..., 3, 3).

    The order of KITTI's OXTS records and of most vehicle frames (x forward, y left, z up).

    >>> rotation_from_euler(0, 0, np.pi / 2).round(6) @ [1, 0, 0]
    array([0., 1., 0.])
    """
    r, p, y = (np.asarray(a, np.float64) for a in np.broadcast_arrays(roll, pitch, yaw))
    cr, sr, cp, sp, cy, sy = np.cos(r), np.sin(r), np.cos(p), np.sin(p), np.cos(y), np.sin(y)
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def euler_from_rotation(R: npt.ArrayLike) -> tuple[Float, Float, Float]:
    """Roll, pitch, yaw (radians) of Rz(yaw) Ry(pitch) Rx(roll); pitch within [-pi/2, pi/2]."""
    R = _matrices(R, (3, 3), "R")
    pitch = np.arctan2(-R[..., 2, 0], np.hypot(R[..., 2, 1], R[..., 2, 2]))
    return (
        np.arctan2(R[..., 2, 1], R[..., 2, 2]),
        pitch,
        np.arctan2(R[..., 1, 0], R[..., 0, 0]),
    )


def transform(T: npt.ArrayLike, X: npt.ArrayLike) -> Float:
    """Map points X (..., 3) of `src` with `T_dst_src` (4, 4) or (..., 4, 4) to `dst`.

    A stack of transforms broadcasts against the leading axes of `X`.
    """
    T, X = _matrices(T, (4, 4), "T"), np.asarray(X, np.float64)
    if T.ndim == 2:
        return np.asarray(X @ T[:3, :3].T + T[:3, 3])
    return np.asarray((T[..., :3, :3] @ X[..., None])[..., 0] + T[..., :3, 3])


def project(K: npt.ArrayLike, X_cam: npt.ArrayLike) -> tuple[Float, Float]:
    """Project camera points to pixels.

    Parameters
    ----------
    K : float64, (3, 3)
        Intrinsics; the skew K[0, 1] is used.
    X_cam : float64, (..., 3)
        Points in camera axes, metres.

    Returns
    -------
    uv : float64, (..., 2)
        Column and row; NaN where z == 0. Points behind the camera (z < 0) are mirrored: test `z`.
    z : float64, (...)
        Depth, metres.

    Examples
    --------
    >>> project([[100, 0, 50], [0, 100, 40], [0, 0, 1]], [1.0, 0.5, 2.0])
    (array([100.,  65.]), array(2.))
    """
    K, X = _matrices(K, (3, 3), "K"), np.asarray(X_cam, np.float64)
    z = X[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = X[..., 0] / z, X[..., 1] / z
        uv = np.stack([K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]], -1)
    uv[z == 0] = np.nan
    return uv, np.asarray(z)


def backproject(K: npt.ArrayLike, uv: npt.ArrayLike, z: npt.ArrayLike) -> Float:
    """Camera points (..., 3) of pixels `uv` (..., 2) at depth `z` (...), in metres.

    >>> backproject([[100, 0, 50], [0, 100, 40], [0, 0, 1]], [100, 65], 2.0)
    array([1. , 0.5, 2. ])
    """
    K, uv = _matrices(K, (3, 3), "K"), np.asarray(uv, np.float64)
    z = np.asarray(z, np.float64)
    y = (uv[..., 1] - K[1, 2]) / K[1, 1]
    x = (uv[..., 0] - K[0, 2] - K[0, 1] * y) / K[0, 0]
    return np.stack([x * z, y * z, np.broadcast_to(z, x.shape)], -1)


def _reciprocal(value: npt.ArrayLike, factor: float) -> Float:
    value = np.asarray(value, np.float64)
    out = np.full(value.shape, np.nan)
    np.divide(factor, value, out=out, where=value > 0)
    return out


def depth_to_disparity(depth: npt.ArrayLike, fx: float, baseline: float) -> Float:
    """Disparity fx * baseline / z in pixels; NaN where depth is NaN or <= 0, 0 at infinity.

    >>> depth_to_disparity([10.0, np.nan, 0.0], fx=700, baseline=0.5)
    array([35., nan, nan])
    """
    return _reciprocal(depth, float(fx) * float(baseline))


def disparity_to_depth(disparity: npt.ArrayLike, fx: float, baseline: float) -> Float:
    """Depth fx * baseline / disparity in metres; NaN where disparity is NaN or <= 0."""
    return _reciprocal(disparity, float(fx) * float(baseline))


def scale_intrinsics(K: npt.ArrayLike, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Float:
    """Intrinsics (..., 3, 3) of an image resized from `from_hw` to `to_hw` (height, width).

    Pixel centres lie at integers, image borders at -0.5: cx' = (cx + 0.5) s - 0.5.

    >>> scale_intrinsics([[100, 0, 49.5], [0, 100, 39.5], [0, 0, 1]], (80, 100), (40, 50))
    array([[50. ,  0. , 24.5],
           [ 0. , 50. , 19.5],
           [ 0. ,  0. ,  1. ]])
    """
    out: Float = _matrices(K, (3, 3), "K").copy()
    sy, sx = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    out[..., 0, :2] *= sx
    out[..., 0, 2] = (out[..., 0, 2] + 0.5) * sx - 0.5
    out[..., 1, 1] *= sy
    out[..., 1, 2] = (out[..., 1, 2] + 0.5) * sy - 0.5
    return out


def crop_intrinsics(K: npt.ArrayLike, top: float, left: float) -> Float:
    """Intrinsics (..., 3, 3) after cutting `top` rows and `left` columns away."""
    out: Float = _matrices(K, (3, 3), "K").copy()
    out[..., 0, 2] -= left
    out[..., 1, 2] -= top
    return out


def pixel_grid(height: int, width: int) -> Float:
    """Coordinates (u, v) of every pixel centre, float64 (height, width, 2).

    >>> pixel_grid(2, 3)[1, 2]
    array([2., 1.])
    """
    v, u = np.mgrid[:height, :width]
    out: Float = np.stack([u, v], -1).astype(np.float64)
    return out


def rigid_flow(depth: npt.ArrayLike, K: npt.ArrayLike, T_cam2_cam1: npt.ArrayLike) -> Float:
    """Flow that camera motion alone gives a static scene.

    Parameters
    ----------
    depth : float, (H, W)
        Depth z of the first view in metres; NaN where unknown.
    K : float64, (3, 3)
        Intrinsics of both views.
    T_cam2_cam1 : float64, (4, 4)
        First camera to second camera.

    Returns
    -------
    float64, (2, H, W)
        (dx, dy) in pixels; NaN where depth is unknown or the point is not before camera 2.
    """
    depth = np.asarray(depth, np.float64)
    if depth.ndim != 2:
        raise UsageError(f"depth: expected shape (H, W), found {depth.shape}")
    grid = pixel_grid(*depth.shape)
    uv, z = project(K, transform(T_cam2_cam1, backproject(K, grid, depth)))
    flow = np.moveaxis(uv - grid, -1, 0)
    flow[:, ~((z > 0) & (depth > 0))] = np.nan
    return np.ascontiguousarray(flow)
