"""A synthetic scene as the Waymo vehicle records it, frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from depthdata.synthetic.layouts.waymo_content import Context, Moment
from depthdata.synthetic.layouts.waymo_labels import camera_labels, laser_labels, projected_labels
from depthdata.synthetic.layouts.waymo_lidars import ZONE, sweep
from depthdata.synthetic.layouts.waymo_pictures import take
from depthdata.synthetic.layouts.waymo_rig import GLOBAL, VehicleRig

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["WaymoDrive", "segment_name"]

_RECORDED = (1, 2, 4, 3, 5)  # cameras in the order of real records


def segment_name(scene: SyntheticScene) -> str:
    """Name of the segment, in the pattern of real ones: number, begin and end in milliseconds."""
    end = round(1000 * scene.frames / scene.fps)
    return f"{scene.seed:019d}_0000_000_{end // 1000:04d}_{end % 1000:03d}"


class WaymoDrive:
    """What the vehicle's sensors give, one frame at a time.

    Parameters
    ----------
    scene : SyntheticScene
    name : str, optional
        Of the segment.
    panoptic : frames, optional
        Those whose pictures have panoptic labels; every second when not given.
    top, near : (rows, columns)
        Range images of the roof lidar and of the others.
    direction : int
        Of the rolling shutter: 1 down, 2 right, 3 up, 4 left.
    """

    def __init__(
        self,
        scene: SyntheticScene,
        *,
        name: str | None = None,
        panoptic: Collection[int] | None = None,
        top: tuple[int, int] = (64, 2650),
        near: tuple[int, int] = (200, 600),
        direction: int = 2,
    ) -> None:
        self.rig = VehicleRig(scene, name or segment_name(scene), top, near, direction)
        self.context: Context = self.rig.context()
        self.panoptic = frozenset(range(0, scene.frames, 2) if panoptic is None else panoptic)

    def __iter__(self) -> Iterator[Moment]:
        return (self.moment(t) for t in range(self.rig.scene.frames))

    def moment(self, t: int) -> Moment:
        """Record frame t."""
        rig, cameras = self.rig, {camera.name: camera for camera in self.context.cameras}
        pictures = {
            number: take(rig, t, cameras[number], labelled=t in self.panoptic)
            for number in _RECORDED
        }
        taken = [(camera, pictures[number].shutter) for number, camera in cameras.items()]
        sweeps = {laser.name: sweep(rig, t, laser, taken) for laser in self.context.lasers}
        pose = rig.T_global_vehicle(float(rig.scene.times[t]))
        labels = laser_labels(rig, t, pictures, sweeps, cameras)
        zone = np.column_stack([ZONE, np.zeros(len(ZONE))]) @ GLOBAL[:3, :3].T + GLOBAL[:3, 3]
        return Moment(
            start_micros=rig.start_micros(t),
            T_global_vehicle=pose,
            pictures=pictures,
            sweeps=dict(sorted(sweeps.items())),
            laser_labels=labels,
            camera_labels={n: camera_labels(rig, pictures[n]) for n in _RECORDED},
            projected_labels={
                n: projected_labels(labels, pose, cameras[n], pictures[n]) for n in _RECORDED
            },
            zones=[zone[:, :2]],
        )
