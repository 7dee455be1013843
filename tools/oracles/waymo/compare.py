"""Compare what we read from record files with what the official package read (dump.py).

usage: compare.py FOLDER_OF_DUMP RECORD_FILE...

The official points are float32, computed in global coordinates of 4e4 metres: those of the roof
lidar are up to 8 mm off, those of the others 7 micrometres. Everything else must be equal.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_frame import CameraImage, Frame, LaserLabel
from depthdata.codecs.waymo_range_image import laser_returns

TOP = 1
STEPS = 2.5  # of float32 at the global coordinates; 9.8 mm at 4.2e4 m
OTHERS = 1e-5  # metres


class Report:
    """Worst difference of every kind of value, and how many were compared."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, float, float]] = {}

    def add(self, name: str, ours: object, theirs: object, tolerance: float = 0.0) -> None:
        """Compare arrays, trees of plain values, or leaves; another shape counts as infinite."""
        count, worst = 1, 0.0
        if isinstance(ours, np.ndarray):
            other = np.asarray(theirs)
            same = ours.shape == other.shape
            count = other.size
            worst = float(np.abs(ours - other).max(initial=0.0)) if same else np.inf
        elif isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
            for key, value in ours.items():
                self.add(name, value, theirs[key], tolerance)
            return
        elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
            for a, b in zip(ours, theirs, strict=True):
                self.add(name, a, b, tolerance)
            return
        elif isinstance(ours, float) and isinstance(theirs, float):
            worst = abs(ours - theirs)
        elif ours != theirs:
            worst = np.inf
        old = self.rows.get(name, (0, 0.0, tolerance))
        self.rows[name] = (old[0] + count, max(old[1], worst), tolerance)

    def print(self) -> bool:
        """Print a table; return whether everything is within its tolerance."""
        good = bool(self.rows)
        print(f"  {'value':<24} {'compared':>10} {'worst':>10} {'allowed':>9}")
        for name, (count, worst, tolerance) in self.rows.items():
            ok = worst <= tolerance
            good &= ok
            verdict = "" if ok else "FAIL"
            print(f"  {name:<24} {count:>10} {worst:>10.3g} {tolerance:>9.3g} {verdict}")
        return good


def digest(data: memoryview) -> str:
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()}" if data else ""


def image(i: CameraImage) -> dict[str, object]:
    label = i.panoptic
    return {
        "jpeg": digest(i.jpeg),
        "pose": i.T_world_vehicle.ravel().tolist(),
        "velocity": [*i.velocity.tolist(), *i.angular_velocity.tolist()],
        "times": [i.pose_timestamp, i.shutter, i.trigger, i.readout_done],
        "panoptic": digest(label.png) if label else "",
        "divisor": label.divisor if label else 0,
        "ids": [[k, *ids] for k, ids in label.global_ids.items()] if label else [],
    }


def laser_label(label: LaserLabel) -> dict[str, object]:
    zero = np.zeros(3)
    boxes = [
        None if b is None else [*b.centre.tolist(), *b.size.tolist(), b.heading]
        for b in (label.box, label.synced_box)
    ]
    return {
        "id": label.id,
        "type": label.type,
        "box": boxes[0],
        "speed": (zero if label.speed is None else label.speed).tolist(),
        "acceleration": (zero if label.acceleration is None else label.acceleration).tolist(),
        "synced": boxes[1],
        "camera": label.most_visible_camera,
        "points": [label.points, label.top_points],
        "difficulty": [label.detection_difficulty, label.tracking_difficulty],
    }


def fields(frame: Frame) -> dict[str, object]:
    return {
        "segment": frame.segment,
        "stats": [frame.stats.get(key, "") for key in ("time_of_day", "location", "weather")],
        "timestamp_micros": frame.timestamp_micros,
        "cameras": {
            str(k): [
                *(c.intrinsic.tolist() + c.T_vehicle_camera.ravel().tolist()),
                *(c.width, c.height, c.rolling_shutter),
            ]
            for k, c in frame.cameras.items()
        },
        "lasers": {
            str(k): [
                *(c.inclinations.tolist() + c.T_vehicle_laser.ravel().tolist()),
                *(c.least, c.most),
            ]
            for k, c in frame.laser_calibrations.items()
        },
        "images": {str(k): image(i) for k, i in frame.images.items()},
        "laser_labels": [laser_label(label) for label in frame.laser_labels],
        "camera_labels": labels(frame.camera_labels),
        "projected_labels": labels(frame.projected_lidar_labels),
        "zones": [[z[:, 0].tolist(), z[:, 1].tolist()] for z in frame.no_label_zones],
    }


def labels(entries: dict) -> dict[str, object]:
    return {
        str(k): [[b.id, b.type, *b.centre, *b.size] for b in found] for k, found in entries.items()
    }


def compare_frame(report: Report, frame: Frame, told: dict, clouds: dict) -> None:
    for key, value in fields(frame).items():
        report.add(f"field {key}", value, told[key])
    if told["pose"]:  # a record without range images may lack it
        report.add("field pose", frame.T_world_vehicle.ravel().tolist(), told["pose"])
    ours = {k: laser_returns(frame, k) for k in frame.lasers}
    compared = set()
    step = float(np.spacing(np.float32(max(map(abs, told["pose"]), default=1))))
    for laser, echoes in ours.items():
        for echo, found in echoes.items():
            key = f"{laser}_{echo}"
            theirs = clouds[f"{key}_points"]
            tolerance = STEPS * step if laser == TOP else OTHERS
            report.add(f"points laser {laser} (m)", found.points, theirs, tolerance)
            report.add("camera projections", found.projection, clouds[f"{key}_projection"])
            report.add("range, intensity, ...", found.polar, clouds[f"{key}_polar"])
            compared.add(key)
    rest = {
        name
        for name, values in clouds.items()
        if len(values) and name.rpartition("_")[0] not in compared
    }
    report.add("clouds not read by us", sorted(rest) or None, None)


def main() -> int:
    good = True
    for k, path in enumerate(sys.argv[2:]):
        dump = Path(sys.argv[1]) / str(k)
        told = json.loads((dump / "fields.json").read_text())
        print(Path(path).name)
        report = Report()
        with RecordFile(path, verify="full") as records:
            report.add("number of frames", len(records), len(told))
            for t, payload in enumerate(records):
                with np.load(dump / f"{t}.npz", allow_pickle=False) as clouds:
                    compare_frame(report, Frame(payload), told[t], dict(clouds))
        good &= report.print()
    print("agrees with the official package" if good else "DIFFERS from the official package")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
