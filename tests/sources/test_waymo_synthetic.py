"""A synthetic Waymo segment, converted, against the scene's own truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import depthdata as dd
from depthdata.checks import check
from depthdata.cli import main
from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_camera import image_to_world, world_to_image
from depthdata.codecs.waymo_frame import CAMERAS, T_CAMERA_OPTICAL, CameraCalibration, Frame
from depthdata.geometry import pixel_grid, se3_inverse, transform
from depthdata.sequence import verify
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.layouts.waymo import write_segment
from depthdata.synthetic.layouts.waymo_content import Moment
from depthdata.synthetic.layouts.waymo_pictures import take
from depthdata.synthetic.layouts.waymo_rig import GLOBAL, VehicleRig
from depthdata.synthetic.layouts.waymo_scene import WaymoDrive
from depthdata.synthetic.probe import Probe

SIZES = {"top": (32, 900), "near": (50, 150)}
LABELLED = (0, 2)
FRAMES = 3


@pytest.fixture(scope="module")
def drive() -> WaymoDrive:
    scene = SyntheticScene(seed=5, frames=FRAMES, width=240, objects=7)
    return WaymoDrive(scene, panoptic=LABELLED, **SIZES)


@pytest.fixture(scope="module")
def moments(drive: WaymoDrive) -> list[Moment]:
    return list(drive)


@pytest.fixture(scope="module")
def record(
    drive: WaymoDrive, moments: list[Moment], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("raw") / "training"
    root.mkdir()
    return write_segment(drive.context, moments, root)


@pytest.fixture(scope="module")
def sequence(record: Path, tmp_path_factory: pytest.TempPathFactory) -> dd.Sequence:
    out = tmp_path_factory.mktemp("out")
    report = dd.convert("waymo", record.parents[1], out, preset="dynamo_depth", jobs=1)
    assert report.ok, report
    path = report.results[0].path
    assert verify(path).ok
    assert check(path).ok
    return dd.open_sequence(path)


def to_scene(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Global coordinates to the scene's world."""
    return transform(se3_inverse(GLOBAL), points)


def near_by(image: npt.NDArray[np.float64], row: npt.ArrayLike, col: npt.ArrayLike) -> tuple:
    """Least and greatest value of the 3 x 3 pixels around each place; the sky is far."""
    padded = np.pad(np.where(np.isnan(image), 1e9, image), 1, mode="edge")
    around = np.stack([padded[np.add(row, i), np.add(col, j)] for i in range(3) for j in range(3)])
    return around.min(0), around.max(0)


def test_facts(sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive) -> None:
    scene = drive.rig.scene
    assert (len(sequence), sequence.split) == (FRAMES, "train")
    assert list(sequence.cameras) == [CAMERAS[k] for k in range(1, 6)]
    rig_poses = np.array(sequence.cameras["front"].transform["T_world_rig"])
    for t, moment in enumerate(moments):
        np.testing.assert_array_equal(rig_poses[t], moment.T_global_vehicle)
        np.testing.assert_allclose(
            to_scene(rig_poses[t][:3, 3]) - scene.T_world_imu[t][:3, 3], [0, 0, -0.93], atol=0.02
        )
        for calibration in drive.context.cameras:
            camera = sequence.cameras[CAMERAS[calibration.name]]
            seconds = drive.rig.camera_seconds(t, calibration)
            pose = Probe(scene, seconds).T_world_imu @ np.linalg.inv(scene.T_world_imu[0])
            T = GLOBAL @ pose @ drive.rig.T_world_vehicle(0.0)
            expected = T @ calibration.T_vehicle_camera @ T_CAMERA_OPTICAL
            np.testing.assert_allclose(camera.pose(t), expected, atol=1e-9)
            assert abs(camera.timestamps[t] - scene.timestamps[0] - seconds * 1e9) < 1500
            assert camera.rgb.blob(t) == moment.pictures[calibration.name].jpeg


@pytest.mark.parametrize("stream", ["depth", "depth_return2"])
def test_points_lie_where_the_cameras_see_them(
    sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive, stream: str
) -> None:
    """The stored point goes through lens and rolling shutter to its pixel."""
    count = 0
    for calibration in drive.context.cameras:
        camera = sequence.cameras[CAMERAS[calibration.name]]
        for t, moment in enumerate(moments):
            points = camera[stream].points(t)
            world = transform(moment.T_global_vehicle, points.sensor.astype(np.float64))
            shutter = moment.pictures[calibration.name].shutter
            uv, valid = world_to_image(calibration, shutter, world)
            assert valid.all()
            count += len(points)
            off = uv - np.stack([points.col, points.row], 1)
            assert (off > -0.02).all() and (off < 1.02).all()
            ahead = transform(se3_inverse(camera.pose(t)), world)[:, 2]
            np.testing.assert_allclose(points.value, ahead, atol=1e-4)
    assert count > (5000 if stream == "depth" else 50)


