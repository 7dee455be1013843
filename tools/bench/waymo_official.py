"""The official Waymo package at work, for tools/bench/waymo.py; runs in the oracle's venv.

usage: waymo_official.py RECORD_FILE    (then a line "points" or "images" on stdin for each pass)

Answers each line with the CPU seconds of the pass and what it counted.
"""

from __future__ import annotations

import resource
import sys

import tensorflow as tf
from waymo_open_dataset import dataset_pb2
from waymo_open_dataset.utils import frame_utils


def frames(path: str):
    for record in tf.data.TFRecordDataset(path, compression_type=""):
        frame = dataset_pb2.Frame()
        frame.ParseFromString(record.numpy())
        yield frame


def points(path: str) -> int:
    count = 0
    for frame in frames(path):
        images, projections, _, pose = frame_utils.parse_range_image_and_camera_projection(frame)
        for echo in (0, 1):
            clouds, _ = frame_utils.convert_range_image_to_point_cloud(
                frame, images, projections, pose, echo
            )
            count += sum(len(cloud) for cloud in clouds)
    return count


def images(path: str) -> int:
    return sum(len(image.image) for frame in frames(path) for image in frame.images)


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tasks = {"points": points, "images": images}
    for line in sys.stdin:
        start = cpu()
        count = tasks[line.strip()](sys.argv[1])
        print(cpu() - start, count, flush=True)


if __name__ == "__main__":
    main()
