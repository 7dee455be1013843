"""Compare sequence files with what the devkit read from the same tree (dump.py).

usage: compare.py FOLDER_OF_SEQUENCE_FILES FOLDER_OF_DUMP DATAROOT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from depthdata.codecs.nuscenes_lidar import read_panoptic, read_scan
from depthdata.geometry import project, se3_inverse, transform
from depthdata.sequence import Sequence, open_sequence
from depthdata.sources.nuscenes import CAMERAS, sequences
from depthdata.sources.nuscenes_dynamo import depth_rows

_CORNERS = np.array([[1, 1, 1, 1, -1, -1, -1, -1], [1, -1, -1, 1, 1, -1, -1, 1]])
_UP = np.array([1, 1, -1, -1, 1, 1, -1, -1])


class Report:
    """Worst difference of every kind of value, and how many were compared."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, float, float]] = {}

    def add(self, name: str, ours: object, theirs: object, tolerance: float = 0.0) -> None:
        """Compare arrays or plain values; a difference in shape counts as infinite."""
        if isinstance(theirs, np.ndarray | float):
            a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
            same = a.shape == b.shape and (np.isnan(a) == np.isnan(b)).all()
            worst = float(np.nanmax(np.abs(a - b), initial=0.0)) if same else np.inf
            count = b.size
        else:
            worst, count = (0.0 if ours == theirs else np.inf), 1
        old = self.rows.get(name, (0, 0.0, tolerance))
        self.rows[name] = (old[0] + count, max(old[1], worst), tolerance)

    def print(self) -> bool:
        """Print a table; return whether everything is within its tolerance."""
        good = True
        print(f"{'value':<34} {'compared':>9} {'worst':>10} {'allowed':>9}")
        for name, (count, worst, tolerance) in self.rows.items():
            ok = worst <= tolerance and count > 0
            good &= ok
            print(f"{name:<34} {count:>9} {worst:>10.3g} {tolerance:>9.3g} {'' if ok else 'FAIL'}")
        print("agrees with the devkit" if good else "DIFFERS from the devkit")
        return good


def compare_scene(
    report: Report, sequence: Sequence, told: dict, arrays: dict, root: Path, lidar_files: list
) -> None:
    front = sequence.cameras["front"]
    facts = front.transform
    report.add(
        "scene token, location",
        [facts["scene_token"], facts["location"]],
        [told["token"], told["location"]],
    )
    rows = told["channels"]["CAM_FRONT"]
    report.add("frames", list(sequence.frame_ids), [row["token"] for row in rows])
    keys = [t for t, row in enumerate(rows) if row["key"]]
    report.add("key frames", facts["key_frames"], keys)
    report.add("samples", facts["sample_tokens"], [s["token"] for s in told["samples"]])
    report.add("lidar files", lidar_files, [r["file"] for r in told["channels"]["LIDAR_TOP"]])
    for name, channel in CAMERAS.items():
        if name in sequence.cameras:
            compare_camera(report, sequence, name, told["channels"][channel], arrays, root)
    for sample, t in zip(told["samples"], keys, strict=True):
        compare_boxes(report, sequence, sample, t)
        path = next(
            r["file"] for r in told["channels"]["LIDAR_TOP"] if r["token"] == sample["lidar"]
        )
        scan = read_scan(root / path)
        report.add("scan", scan[:, :4], arrays[f"scan_{sample['token']}"])
        if f"panoptic_{sample['token']}" in arrays:
            (file,) = (root / "panoptic").glob(f"*/{sample['lidar']}_panoptic.npz")
            report.add(
                "panoptic labels", read_panoptic(file), arrays[f"panoptic_{sample['token']}"]
            )


