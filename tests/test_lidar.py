"""Points of a scan in an image, and the published depth map made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import golden_cases

from depthdata.codecs.images import image_size
from depthdata.codecs.kitti import read_velodyne
from depthdata.errors import UsageError
from depthdata.lidar import eigen_depth_map, eigen_depth_rows, lidar_to_points, project_sensor
from depthdata.sequence.points import Points
from depthdata.sources import kitti_raw
from depthdata.sources.kitti_raw_geometry import DriveGeometry

# x forward, y left, z up to a camera that looks forward; exact in binary
LOOK = np.array([[6.0, -8, 0, 0.5], [4.0, 0, -8, 0.25], [1.0, 0, 0, 0.125]])
HW = (8, 12)


def _straightforward(scan, projection, hw, value):
    """The recipe word by word, one point after the other."""
    height, width = hw
    depth = np.zeros(hw)
    groups: dict[int, list[tuple[int, int, float]]] = {}
    for point in scan[scan[:, 0] >= 0].astype(np.float64):
        q = [((a * point[0] + b * point[1]) + c * point[2]) + d for a, b, c, d in projection]
        with np.errstate(all="ignore"):
            column, row = np.rint(q[0] / q[2]) - 1, np.rint(q[1] / q[2]) - 1
        if not (0 <= column < width and 0 <= row < height):
            continue
        r, c = int(row), int(column)
        number = point[0] if value == "sensor_x" else q[2]
        depth[r, c] = number
        groups.setdefault(r * (width - 1) + c - 1, []).append((r, c, number))
    for members in groups.values():
        if len(members) > 1:
            r, c, _ = members[0]
            depth[r, c] = min(number for *_, number in members)
    return np.where(depth < 0, 0, depth)


# Multiples of 1/16 in a small box: shared pixels, exact halves, border keys and mirrored points.
grid = st.integers(-40, 40).map(lambda n: n / 16)
scans = arrays(np.float32, st.tuples(st.integers(0, 60), st.just(4)), elements=grid)


@settings(max_examples=150, deadline=None)
@given(scan=scans, value=st.sampled_from(["sensor_x", "camera_z"]))
def test_eigen_depth_map_is_the_published_recipe(scan, value):
    expected = _straightforward(scan, LOOK, HW, value)
    np.testing.assert_array_equal(eigen_depth_map(scan, LOOK, HW, value), expected)
    stored = lidar_to_points(scan, LOOK, HW)
    np.testing.assert_array_equal(eigen_depth_map(stored, LOOK, HW, value), expected)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    far=st.sampled_from([0.1, 10.0, 1e4, 1e30]),
    odd=st.sampled_from([0.0, np.nan, np.inf, -np.inf]),
)
def test_prefilter_loses_no_point(seed, far, odd):
    rng = np.random.default_rng(seed)
    scan = (rng.normal(size=(300, 4)) * far).astype(np.float32)
    scan[::7, 1] = odd
    projection = rng.normal(size=(3, 4)) * [[700], [700], [1]]
    u, v, z = project_sensor(projection, scan)
    kept = (scan[:, 0] >= 0) & (u >= -0.5) & (u <= 400.5) & (v >= -0.5) & (v <= 200.5)
    points = lidar_to_points(scan, projection, (200, 400))
    np.testing.assert_array_equal(points.sensor, scan[kept, :3])
    np.testing.assert_array_equal(points.x, u[kept].astype(np.float32))
    np.testing.assert_array_equal(points.value, z[kept].astype(np.float32))


def test_rows_are_the_nonzero_pixels_in_order():
    rng = np.random.default_rng(1)
    scan = rng.uniform(-3, 3, (400, 4)).astype(np.float32)
    depth = eigen_depth_map(scan, LOOK, HW)
    rows = eigen_depth_rows(scan, LOOK, HW)
    assert len(rows) == np.count_nonzero(depth) > 10
    again = np.zeros(HW)
    again[rows[:, 0].astype(int), rows[:, 1].astype(int)] = rows[:, 2]
    np.testing.assert_array_equal(again, depth)
    assert (np.diff(rows[:, 0] * HW[1] + rows[:, 1]) > 0).all()


def test_dense_reading_drops_mirrored_and_outside_points():
    scan = np.array([[2, 0, 0, 0], [0.5, 1, 0.5, 0]], dtype=np.float32)
    behind = LOOK.copy()
    behind[2, 3] = -1  # the near point comes to lie behind the camera
    points = lidar_to_points(scan, behind, (20, 20))
    assert (points.value < 0).any()
    dense = points.to_dense(20, 20)
    assert np.nanmin(dense) > 0 and np.isfinite(dense).sum() == 1


@pytest.mark.parametrize(
    ("scan", "projection", "hw"),
    [
        (np.zeros((3, 4)), LOOK, HW),
        (np.zeros((3, 2), np.float32), LOOK, HW),
        (np.zeros((3, 4), np.float32), LOOK[:2], HW),
        (np.zeros((3, 4), np.float32), LOOK * np.nan, HW),
        (np.zeros((3, 4), np.float32), LOOK, (0, 4)),
    ],
)
def test_wrong_arguments(scan, projection, hw):
    with pytest.raises(UsageError, match="should be"):
        lidar_to_points(scan, projection, hw)


def test_points_without_sensor_are_refused():
    ones = np.ones(1, np.float32)
    points = Points(kind="subpixel", x=ones, y=ones, value=ones)
    with pytest.raises(UsageError, match="carry no `sensor`"):
        eigen_depth_map(points, LOOK, HW)
    with pytest.raises(UsageError, match="sensor_x"):
        eigen_depth_map(np.ones((1, 4), np.float32), LOOK, HW, "z")


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("eval", "insta_dm_eigen*"))
def test_ground_truth_of_insta_dm(case: Path):
    expected = np.load(case / "expected.npz")
    listed = [case / "raw" / line for line in (case / "test_files.txt").read_text().split()]
    images = [path for path in listed if path.is_file()]
    assert len(images) == sum(name.startswith("gt_velodepth_") for name in expected.files)
    for i, image in enumerate(images):
        geometry = DriveGeometry.read(image.parents[3], velodyne=True, oxts=False)
        scan = read_velodyne(image.parents[2] / "velodyne_points" / "data" / f"{image.stem}.bin")
        projection, hw = geometry.velo_projection(2), image_size(image.read_bytes())[:2]
        for points in (scan, lidar_to_points(scan, projection, hw)):
            for value, name in (("sensor_x", "gt_velodepth"), ("camera_z", "gt_camdepth")):
                found = eigen_depth_map(points, projection, hw, value).astype(np.float32)
                np.testing.assert_array_equal(found, expected[f"{name}_{i}"], err_msg=f"{name}_{i}")


@pytest.mark.realdata
def test_real_scans_have_the_published_counts(realdata):
    # points of the scan, in image_02 and in image_03, before duplicates are removed
    facts = {
        ("0002", 0): (121080, 19158, 19274),
        ("0002", 1): (120862, 19036, 19195),
        ("0002", 2): (120802, 19177, 19348),
        ("0002", 3): (120603, 19306, 19474),
        ("0002", 4): (120755, 19315, 19487),
        ("0005", 0): (123397, 20507, 20527),
    }
    ranges = {"0002": (5.224864, 79.452264, 17.108988), "0005": (4.928223, 68.261657, 16.565683)}
    seen = 0
    for spec in kitti_raw.sequences(realdata / "kitti_raw"):
        drive = spec.name.split("_")[4]
        geometry = DriveGeometry.read(Path(spec.root), velodyne=True, oxts=True)
        for number, name in spec.files["scans"].items():
            scan = read_velodyne(Path(spec.root) / name)
            counts = [len(scan)]
            for camera in (2, 3):
                hw = geometry.size(2)
                u, v, z = project_sensor(geometry.velo_projection(camera), scan)
                column, row = np.rint(u) - 1, np.rint(v) - 1
                inside = (scan[:, 0] >= 0) & (column >= 0) & (column < hw[1])
                inside &= (row >= 0) & (row < hw[0])
                counts.append(int(inside.sum()))
                if number == 0 and camera == 2:
                    found = z[inside].min(), z[inside].max(), z[inside].mean()
                    np.testing.assert_allclose(found, ranges[drive], rtol=0, atol=1e-6)
            assert tuple(counts) == facts[drive, number]
            seen += 1
    assert seen == len(facts)
