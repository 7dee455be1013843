"""What the layouts of Insta-DM's prepared sets share: one scene folder in each of four folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.codecs.flo import encode_flo
from depthdata.codecs.npy import encode_npy
from depthdata.geometry import pixel_grid, se3_inverse

if TYPE_CHECKING:
    from depthdata.synthetic.frame import Frame
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["bodies_of", "dense_flow", "masks_of", "write_scene"]

_JPEG_QUALITY = 75


def write_scene(
    scene: SyntheticScene,
    root: Path,
    name: str,
    numbers: Sequence[str],
    *,
    camera: str,
    part: str | None,
    spread: int,
    depth: bool,
    dtype: Any = np.uint8,
) -> Path:
    """Write the frames of one camera as a scene.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder of ``image``, ``segmentation``, ``flow_f`` and ``flow_b``.
    name : str
        Of the scene.
    numbers : sequence of str
        What the frames are called.
    camera : str
    part : {"train", "val"}, optional
        List that names the scene.
    spread : int
        Pixels by which the masks are larger than what is seen, so that they overlap.
    depth : bool
        Write depth maps, too.
    dtype : dtype
        Of the masks.

    Returns
    -------
    Path
        `root`.
    """
    places = {kind: root / kind / name for kind in ("image", "segmentation", "flow_f", "flow_b")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    lines = (" ".join(f"{value:.18e}" for value in row) for row in scene.intrinsics)
    (places["image"] / "cam.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    for t, number in enumerate(numbers):
        frame = scene.render(t, camera)
        _, jpeg = cv2.imencode(
            ".jpg", frame.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        (places["image"] / f"{number}.jpg").write_bytes(jpeg.tobytes())
        masks = masks_of(frame, bodies_of(scene, frame, t), spread)
        empty = np.zeros((1, *masks.shape[1:]), np.bool_)
        stack = np.concatenate([empty, masks]).astype(dtype)
        (places["segmentation"] / f"{number}.npy").write_bytes(encode_npy(stack))
        if depth:
            values = np.nan_to_num(frame.depth, nan=0.0)
            (places["image"] / f"{number}.npy").write_bytes(encode_npy(values))
        if t + 1 < len(numbers):
            flow = dense_flow(scene, frame.flow_forward, camera, t, t + 1)
            (places["flow_f"] / f"{number}.flo").write_bytes(_flow_file(flow))
        if t:
            flow = dense_flow(scene, frame.flow_backward, camera, t, t - 1)
            (places["flow_b"] / f"{numbers[t - 1]}.flo").write_bytes(_flow_file(flow))
    for listed in ("train", "val"):
        with (root / f"{listed}.txt").open("a", encoding="ascii") as file:
            if listed == part:
                file.write(f"{name}\n")
    return root


def bodies_of(scene: SyntheticScene, frame: Frame, t: int) -> list[int]:
    """Return the numbers of the bodies that are seen, in the order of their masks.

    The order differs from frame to frame: the masks of a frame know nothing of the next one's.
    """
    seen = [int(body) for body in np.unique(frame.instances) if body]
    order = np.random.default_rng((scene.seed, t)).permutation(len(seen))
    return [seen[k] for k in order]


def masks_of(frame: Frame, bodies: Sequence[int], spread: int = 0) -> npt.NDArray[np.bool_]:
    """Return the masks of bodies, (N, H, W), `spread` pixels larger than what is seen of them."""
    masks = np.zeros((len(bodies), *frame.instances.shape), np.bool_)
    kernel = np.ones((2 * spread + 1, 2 * spread + 1), np.uint8)
    for k, body in enumerate(bodies):
        seen = (frame.instances == body).astype(np.uint8)
        masks[k] = cv2.dilate(seen, kernel) if spread else seen
    return masks


def dense_flow(
    scene: SyntheticScene, flow: npt.NDArray[np.float32], camera: str, t: int, other: int
) -> npt.NDArray[np.float32]:
    """Return flow (2, H, W) without gaps: the sky moves as what is infinitely far away."""
    poses, K = scene.T_world_cam(camera), scene.intrinsics
    turn = (se3_inverse(poses[other]) @ poses[t])[:3, :3]
    uv = pixel_grid(*flow.shape[1:])
    rays = np.concatenate([uv, np.ones_like(uv[..., :1])], axis=-1) @ np.linalg.inv(K).T
    there = rays @ turn.T @ K.T
    far = np.moveaxis(there[..., :2] / there[..., 2:] - uv, -1, 0).astype(np.float32)
    return np.where(np.isnan(flow), far, flow)


def _flow_file(flow: npt.NDArray[np.float32]) -> bytes:
    return encode_flo(np.moveaxis(flow, 0, -1))