def compare_camera(
    report: Report, sequence: Sequence, name: str, rows: list[dict], arrays: dict, root: Path
) -> None:
    camera = sequence.cameras[name]
    by_time = {row["timestamp"] * 1000: row for row in rows}
    for t in camera.rgb.frames.tolist():
        row = by_time[int(camera.timestamps[t])]
        T_world_ego, T_ego_cam = np.array(row["T_world_ego"]), np.array(row["T_ego_sensor"])
        report.add("picture bytes", camera.rgb.blob(t), (root / row["file"]).read_bytes())
        report.add("picture size", [camera.height, camera.width], row["size"])
        report.add("intrinsics", camera.intrinsics(t), np.array(row["K"]))
        report.add("extrinsics", camera.T_rig_cam, T_ego_cam, 1e-12)
        report.add("camera to world", camera.poses[t], T_world_ego @ T_ego_cam, 1e-9)
        if not row["key"] or f"points_{row['token']}" not in arrays:
            continue
        published = arrays[f"points_{row['token']}"]
        ours, _ = depth_rows(camera, t)
        same = ours.shape == published.shape
        report.add("points: number", len(ours), len(published))
        report.add("points: column, row (px)", ours[:, :2] if same else 0, published[:, :2], 0.05)
        report.add("points: depth (m)", ours[:, 2] if same else 0, published[:, 2], 1e-3)
        prefix = f"corners_{row['token']}_"
        tokens = sequence.cameras["front"].transform["object_rows"]["token"]
        objects = sequence.objects
        for key in (key for key in arrays if key.startswith(prefix)):
            k = tokens.index(key.removeprefix(prefix))
            length, width, height = objects.size[k] / 2
            corners = np.stack([length * _CORNERS[0], width * _CORNERS[1], height * _UP], axis=1)
            # the devkit orders corners by faces; sets of pixels are compared
            world = transform(objects.T_world_box[k], corners)
            uv, _ = project(camera.intrinsics(t), transform(se3_inverse(camera.poses[t]), world))
            distance = np.abs(uv[:, None] - arrays[key][None]).max(-1)
            off = distance.min(1) / np.maximum(1, np.abs(uv).max(1))
            report.add("box corners (relative)", off, np.zeros(8), 1e-9)


def compare_boxes(report: Report, sequence: Sequence, sample: dict, t: int) -> None:
    if sequence.objects is None or not len(sequence.objects):
        report.add("boxes: number", 0, len(sample["boxes"]))
        return
    facts = sequence.cameras["front"].transform
    details, ids = facts["object_rows"], facts["object_ids"]
    every = sequence.objects
    rows = np.flatnonzero(every.frame == t).tolist()
    report.add("boxes: number", len(rows), len(sample["boxes"]))
    for k, box in zip(rows, sample["boxes"], strict=True):
        report.add("boxes: token", details["token"][k], box["token"])
        report.add("boxes: instance", ids[every.id[k]], box["instance"])
        report.add("boxes: category", str(every.category[k]), box["category"])
        report.add("boxes: pose", every.T_world_box[k], np.array(box["T_world_box"]), 1e-9)
        report.add("boxes: size", every.size[k][[1, 0, 2]], np.array(box["wlh"]))
        # the devkit subtracts times in seconds since 1970: 2e-7 s are lost
        report.add("boxes: velocity", every.velocity[k], np.array(box["velocity"]), 1e-5)
        names = [facts["attribute_names"][a] for a in details["attributes"][k]]
        report.add("boxes: attributes", sorted(names), sorted(box["attributes"]))
        level = facts["visibility_levels"][details["visibility"][k]]
        report.add("boxes: visibility", level, box["visibility"])
        report.add("boxes: lidar points", details["lidar_points"][k], box["lidar_points"])


def main() -> None:
    files, dump, root = (Path(argument) for argument in sys.argv[1:4])
    told = json.loads((dump / "devkit.json").read_text())
    arrays = dict(np.load(dump / "devkit.npz", allow_pickle=False))
    specs = {spec.name: spec for spec in sequences(root / told["version"])}
    report = Report()
    for name, scene in told["scenes"].items():
        with open_sequence(files / f"{name}.h5") as sequence:
            lidar = specs[name].files["scene"].channels["LIDAR_TOP"].files
            compare_scene(report, sequence, scene, arrays, root, lidar)
    sys.exit(0 if report.print() else 1)


if __name__ == "__main__":
    main()
