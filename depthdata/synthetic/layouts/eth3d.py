"""A frame of a scene as a scene of ETH3D's low-resolution two-view set, with its poses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.codecs.colmap import (
    ColmapCamera,
    ColmapImage,
    encode_cameras,
    encode_images,
    quaternion_from_rotation,
)
from depthdata.codecs.middlebury import encode_calib, encode_mask
from depthdata.geometry import se3_inverse
from depthdata.synthetic.layouts.two_views import (
    CAMERAS,
    calibration,
    two_views,
    write_map,
    write_picture,
)

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    frame: int = 0,
    name: str = "playground_1l",
    test: bool = False,
    truth: bool = True,
    gray: bool = False,
) -> Path:
    """Write one frame below `root`.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder that holds ``two_view_training``, ``two_view_training_gt``,
        ``two_view_testing``.
    frame : int
        Of the scene.
    name : str
        Of the scene folder.
    test : bool
        Write to ``two_view_testing``, where scenes have no ground truth.
    truth : bool
        False leaves out the ground truth, as before its archive is unpacked.
    gray : bool
        Images of one channel instead of three.

    Returns
    -------
    Path
        The scene folder.
    """
    views = two_views(scene, frame)
    height, width = views[0].disparity.shape
    folder = root / ("two_view_testing" if test else "two_view_training") / name
    poses = []
    for number, (camera, view) in enumerate(zip(CAMERAS, views, strict=True)):
        write_picture(folder / f"im{number}.png", view.rgb[..., 1] if gray else view.rgb)
        T_cam_world = se3_inverse(scene.T_world_cam(camera)[frame])
        w, x, y, z = quaternion_from_rotation(T_cam_world[:3, :3]).tolist()
        tx, ty, tz = T_cam_world[:3, 3].tolist()
        poses.append(ColmapImage(number, 0, f"im{number}.png", (w, x, y, z), (tx, ty, tz)))
    K = scene.intrinsics.tolist()
    lens = ColmapCamera(0, width, height, K[0][0], K[1][1], K[0][2], K[1][2])
    calib = calibration(scene, views, {"ndisp": width})
    (folder / "calib.txt").write_bytes(encode_calib(calib))
    (folder / "cameras.txt").write_bytes(encode_cameras([lens]))
    (folder / "images.txt").write_bytes(encode_images(poses))
    if truth and not test:
        there = root / "two_view_training_gt" / name
        write_map(there / "disp0GT.pfm", views[0].disparity)
        (there / "mask0nocc.png").write_bytes(encode_mask(views[0].mask))
    return folder
