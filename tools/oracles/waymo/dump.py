"""What the official package reads from record files, as JSON and npz. Runs in the oracle's venv.

usage: dump.py OUT RECORD_FILE...
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from waymo_open_dataset import dataset_pb2
from waymo_open_dataset.utils import frame_utils

LASERS = (1, 2, 3, 4, 5)


def digest(data: bytes) -> str:
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()}" if data else ""


def box(b) -> list:
    return [b.center_x, b.center_y, b.center_z, b.length, b.width, b.height, b.heading]


def image(i) -> dict:
    v, label = i.velocity, i.camera_segmentation_label
    return {
        "jpeg": digest(i.image),
        "pose": list(i.pose.transform),
        "velocity": [v.v_x, v.v_y, v.v_z, v.w_x, v.w_y, v.w_z],
        "times": [i.pose_timestamp, i.shutter, i.camera_trigger_time, i.camera_readout_done_time],
        "panoptic": digest(label.panoptic_label),
        "divisor": label.panoptic_label_divisor if label.panoptic_label else 0,
        "ids": [
            [m.local_instance_id, m.global_instance_id, bool(m.is_tracked)]
            for m in label.instance_id_to_global_id_mapping
        ],
    }


def laser_label(label) -> dict:
    m = label.metadata
    return {
        "id": label.id,
        "type": label.type,
        "box": box(label.box),
        "speed": [m.speed_x, m.speed_y, m.speed_z],
        "acceleration": [m.accel_x, m.accel_y, m.accel_z],
        "synced": box(label.camera_synced_box) if label.HasField("camera_synced_box") else None,
        "camera": label.most_visible_camera_name,
        "points": [label.num_lidar_points_in_box, label.num_top_lidar_points_in_box],
        "difficulty": [label.detection_difficulty_level, label.tracking_difficulty_level],
    }


def labels(entries) -> dict:
    return {
        str(entry.name): [
            [b.id, b.type, b.box.center_x, b.box.center_y, b.box.length, b.box.width]
            for b in entry.labels
        ]
        for entry in entries
    }


def fields(frame) -> dict:
    context = frame.context
    return {
        "segment": context.name,
        "stats": [context.stats.time_of_day, context.stats.location, context.stats.weather],
        "timestamp_micros": frame.timestamp_micros,
        "pose": list(frame.pose.transform),
        "cameras": {
            str(c.name): [
                *(list(c.intrinsic) + list(c.extrinsic.transform)),
                *(c.width, c.height, c.rolling_shutter_direction),
            ]
            for c in context.camera_calibrations
        },
        "lasers": {
            str(c.name): [
                *(list(c.beam_inclinations) + list(c.extrinsic.transform)),
                *(c.beam_inclination_min, c.beam_inclination_max),
            ]
            for c in context.laser_calibrations
        },
        "images": {str(i.name): image(i) for i in frame.images},
        "laser_labels": [laser_label(label) for label in frame.laser_labels],
        "camera_labels": labels(frame.camera_labels),
        "projected_labels": labels(frame.projected_lidar_labels),
        "zones": [[list(z.x), list(z.y)] for z in frame.no_label_zones],
    }


def clouds(frame) -> dict:
    """Points, projections and polar values by laser and echo; empty without range images."""
    if not any(laser.ri_return1.range_image_compressed for laser in frame.lasers):
        return {}
    images, projections, _, pose = frame_utils.parse_range_image_and_camera_projection(frame)
    order = sorted(c.name for c in frame.context.laser_calibrations)
    out = {}
    for echo in (1, 2):
        arguments = (frame, images, projections, pose, echo - 1)
        points, seen = frame_utils.convert_range_image_to_point_cloud(*arguments)
        polar, _ = frame_utils.convert_range_image_to_point_cloud(
            *arguments, keep_polar_features=True
        )
        for k, laser in enumerate(order):
            out[f"{laser}_{echo}_points"] = points[k]
            out[f"{laser}_{echo}_projection"] = seen[k]
            out[f"{laser}_{echo}_polar"] = polar[k][:, :3]
    return out


def main() -> None:
    out = Path(sys.argv[1])
    for k, path in enumerate(sys.argv[2:]):
        folder = out / str(k)
        folder.mkdir(parents=True)
        told = []
        for t, record in enumerate(tf.data.TFRecordDataset(path, compression_type="")):
            frame = dataset_pb2.Frame()
            frame.ParseFromString(bytes(record.numpy()))
            told.append(fields(frame))
            np.savez(folder / f"{t}.npz", **clouds(frame))
        (folder / "fields.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
