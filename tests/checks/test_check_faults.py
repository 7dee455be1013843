"""A good drive passes; each broken copy is caught by a message that names what was broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from depthdata.checks import CheckReport, check
from depthdata.geometry import se3_inverse


def replace(drive: Path, folder: str, frame: int, other: int) -> None:
    """Put the file of another frame in the place of a frame's."""
    files = sorted((drive / folder / "data").iterdir())
    shutil.copy(files[other], files[frame])


def exchange(drive: Path, folder: str, frame: int, other: int) -> None:
    files = sorted((drive / folder / "data").iterdir())
    first, second = files[frame].read_bytes(), files[other].read_bytes()
    files[frame].write_bytes(second)
    files[other].write_bytes(first)


def shift(drive: Path, folder: str, by: int) -> None:
    """Move a whole stream in time; the end repeats."""
    files = sorted((drive / folder / "data").iterdir())
    contents = [file.read_bytes() for file in files]
    for t, file in enumerate(files):
        file.write_bytes(contents[int(np.clip(t + by, 0, len(files) - 1))])


def failure(report: CheckReport, name: str) -> str:
    assert not report.ok
    finding = next(f for f in report.failed if f.name == name)
    return finding.message


def test_a_good_drive_passes(good):
    report = check(good)
    assert report.ok, report.table()
    assert not report.skipped, report.table()
    lidar = report.find("lidar vs stereo")
    assert lidar.value < 0.3 and lidar.numbers["share_below_3px"] > 0.95
    for camera in ("left", "right"):
        motion = report.find("reprojection", camera)
        assert motion.numbers["median_px"] < 0.5 < 3 < motion.numbers["motion_px"]


def test_swapped_cameras(broken):
    def swap(drive: Path) -> None:
        (drive / "image_02").rename(drive / "x")
        (drive / "image_03").rename(drive / "image_02")
        (drive / "x").rename(drive / "image_03")

    report = check(broken(swap))
    assert "left and right look swapped" in failure(report, "stereo match")
    assert "swapped" in failure(report, "lidar vs stereo")


@pytest.mark.parametrize("frame, other", [(3, 4), (3, 2), (0, 1), (5, 4)])
def test_one_image_of_another_time(broken, frame, other):
    report = check(broken(lambda drive: replace(drive, "image_02", frame, other)))
    message = failure(report, "lidar vs stereo")
    assert f"left image of frame {frame} is of the time of frame {other}" in message
    assert f"image of frame {frame} repeats the image of frame {other}" in failure(
        report, "reprojection"
    )
    assert all(f.camera != "right" for f in report.failed)


def test_one_frame_of_both_cameras_shifted(broken):
    def change(drive: Path) -> None:
        for folder in ("image_02", "image_03"):
            replace(drive, folder, 3, 4)

    report = check(broken(change))
    assert "image of frame 3 repeats the image of frame 4" in failure(report, "reprojection")
    assert "images of frames 3 and 4 are the same" in failure(report, "images differ")


def test_two_frames_exchanged(broken):
    def change(drive: Path) -> None:
        for folder in ("image_02", "image_03"):
            exchange(drive, folder, 2, 3)

    report = check(broken(change))
    assert "images of frames 2 and 3 are exchanged" in failure(report, "reprojection")


def test_one_camera_shifted_as_a_whole(broken):
    report = check(broken(lambda drive: shift(drive, "image_03", 1)))
    message = failure(report, "lidar vs stereo")
    assert "right image of frame" in message and "the same in 5 of 6 frames" in message


@pytest.mark.parametrize("by", [1, -1])
def test_lidar_shifted_as_a_whole(broken, by):
    report = check(broken(lambda drive: shift(drive, "velodyne_points", by)))
    message = failure(report, "lidar vs stereo")
    assert "depth and images of frame" in message and "the same in" in message


def test_one_scan_of_another_time(broken):
    report = check(broken(lambda drive: replace(drive, "velodyne_points", 3, 4)))
    message = failure(report, "lidar vs stereo")
    assert "depth and images of frame 3 are not of one time" in message
    assert "depth fits images of frame 4" in message


def test_one_pose_of_another_time(broken):
    report = check(broken(lambda drive: replace(drive, "oxts", 3, 4)))
    assert "pose of frame 3 repeats the pose of frame 4" in failure(report, "reprojection")
    assert "pose of frame 3 jumps" in failure(report, "pose steps")


def test_images_in_reverse_order(broken):
    def change(drive: Path) -> None:
        for folder in ("image_02", "image_03"):
            for t in range(3):
                exchange(drive, folder, t, 5 - t)

    message = failure(check(broken(change)), "reprojection")
    assert "the order of the images or of the poses is reversed" in message


OPENGL = np.diag([1.0, -1, -1, 1])
BODY = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "change, words",
    [
        (se3_inverse, "poses look inverted (T_cam_world stored as T_world_cam)"),
        (lambda W: W @ OPENGL, "OpenGL axes"),
        (lambda W: W @ BODY, "a body with x forward and z up"),
        (lambda W: W * np.where(np.eye(4)[3], 100, 1)[None, None], "100 times too large"),
        (lambda W: np.concatenate([W[1:], W[-1:]]), "repeats the pose of frame 4"),
    ],
    ids=["inverted", "opengl", "body", "centimetres", "displaced"],
)
def test_wrong_poses(rewritten, change, words):
    def poses(W):
        out = np.array(change(W))
        out[:, 3] = [0, 0, 0, 1]
        return out

    report = check(rewritten(poses=poses))
    for camera in ("left", "right"):
        finding = report.find("reprojection", camera)
        assert finding.ok is False and words in finding.message, finding.message


def test_wrong_unit_of_depth(rewritten):
    report = check(rewritten(depth=lambda z: z * 2))
    assert "times the expected ones: baseline, focal length" in failure(report, "stereo scale")
    assert "worst frame" in failure(report, "depth vs stereo")


def test_swapped_rig(rewritten):
    def rig(name):
        T = np.eye(4)
        T[0, 3] = 0.54 if name == "left" else 0.0
        return T

    report = check(rewritten(rig=rig))
    assert "left and right look swapped" in failure(report, "baseline")


def test_intrinsics_of_another_resolution(rewritten):
    report = check(rewritten(intrinsics=lambda K: np.diag([3.0, 3, 1]) @ K))
    assert "outside the image" in failure(report, "intrinsics")


def test_times_that_go_back(rewritten):
    def times(stamps):
        stamps[[2, 3]] = stamps[[3, 2]]
        return stamps

    report = check(rewritten(times=times))
    assert "time does not increase from frame 2 to frame 3" in failure(report, "time")


def test_without_depth_semi_global_matching_stands_in(rewritten):
    report = check(rewritten(lidar=False))
    assert report.ok, report.table()
    assert "SGBM depth" in report.find("reprojection", "left").message
    skipped = {(f.name, f.camera) for f in report.skipped}
    assert ("reprojection", "right") in skipped and ("photometric", "left/right") in skipped


def flip_a_bit(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_one_bit_flipped(good, tmp_path, at):
    copy = tmp_path / "flipped.h5"
    shutil.copy(good, copy)
    flip_a_bit(copy, at)
    message = failure(check(copy), "file")
    assert "checksum" in message or "digest" in message or "xxh3" in message, message


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(good, tmp_path, share):
    copy = tmp_path / "cut.h5"
    data = good.read_bytes()
    copy.write_bytes(data[: int(len(data) * share)])
    report = check(copy)
    message = failure(report, "file")
    assert str(copy) in message and ("truncated" in message or "bytes" in message), message
    assert report.skipped and "damaged" in report.skipped[0].message