def test_depth_is_the_scenes(
    sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive
) -> None:
    heights = []
    for calibration in drive.context.cameras:
        camera = sequence.cameras[CAMERAS[calibration.name]]
        for t, moment in enumerate(moments):
            picture, points = moment.pictures[calibration.name], camera.depth.points(t)
            least, most = near_by(picture.depth, points.row, points.col)
            # the truth is of the moment of the line, up to 22 ms from the pose
            agrees = (points.value > 0.98 * least - 0.2) & (points.value < 1.02 * most + 0.2)
            assert agrees.mean() > 0.97
            world = to_scene(transform(moment.T_global_vehicle, points.sensor.astype(float)))
            ground = -drive.rig.scene.rig.imu_height
            assert world[:, 2].min() > ground - 1e-3
            on_road = (np.abs(world[:, 1] - 1.75) < 5.5) & (world[:, 2] < ground + 0.02)
            heights.append(world[on_road, 2] - ground)
    assert len(np.concatenate(heights)) > 500
    assert np.quantile(np.abs(np.concatenate(heights)), 0.99) < 1e-5  # the rest are wheels


def test_the_prepared_depth_is_the_scenes(
    sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive
) -> None:
    (calibration,) = (c for c in drive.context.cameras if c.name == 1)
    camera = sequence.cameras["front"]
    assert camera[f"rgb_{calibration.height // 4}x{calibration.width // 4}"][0].ndim == 3
    for t, moment in enumerate(moments):
        points = camera.depth_undistorted.points(t)
        T = to_scene_pose(moment.T_global_vehicle @ calibration.T_vehicle_camera)
        shot = Probe(drive.rig.scene, drive.rig.scene.times[t]).shoot(
            T @ T_CAMERA_OPTICAL, camera.intrinsics(t), (calibration.height, calibration.width)
        )
        row, col = np.rint(points.y).astype(int), np.rint(points.x).astype(int)
        row, col = (
            np.clip(row, 0, shot.depth.shape[0] - 1),
            np.clip(col, 0, shot.depth.shape[1] - 1),
        )
        least, most = near_by(shot.depth, row, col)
        moved = near_by(shot.instances.astype(float), row, col)[1] > 0
        agrees = (points.value > 0.98 * least) & (points.value < 1.02 * most)
        assert agrees[~moved].mean() > 0.97


