"""The cameras of the Waymo vehicle in the synthetic street: distorted, with a rolling shutter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import simplejpeg

from depthdata.codecs.images import encode_png
from depthdata.codecs.waymo_frame import T_CAMERA_OPTICAL, CameraCalibration
from depthdata.synthetic.layouts.waymo_content import DIVISOR, Picture
from depthdata.synthetic.layouts.waymo_rig import VehicleRig
from depthdata.synthetic.probe import Probe, Shot

__all__ = ["PANOPTIC", "take"]

PANOPTIC = {0: 25, 1: 20, 2: 23, 3: 19, 4: 24, 5: 15, 6: 2, 7: 2, 8: 9}
"""Class of the scene -> panoptic class of the source (cars and vans are one)."""

_STRIP = 25  # lines exposed together, about; the real shutter moves line by line
_EDGE = 0.5  # the source's pixel 0 begins at 0, the scene's has its centre there


def take(rig: VehicleRig, t: int, camera: CameraCalibration, *, labelled: bool) -> Picture:
    """Take the picture of a camera in frame t.

    Parameters
    ----------
    rig : VehicleRig
    t : int
    camera : CameraCalibration
    labelled : bool
        Whether it gets a panoptic label.
    """
    sideways = camera.rolling_shutter in (2, 4)
    lines = camera.width if sideways else camera.height
    shots = []
    for part in np.array_split(np.arange(lines), max(8, lines // _STRIP)):
        seconds = rig.line_seconds(t, camera, (part[0] + part[-1] + 1) / 2 / lines)
        shots.append(_strip(rig, camera, seconds, int(part[0]), len(part), sideways))
    axis = 1 if sideways else 0
    classes = np.array([PANOPTIC[k] for k in range(len(PANOPTIC))], np.uint16)[
        np.concatenate([shot.semantics for shot in shots], axis)
    ]
    instances = np.concatenate([shot.instances for shot in shots], axis)
    rgb = np.ascontiguousarray(np.concatenate([shot.rgb for shot in shots], axis))
    return Picture(
        name=camera.name,
        rgb=rgb,
        jpeg=simplejpeg.encode_jpeg(rgb, quality=92, colorspace="RGB", colorsubsampling="420"),
        shutter=rig.shutter(t, camera),
        depth=np.concatenate([shot.depth for shot in shots], axis),
        classes=classes,
        instances=instances,
        panoptic=encode_png(_panoptic(classes, instances)) if labelled else b"",
        global_ids={int(i): (1000 + int(i), True) for i in np.unique(instances) if i},
    )


def _strip(
    rig: VehicleRig,
    camera: CameraCalibration,
    seconds: float,
    first: int,
    count: int,
    sideways: bool,
) -> Shot:
    """Lines `first` and on of an image, as seen at one moment."""
    f_u, f_v, c_u, c_v = camera.intrinsic[:4]
    K = np.array([[f_u, 0, c_u - _EDGE], [0, f_v, c_v - _EDGE], [0, 0, 1.0]])
    K[0 if sideways else 1, 2] -= first
    size = (camera.height, count) if sideways else (count, camera.width)
    pose = rig.T_world_vehicle(seconds) @ camera.T_vehicle_camera @ T_CAMERA_OPTICAL
    return Probe(rig.scene, seconds).shoot(pose, K, size, camera.intrinsic[4:])


def _panoptic(
    classes: npt.NDArray[np.uint16], instances: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    values: npt.NDArray[np.uint16] = classes * np.uint16(DIVISOR) + instances
    return values
