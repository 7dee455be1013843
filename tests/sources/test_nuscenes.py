"""nuScenes scenes as sequences: golden vectors, the real piece."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.checks import check
from depthdata.codecs.images import decode_image
from depthdata.codecs.nuscenes_lidar import DIVISOR, read_panoptic, read_scan
from depthdata.codecs.nuscenes_tables import read_tables
from depthdata.conversion import convert
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import nuscenes
from depthdata.sources.nuscenes_data import matrices
from depthdata.sources.nuscenes_dynamo import (
    camera_facts,
    depth_rows,
    milliseconds,
    odometry_lines,
)
from depthdata.sources.nuscenes_motion import match_labels
from depthdata.splits import load_split


def converted(root: Path, out: Path, **options: object) -> Sequence:
    (result,) = convert("nuscenes", root, out, jobs=1, **options).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def cases() -> list[object]:
    return golden_cases("converters", "nuscenes*")


@pytest.mark.golden
@pytest.mark.parametrize("case", cases())
def test_preparation_of_dynamo_depth(case: Path, tmp_path: Path) -> None:
    expected, info = case / "expected", json.loads((case / "expected/info.json").read_text())
    arrays = np.load(expected / "arrays.npz", allow_pickle=False)
    with converted(case / "raw", tmp_path, preset="dynamo_depth") as sequence:
        front = sequence.cameras["front"]
        size = (front.height, front.width)
        assert len(sequence) == len(info["camera_timestamps"])
        assert front.transform["key_frames"] == info["key_camera_frames"]
        assert (sequence.timestamps // 1000).tolist() == info["camera_timestamps"]
        scans = front.depth.attrs["scan_times"]
        key_scans = [scans[t] // 1000 for t in info["key_camera_frames"]]
        assert key_scans == [info["lidar_timestamps"][k] for k in info["key_lidar_frames"]]
        # cam.json, ts.json, odometry.txt
        cam = json.loads((expected / "cam.json").read_text())
        ours = camera_facts(front.intrinsics(0), front.transform["sensor_pose"], size)
        assert cam.keys() == ours.keys()
        for key, value in cam.items():
            np.testing.assert_allclose(ours[key], value, rtol=1e-12)
        assert milliseconds(sequence.timestamps) == json.loads((expected / "ts.json").read_text())
        lines = (expected / "odometry.txt").read_text().splitlines()
        poses = np.array([[float(x) for x in line.split()] for line in lines]).reshape(-1, 4, 4)
        ours = odometry_lines(front.transform["ego_poses"])
        again = np.array([[float(x) for x in line.split()] for line in ours]).reshape(-1, 4, 4)
        np.testing.assert_allclose(again, poses, rtol=1e-12, atol=1e-15)  # text: by the BLAS
        np.testing.assert_allclose(front.poses, poses @ front.T_rig_cam, rtol=0, atol=1e-9)
        # pictures
        small = next(name for name in front.streams if name.startswith("rgb_"))
        for path in sorted(expected.glob("downsample_*.jpg")):
            published = decode_image(path.read_bytes()).astype(int)
            off = np.abs(front[small][int(path.stem[-6:])] - published)
            assert off.max() <= 2
            assert off.mean() <= 0.2
        # points and labels
        compared = set()
        for t in range(len(sequence)):
            rows, kept = depth_rows(front, t)
            compared |= {f"depth_{t:06d}"}
            published = arrays[f"depth_{t:06d}"]
            assert rows.shape == published.shape
            np.testing.assert_allclose(rows[:, :2], published[:, :2], rtol=0, atol=0.02)
            np.testing.assert_allclose(rows[:, 2], published[:, 2], rtol=0, atol=1e-3)
            if f"panoptic_{t:06d}" in arrays:
                labels = front["panoptic"].points(t)
                np.testing.assert_array_equal(labels.x, front.depth.points(t).x)
                np.testing.assert_array_equal(labels.value[kept], arrays[f"panoptic_{t:06d}"])
                motion = front["motion_labels"].points(t)
                np.testing.assert_array_equal(motion.value, arrays[f"motion_{t:06d}"])
                np.testing.assert_array_equal(np.stack([motion.x, motion.y], 1), rows[:, :2])
                compared |= {f"panoptic_{t:06d}", f"motion_{t:06d}"}
        assert compared == set(arrays.files)


@pytest.mark.golden
@pytest.mark.parametrize("case", cases())
def test_boxes_of_labels(case: Path, tmp_path: Path) -> None:
    """Every movable label finds the published box with the published share of its points."""
    info = json.loads((case / "expected/info.json").read_text())
    (spec,) = nuscenes.sequences(case / "raw")
    scene = spec.files["scene"]
    lidar = scene.channels["LIDAR_TOP"]
    with converted(case / "raw", tmp_path) as sequence:
        front = sequence.cameras["front"]
        for sample, (frame, published) in enumerate(info["panoptic2ann"].items()):
            _, kept = depth_rows(front, int(frame))
            points = front.depth.points(int(frame)).sensor[kept]
            labels = front["panoptic"].points(int(frame)).value[kept].astype(np.uint16)
            (record,) = np.flatnonzero(lidar.key & (lidar.sample == sample))
            T = matrices(lidar.pose[record]) @ matrices(lidar.mounts[0])
            found = match_labels(scene, sample, labels, points @ T[:3, :3].T + T[:3, 3])
            tokens = {
                str(label): {
                    "token": scene.boxes.tokens[m.box].decode() if m.box >= 0 else None,
                    "fit": m.share,
                }
                for label, m in found.items()
            }
            assert tokens == published


@pytest.mark.golden
@pytest.mark.parametrize("case", cases())
def test_labels_of_key_frames(case: Path, tmp_path: Path) -> None:
    """Maps agree with the labels of the points; unknown where there is no point."""
    with converted(case / "raw", tmp_path) as sequence:
        front = sequence.cameras["front"]
        assert "motion_labels" not in front.streams
        assert not [name for name in front.streams if name.startswith("rgb_")]
        keys = front.transform["key_frames"]
        assert front["masks/moving"].frames.tolist() == keys
        names = front["semantics"].attrs["classes"]
        for t in keys:
            depth = front.depth[t]
            semantics, instances = front["semantics"][t], front["instances"][t]
            moving = front["masks/moving"][t]
            np.testing.assert_array_equal(semantics != 255, np.isfinite(depth))
            assert set(np.unique(moving)) <= {0, 1, 255}
            assert (moving[semantics == 255] == 255).all()
            thing = instances > 0
            np.testing.assert_array_equal(instances[thing] // DIVISOR, semantics[thing])
            still = [int(k) for k, name in names.items() if name.startswith(("flat", "static"))]
            assert (moving[np.isin(semantics, still)] == 0).all()
            boxes = sequence.objects.at(t)
            speed = np.linalg.norm(boxes.velocity, axis=1)
            known = np.isfinite(speed)
            np.testing.assert_array_equal(
                boxes.moving[known], speed[known] > nuscenes.SPEED_THRESHOLD
            )


@pytest.mark.golden
@pytest.mark.parametrize("case", cases())
def test_tables(case: Path) -> None:
    """Columns give back the rows of the files."""
    (folder,) = (case / "raw").glob("v1.0-*")
    tables = read_tables(folder)
    rows = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    poses = {row["token"]: row for row in rows["ego_pose"]}
    records = tables.records
    assert len(records.tokens) == len(rows["sample_data"]) == len(records.files)
    for k, row in enumerate(rows["sample_data"]):
        assert records.tokens[k].decode() == row["token"]
        assert records.files[k] == row["filename"]
        assert records.timestamp[k] == row["timestamp"]
        assert records.key[k] == row["is_key_frame"]
        pose = poses[row["ego_pose_token"]]
        assert records.pose[k].tolist() == [*pose["rotation"], *pose["translation"]]
        following = int(records.next[k])
        assert (rows["sample_data"][following]["token"] if following >= 0 else "") == row["next"]
    for k, row in enumerate(rows["sample_annotation"]):
        notes = tables.annotations
        assert notes.size[k].tolist() == row["size"]
        assert rows["sample"][notes.sample[k]]["token"] == row["sample_token"]
        bits = [a for a in range(len(tables.attributes)) if int(notes.attributes[k]) >> a & 1]
        assert sorted(rows["attribute"][a]["token"] for a in bits) == sorted(
            row["attribute_tokens"]
        )


@pytest.mark.golden
@pytest.mark.parametrize("case", cases())
def test_files_of_the_lidar(case: Path) -> None:
    (folder,) = (case / "raw/panoptic").glob("v1.0-*")
    (spec,) = nuscenes.sequences(case / "raw")
    scene = spec.files["scene"]
    lidar = scene.channels["LIDAR_TOP"]
    for sample, name in scene.panoptic.items():
        (record,) = np.flatnonzero(lidar.key & (lidar.sample == sample))
        labels = read_panoptic(case / "raw" / name)
        assert len(labels) == len(read_scan(case / "raw" / lidar.files[record]))
    assert len(scene.panoptic) == len(list(folder.iterdir()))


@pytest.mark.realdata
def test_real_key_frame(realdata: Path, tmp_path: Path) -> None:
    """Facts of the real piece, from the sequence file."""
    with converted(realdata / "nuscenes", tmp_path, preset="dynamo_depth") as sequence:
        assert (sequence.name, sequence.split, len(sequence)) == ("scene-0061", "mini", 1)
        assert tuple(sequence.cameras) == nuscenes.CARD.cameras
        front = sequence.cameras["front"]
        assert front.transform["sample_tokens"] == ["ca9a282c9e77460f8360f564131a8af5"]
        assert front.transform["location"] == "singapore-onenorth"
        K = front.intrinsics(0)
        assert K[0].tolist() == [1266.417203046554, 0, 816.2670197447984]
        assert (K[1, 1], K[1, 2]) == (1266.417203046554, 491.50706579294757)
        assert front.timestamps[0] == 1532402927612460000
        assert sequence.cameras["back"].timestamps[0] == 1532402927637525000
        ego = front.poses[0] @ np.linalg.inv(front.T_rig_cam)
        place = [411.4199861830012, 1181.197175631848, 0]
        np.testing.assert_allclose(ego[:3, 3], place, atol=1e-9)
        for name, channel in nuscenes.CAMERAS.items():
            camera = sequence.cameras[name]
            (path,) = (realdata / "nuscenes/samples" / channel).iterdir()
            assert camera.rgb.blob(0) == path.read_bytes()
            assert camera.rgb[0].shape == (900, 1600, 3)
        # devkit map_pointcloud_to_image: 3053 points, depth 4.5260115 .. 98.11647
        rows, _ = depth_rows(front, 0)
        assert len(rows) == 3053
        assert rows[:, 2].min() == pytest.approx(4.5260115, abs=1e-4)
        assert rows[:, 2].max() == pytest.approx(98.11647, abs=1e-4)
        assert front["rgb_288x512"][0].shape == (288, 512, 3)
        assert "masks/moving" not in front.streams
        assert check(sequence.path).ok
    (scan,) = (realdata / "nuscenes/samples/LIDAR_TOP").iterdir()
    assert len(read_scan(scan)) == 34688


def test_splits_name_the_front_camera() -> None:
    """Published lists: 700 scenes to train on and 150 others, by frame number."""
    train, test = load_split("nuscenes/train"), load_split("nuscenes/test")
    assert not set(train.sequences) & set(test.sequences)
    assert (len(set(train.sequences)), len(set(test.sequences))) == (700, 150)
    for name in nuscenes.CARD.splits:
        split = load_split(name)
        assert split.frame_refers_to == "index"
        assert {camera for _, camera in split.groups} == {"front"}