def to_scene_pose(T: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.linalg.inv(GLOBAL) @ T


def test_objects(sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive) -> None:
    scene = drive.rig.scene
    truth = scene.objects()
    ids = sequence.cameras["front"].transform["object_ids"]
    numbers = {label.id: i for i, label in enumerate(moments[0].laser_labels, start=1)}
    assert len(ids) == len(set(ids)) == len(scene.bodies) - 1
    for t in range(FRAMES):
        boxes = sequence.objects.at(t)
        rows = [
            int(np.flatnonzero((truth.frame == t) & (truth.id == numbers[ids[i]]))[0])
            for i in boxes.id
        ]
        centres = to_scene(np.array(boxes.T_world_box)[:, :3, 3])
        np.testing.assert_allclose(centres, truth.T_world_box[rows][:, :3, 3], atol=1e-6)
        np.testing.assert_array_equal(boxes.size, truth.size[rows])
        velocity = np.array(boxes.velocity) @ GLOBAL[:3, :3]
        np.testing.assert_allclose(velocity, truth.velocity[rows], atol=1e-9)
        np.testing.assert_array_equal(boxes.moving, truth.moving[rows])
        fronts = np.array(boxes.T_world_box)[:, :3, 0] @ GLOBAL[:3, :3]
        assert (np.sum(fronts * truth.T_world_box[rows][:, :3, 0], 1) > 0.995).all()


def test_panoptic_and_motion(
    sequence: dd.Sequence, moments: list[Moment], drive: WaymoDrive
) -> None:
    moving = np.array([body.path.moving for body in drive.rig.scene.bodies])
    known = right = 0
    for name, camera in sequence.cameras.items():
        number = next(k for k, text in CAMERAS.items() if text == name)
        for t, moment in enumerate(moments):
            assert camera.semantics.present[t] == (t in LABELLED)
            if t not in LABELLED:
                continue
            picture = moment.pictures[number]
            np.testing.assert_array_equal(camera.semantics[t], picture.classes)
            np.testing.assert_array_equal(camera.instances[t], picture.instances)
            mask = camera["masks/moving"][t]
            told = (mask != 255) & (picture.instances > 0)
            known += told.sum()
            right += (mask[told] == moving[picture.instances[told]]).sum()
            assert not mask[(picture.instances == 0)].any()
    assert known > 2000
    assert right > 0.995 * known


def test_boxes_in_images(record: Path, sequence: dd.Sequence, moments: list[Moment]) -> None:
    """2-D boxes are drawn around what is seen; projected boxes hold it."""
    compared = 0
    with RecordFile(record) as records:
        frames = [Frame(payload) for payload in records]
    numbers = {label.id: i for i, label in enumerate(moments[0].laser_labels, start=1)}
    for t, frame in enumerate(frames):
        for number, labels in frame.projected_lidar_labels.items():
            instances = moments[t].pictures[number].instances
            drawn = sequence.boxes.get(CAMERAS[number])
            assert frame.camera_labels[number] == moments[t].camera_labels[number]
            assert len(frame.camera_labels[number]) == (0 if drawn is None else len(drawn.at(t)))
            for label in labels:
                body = numbers[label.id[:22]]
                rows, columns = np.nonzero(instances == body)
                if len(rows) < 20:
                    continue
                middle, half = np.array(label.centre), np.array(label.size) / 2
                low, high = middle - half, middle + half
                seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                slack = 2.0 + 0.15 * max(label.size)  # it moves, and sways, while it is seen
                assert (seen[:2] > low - slack).all() and (seen[2:] < high + slack).all()
                compared += 1
        for label in frame.laser_labels:
            assert (label.synced_box is None) == (label.most_visible_camera == "")
    assert compared > 5


@pytest.mark.parametrize("direction", [1, 2, 3, 4])
def test_rolling_shutter_is_what_the_lines_saw(direction: int) -> None:
    """Points of the rendered surface, line by line, go through the camera model to their pixel."""
    scene = SyntheticScene(seed=3, frames=1, width=192, speed=14.0)
    rig = VehicleRig(scene, "x", direction=direction)
    camera = next(c for c in rig.context().cameras if c.name == 4)
    picture = take(rig, 0, camera, labelled=False)
    grid = pixel_grid(camera.height, camera.width)
    seen = np.isfinite(picture.depth)
    world = image_to_world(camera, picture.shutter, grid[seen] + 0.5, picture.depth[seen])
    lines = grid[seen][:, 0 if direction in (2, 4) else 1] + 0.5
    count = camera.width if direction in (2, 4) else camera.height
    strips = np.array_split(np.arange(count), max(8, count // 25))
    middle = np.concatenate([np.full(len(s), (s[0] + s[-1] + 1) / 2 / count) for s in strips])
    origins = np.array([line_pose(rig, camera, share) for share in middle])[lines.astype(int)]
    local = np.einsum("nji,nj->ni", origins[:, :3, :3], to_scene(world) - origins[:, :3, 3])
    # strips stand for lines: half a strip of motion is what they may differ by
    step = 14.0 * 0.044 / len(strips) / 2 + 0.01
    assert np.abs(local[:, 2] - picture.depth[seen]).max() < step
    f, c = camera.intrinsic[0], camera.intrinsic[2]
    rays = (grid[seen][:, 0] + 0.5 - c) / f
    assert np.median(np.abs(local[:, 0] / local[:, 2] - rays)) < 0.02


def line_pose(rig: VehicleRig, camera: CameraCalibration, share: float) -> npt.NDArray[np.float64]:
    seconds = rig.line_seconds(0, camera, share)
    return rig.T_world_vehicle(seconds) @ camera.T_vehicle_camera @ T_CAMERA_OPTICAL


def test_from_the_shell(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    chain: list[list[object]] = [
        ["synth", raw, "--layout", "waymo", "--frames", 1, "--size", 40, 96, "--objects", 2],
        ["convert", "waymo", raw, out, "--preset", "dynamo_depth", "-j", 1],
        ["verify", out],
        ["check", out],
    ]
    for arguments in chain:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
    (path,) = out.glob("*.h5")
    facts = CliRunner().invoke(main, ["info", str(path)]).stdout
    assert "camera side_right: 44x96" in facts
    assert "depth_undistorted  points   1 frames" in facts
