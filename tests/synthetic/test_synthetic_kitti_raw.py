"""The KITTI raw tree of a scene, read with nothing but the format's description."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse
from depthdata.synthetic import LAYOUTS, SyntheticScene, write_raw

DRIVE = "2011_09_26_drive_0001_sync"
RADIUS = 6378137.0


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(
        seed=6, frames=4, height=47, width=155, objects=4, lidar_rows=16, lidar_steps=400
    )


@pytest.fixture(scope="module")
def root(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("kitti")
    path = write_raw(
        "kitti_raw", scene, root, missing_scans=(2,), missing_images={"gray_right": (0, 3)},
        trimmed=True,
    )  # fmt: skip
    assert path == root / "2011_09_26" / DRIVE
    return root


def calibration(path):
    out = {}
    for line in path.read_text().splitlines():
        key, value = line.split(":", 1)
        if re.fullmatch(r"[-+.0-9e ]+", value):
            out[key] = np.array([float(word) for word in value.split()])
    return out


def rt(values):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = values["R"].reshape(3, 3), values["T"]
    return T


def test_every_file_is_there(root):
    drive = root / "2011_09_26" / DRIVE
    names = {str(p.relative_to(drive)) for p in drive.rglob("*") if p.is_file()}
    expected = {f"oxts/data/{t:010d}.txt" for t in range(4)} | {"oxts/dataformat.txt"}
    expected |= {f"velodyne_points/data/{t:010d}.bin" for t in (0, 1, 3)}
    for camera in range(4):
        frames = (1, 2) if camera == 1 else range(4)
        expected |= {f"image_{camera:02d}/data/{t:010d}.png" for t in frames}
        expected.add(f"image_{camera:02d}/timestamps.txt")
    expected |= {"oxts/timestamps.txt"}
    expected |= {f"velodyne_points/timestamps{s}.txt" for s in ("", "_start", "_end")}
    assert names == expected
    assert {p.name for p in (root / "2011_09_26").iterdir() if p.is_file()} == {
        "calib_cam_to_cam.txt",
        "calib_velo_to_cam.txt",
        "calib_imu_to_velo.txt",
    }


def test_projection_matrices_carry_the_offsets(scene, root):
    values = calibration(root / "2011_09_26" / "calib_cam_to_cam.txt")
    fx = scene.intrinsics[0, 0]
    for number, x in enumerate((0.0, -0.54, 0.06, -0.48)):
        P = values[f"P_rect_{number:02d}"].reshape(3, 4)
        assert np.allclose(P[:, :3], scene.intrinsics)
        offset = np.linalg.solve(P[:, :3], P[:, 3])
        assert np.isclose(offset[0], x, atol=1e-9)
        assert np.allclose(values[f"S_rect_{number:02d}"], [155, 47])
        R_rect = values[f"R_rect_{number:02d}"].reshape(3, 3)
        assert np.allclose(R_rect @ R_rect.T, np.eye(3))
        assert not np.allclose(R_rect, np.eye(3), atol=1e-3)
    # left and right differ by the baseline alone
    assert np.isclose(values["P_rect_02"][3] - values["P_rect_03"][3], fx * scene.baseline)
    assert values["P_rect_02"][11] == values["P_rect_03"][11] != 0


def test_unrectified_calibration_agrees_with_the_rectified(root):
    values = calibration(root / "2011_09_26" / "calib_cam_to_cam.txt")
    R0 = values["R_rect_00"].reshape(3, 3)
    X0 = np.array([1.0, 2.0, 15.0])
    for number in range(4):
        P = values[f"P_rect_{number:02d}"].reshape(3, 4)
        R, T = values[f"R_{number:02d}"].reshape(3, 3), values[f"T_{number:02d}"]
        through_camera = values[f"R_rect_{number:02d}"].reshape(3, 3) @ (R @ X0 + T)
        through_rect0 = R0 @ X0 + np.linalg.solve(P[:, :3], P[:, 3])
        assert np.allclose(through_camera, through_rect0, atol=1e-9)


def test_scan_projected_through_the_files_meets_the_depth(scene, root):
    folder = root / "2011_09_26"
    cam, velo = (calibration(folder / f"calib_{n}.txt") for n in ("cam_to_cam", "velo_to_cam"))
    R_rect = np.eye(4)
    R_rect[:3, :3] = cam["R_rect_00"].reshape(3, 3)
    scan = np.fromfile(folder / DRIVE / "velodyne_points/data/0000000001.bin", "<f4").reshape(-1, 4)
    assert np.array_equal(scan, scene.lidar(1))
    q = (
        cam["P_rect_02"].reshape(3, 4)
        @ R_rect
        @ rt(velo)
        @ np.c_[scan[:, :3], np.ones(len(scan))].T
    )
    ahead = q[2] > 1
    u, v = np.rint(q[:2, ahead] / q[2, ahead]).astype(int)
    z = q[2, ahead]
    inside = (u >= 0) & (u < 155) & (v >= 0) & (v < 47)
    depth = scene.render(1, colour=False).depth[v[inside], u[inside]]
    assert np.median(np.abs(depth - z[inside]) / z[inside]) < 0.02


def test_images_are_the_cameras_pictures(scene, root):
    drive = root / "2011_09_26" / DRIVE
    for number, camera in ((2, "left"), (3, "right")):
        image = cv2.imread(str(drive / f"image_{number:02d}/data/0000000001.png"), -1)
        assert np.array_equal(image[..., ::-1], scene.photograph(1, camera))
    gray = cv2.imread(str(drive / "image_00/data/0000000001.png"), -1)
    assert gray.shape == (47, 155)
    expected = cv2.cvtColor(scene.photograph(1, "gray_left"), cv2.COLOR_RGB2GRAY)
    assert np.abs(gray.astype(int) - expected).max() <= 1


def test_oxts_gives_back_the_poses(scene, root):
    drive = root / "2011_09_26" / DRIVE
    packets = [
        [float(w) for w in (drive / f"oxts/data/{t:010d}.txt").read_text().split()]
        for t in range(4)
    ]
    assert {len(p) for p in packets} == {30}
    scale = np.cos(np.radians(packets[0][0]))
    poses = []
    for lat, lon, alt, roll, pitch, yaw, *_ in packets:
        c, s = np.cos, np.sin
        Rz = np.array([[c(yaw), -s(yaw), 0], [s(yaw), c(yaw), 0], [0, 0, 1]])
        Ry = np.array([[c(pitch), 0, s(pitch)], [0, 1, 0], [-s(pitch), 0, c(pitch)]])
        Rx = np.array([[1, 0, 0], [0, c(roll), -s(roll)], [0, s(roll), c(roll)]])
        T = np.eye(4)
        T[:3, :3] = Rz @ Ry @ Rx
        x = scale * RADIUS * np.pi * lon / 180
        y = scale * RADIUS * np.log(np.tan(np.pi * (90 + lat) / 360))
        T[:3, 3] = x, y, alt
        poses.append(T)
    found = np.linalg.inv(poses[0]) @ np.array(poses)
    assert np.abs(found - scene.T_world_imu).max() < 1e-6
    # the chain to the camera, from the files alone
    folder = root / "2011_09_26"
    cam, velo, imu = (
        calibration(folder / f"calib_{n}.txt") for n in ("cam_to_cam", "velo_to_cam", "imu_to_velo")
    )
    R_rect, shift = np.eye(4), np.eye(4)
    R_rect[:3, :3] = cam["R_rect_00"].reshape(3, 3)
    P = cam["P_rect_03"].reshape(3, 4)
    shift[:3, 3] = np.linalg.solve(P[:, :3], P[:, 3])
    T_imu_cam = se3_inverse(shift @ R_rect @ rt(velo) @ rt(imu))
    assert np.abs(found @ T_imu_cam - scene.T_world_cam("right")).max() < 1e-6
    # velocities: north, east, and forward along the heading
    vn, ve, vf, vl = packets[1][6:10]
    assert np.isclose(np.hypot(vn, ve), np.hypot(vf, vl))
    assert np.isclose(vf, scene.speed, rtol=0.01)
    assert np.isclose(packets[0][13], 9.81, atol=0.3)
    step = np.array(poses[2])[:3, 3] - np.array(poses[0])[:3, 3]
    assert np.allclose(step[:2] / 0.2, [ve, vn], atol=0.02)


def test_times_are_listed_beyond_the_data_when_trimmed(scene, root):
    drive = root / "2011_09_26" / DRIVE
    lines = (drive / "image_02/timestamps.txt").read_text().splitlines()
    assert len(lines) == 4 + 5
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}", line) for line in lines)
    times = np.array([np.datetime64(line.replace(" ", "T"), "ns") for line in lines]).astype("i8")
    assert times[:4].tolist() == scene.timestamps.tolist()
    assert (np.diff(times) == 100_000_000).all()
    starts, ends = (
        (drive / f"velodyne_points/timestamps_{e}.txt").read_text().splitlines()
        for e in ("start", "end")
    )
    assert starts[1] < lines[1] < ends[1]


def test_the_same_scene_gives_the_same_bytes(scene, tmp_path):
    small = SyntheticScene(seed=6, frames=1, height=20, width=60, lidar_rows=4, lidar_steps=60)
    trees = []
    for name in "ab":
        write_raw("kitti_raw", small, tmp_path / name)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        trees.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in files])
    assert trees[0] == trees[1]


def test_number_of_digits_and_names(scene, tmp_path):
    small = SyntheticScene(frames=1, height=8, width=24, lidar_rows=2, lidar_steps=30)
    path = write_raw(
        "kitti_raw", small, tmp_path, drive="2011_10_03_drive_0042_sync", date="other", digits=6
    )
    assert path == tmp_path / "other" / "2011_10_03_drive_0042_sync"
    text = (tmp_path / "other" / "calib_cam_to_cam.txt").read_text()
    assert "corner_dist: 9.950000e-02\n" in text
    assert "S_rect_02: 2.400000e+01 8.000000e+00\n" in text


def test_unknown_names_are_refused(scene, tmp_path):
    with pytest.raises(UsageError, match="layout 'kity' is not known; there are"):
        write_raw("kity", scene, tmp_path)
    with pytest.raises(UsageError, match="no camera 'middle'"):
        write_raw("kitti_raw", scene, tmp_path, missing_images={"middle": (1,)})
    with pytest.raises(UsageError, match="missing frame 9 is outside"):
        write_raw("kitti_raw", scene, tmp_path, missing_scans=(9,))
    assert list(tmp_path.iterdir()) == []
    assert "kitti_raw" in LAYOUTS
