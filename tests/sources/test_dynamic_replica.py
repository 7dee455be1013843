"""Dynamic Replica: a rendered scene through its layout into a sequence file, against the truth."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from dynamic_replica_tree import change, converted, tiny

from depthdata.codecs.images import encode_png
from depthdata.conversion import convert
from depthdata.geometry import project, se3_inverse, transform
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence
from depthdata.sources import dataset_card, dynamic_replica
from depthdata.synthetic import SyntheticScene, write_raw

VIEWS = ("left", "right")
NAMES = {"isotropic-3_obj": "ndc_isotropic", "bounds-3_obj": "ndc_norm_image_bounds"}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=3, height=48, width=80, baseline=0.12)


@pytest.fixture(scope="module")
def raw(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("scene") / "raw"
    for name, ndc_format in NAMES.items():
        write_raw("dynamic_replica", scene, root, sequence=name, intrinsics_format=ndc_format)
    return root


@pytest.fixture(scope="module")
def sequence(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    return converted(raw, tmp_path_factory.mktemp("out"))["isotropic-3_obj"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Root with one tiny sequence to change."""
    return tiny(tmp_path / "raw")


def test_card():
    card = dataset_card("dynamic_replica")
    assert card.access == "agreement" and "Karaev2023CVPR" in card.citation
    names = [archive.name for archive in card.archives]
    assert len(names) == 104 and {"real_000.zip", "train_085.zip"} <= set(names)
    for archive in card.archives:
        assert archive.url is None and len(bytes.fromhex(archive.sha256)) == 32
    assert pickle.loads(pickle.dumps(card)) == card


def test_streams_are_those_of_the_card(sequence: Sequence):
    card = dataset_card("dynamic_replica")
    assert tuple(sequence.cameras) == card.cameras
    for camera in sequence.cameras.values():
        assert camera.streams == card.streams
        assert "left_out" not in camera.transform
    assert (sequence.dataset, sequence.split) == ("dynamic_replica", "test")


def test_images_come_back(raw: Path, scene: SyntheticScene, sequence: Sequence):
    for name, camera in sequence.cameras.items():
        for t in range(scene.frames):
            source = raw / f"test/{sequence.name}_{name}/images/{sequence.name}_{name}-{t:04d}.png"
            assert bytes(camera.rgb.blob(t)) == source.read_bytes()
            np.testing.assert_array_equal(camera.rgb[t], scene.photograph(t, name))


def test_depth_is_the_truth_in_half_floats(scene: SyntheticScene, sequence: Sequence):
    pair = sequence.stereo_geometry("left", 1)
    for name, camera in sequence.cameras.items():
        assert camera.depth.raw(1).dtype == np.float16
        truth = scene.render(1, name, colour=False).depth.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(camera.depth[1], truth)  # NaN in the sky
        seen = np.isfinite(truth)
        assert 0.3 < seen.mean() < 1
        product = camera.disparity[1][seen] * camera.depth[1][seen]
        np.testing.assert_allclose(product, pair.fx * pair.baseline, rtol=3e-7)
        assert "rendered" in camera.depth.attrs["provenance"]


def test_cameras_come_back(raw: Path, scene: SyntheticScene, tmp_path: Path):
    for name, sequence in converted(raw, tmp_path).items():
        (pair,) = sequence.stereo_pairs
        assert (pair.left, pair.right) == VIEWS
        assert pair.baseline == pytest.approx(scene.baseline, abs=1e-9)
        for view, camera in sequence.cameras.items():
            np.testing.assert_allclose(camera.poses, scene.T_world_cam(view), atol=1e-9)
            np.testing.assert_allclose(camera.intrinsics(1), scene.intrinsics, atol=1e-9)
            assert camera.transform["intrinsics_format"] == NAMES[name]
        np.testing.assert_array_equal(sequence.timestamps, np.rint(scene.times * 1e9))
        assert sequence.frame_ids == ("0", "1", "2")


def test_flow_and_its_validity(scene: SyntheticScene, sequence: Sequence):
    last = scene.frames - 1
    for name, camera in sequence.cameras.items():
        for flow, absent in (("flow_forward", last), ("flow_backward", 0)):
            stream = camera[flow]
            assert not stream.present[absent] and stream.present.sum() == last
            assert (camera[f"{flow}_valid"].present == stream.present).all()
            for t in stream.frames.tolist():
                truth = getattr(scene.render(t, name, colour=False), flow)
                half = truth.astype(np.float16).astype(np.float32)
                np.testing.assert_array_equal(stream[t], half)
                known = np.isfinite(truth).all(0)
                np.testing.assert_array_equal(camera[f"{flow}_valid"][t], known)
                assert (stream.raw(t)[:, ~known] == 0).all() and (~known).any()


def test_masks_and_instances(scene: SyntheticScene, sequence: Sequence):
    for name, camera in sequence.cameras.items():
        instances = scene.render(0, name, colour=False).instances
        np.testing.assert_array_equal(camera["masks/foreground"][0], instances > 0)
        np.testing.assert_array_equal(camera.instances[0], instances)
        assert camera.instances.dtype == np.uint16
        assert camera["masks/foreground"].dtype == np.uint8 and instances.any()


def test_tracks(scene: SyntheticScene, sequence: Sequence):
    assert list(sequence.tracks) == ["left"]
    found, truth = sequence.tracks["left"], scene.tracks("left", 32)
    np.testing.assert_array_equal(found.xy, truth.xy)
    np.testing.assert_array_equal(found.visible, truth.visible)
    np.testing.assert_array_equal(found.xyz_world, truth.xyz_world.astype(np.float32))
    camera = sequence.cameras["left"]
    uv, _ = project(
        camera.intrinsics(2), transform(se3_inverse(camera.pose(2)), found.xyz_world[2])
    )
    ahead = np.isfinite(found.xy[2]).all(-1)
    np.testing.assert_allclose(uv[ahead], found.xy[2][ahead], rtol=1e-4, atol=1e-3)


def test_roots(raw: Path, tmp_path: Path):
    both = dynamic_replica.sequences(raw)
    assert [spec.name for spec in both] == list(NAMES)
    assert dynamic_replica.sequences(raw / "test") == both
    assert pickle.loads(pickle.dumps(both)) == both
    other = shutil.copytree(raw, tmp_path / "all")
    for split in ("train", "valid"):
        tiny(other, f"a-{split}", split=split)
    for name in ("teddy_static", "another"):
        tiny(other, "video", recording=name)
    found = {spec.name: spec.split for spec in dynamic_replica.sequences(other)}
    assert list(found.items()) == [
        ("a-train", "train"),
        ("a-valid", "valid"),
        *((name, "test") for name in NAMES),
        ("another", "real"),
        ("teddy_static", "real"),
    ]
    for below in ("real", "real/teddy_static", "real/teddy_static/test"):
        names = [spec.name for spec in dynamic_replica.sequences(other / below)]
        assert names == (["another", "teddy_static"] if below == "real" else ["teddy_static"])
    (real,) = convert(
        "dynamic_replica", other, tmp_path / "out", sequences=["another"], jobs=1
    ).results
    with open_sequence(real.path) as sequence:
        assert "no ground truth" in sequence.cameras["right"].depth.attrs["provenance"]


def test_several_sequences_in_one_recording(small: Path, tmp_path: Path):
    def second(values):
        return values + [{**value, "sequence_name": "other"} for value in values]

    change(small, second)
    shutil.move(small / "test", tmp_path / "real/nikita_reading/test")
    specs = dynamic_replica.sequences(tmp_path)
    assert [spec.name for spec in specs] == ["nikita_reading_tiny", "nikita_reading_other"]


def test_frames_of_a_sequence_need_not_lie_together(small: Path, tmp_path: Path):
    (wanted,) = converted(small, tmp_path / "a").values()
    change(
        small, lambda values: [v for pair in zip(values[:2], values[2:], strict=True) for v in pair]
    )
    (found,) = converted(small, tmp_path / "b").values()
    assert found.digest == wanted.digest


def test_baseline_and_intrinsics_of_each_frame(small: Path, tmp_path: Path):
    def vary(values):
        for value in values:
            t, right = value["frame_number"], value["camera_name"] == "right"
            value["viewpoint"]["T"][0] += 0.01 * t * right
            value["viewpoint"]["focal_length"][0] += 0.1 * t + 0.5 * right
            value["viewpoint"]["principal_point"][1] -= 0.125 * t

    (before,) = converted(small, tmp_path / "a").values()
    change(small, vary)
    (after,) = converted(small, tmp_path / "b").values()
    base = before.stereo_geometry("left", 0).baseline
    for t in range(len(after)):
        pair = after.stereo_geometry("right", t)
        assert pair.baseline == pytest.approx(base + 0.01 * t, abs=1e-12)
        assert pair.fx == after.cameras["left"].intrinsics(t)[0, 0]
        for view, camera in after.cameras.items():
            K, K_before = camera.intrinsics(t), before.cameras[view].intrinsics(t)
            more = 0.1 * t + 0.5 * (view == "right")
            assert K[0, 0] - K_before[0, 0] == pytest.approx(more * 4, abs=1e-12)  # half of 8
            assert K[1, 2] - K_before[1, 2] == pytest.approx(0.125 * t * 4, abs=1e-12)


def test_masks_with_values_between(small: Path, tmp_path: Path):
    levels = np.arange(96, dtype=np.uint8).reshape(8, 12) + 100
    for t in range(2):
        path = small / f"test/tiny_right/masks/tiny_right-{t:04d}.png"
        path.write_bytes(encode_png(levels))
    (sequence,) = converted(small, tmp_path).values()
    soft, plain = (sequence.cameras[name]["masks/foreground"] for name in ("right", "left"))
    np.testing.assert_array_equal(soft[1], levels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(soft.raw(1), levels)
    assert set(np.unique(plain.raw(0))) <= {0, 1} and plain.scale is None


@pytest.mark.parametrize(
    ("values", "stored"),
    [((0, 65535), "u2"), ((-1, 7), "i4"), ((0, 70000), "i4"), ((0, 1 << 40), "i8")],
)
def test_instance_numbers_of_any_size(small: Path, tmp_path: Path, values, stored: str):
    """A later frame decides as well as the first."""
    array = np.zeros((8, 12), np.int64)
    array[3, 4:6] = values
    path = small / "test/tiny_left/instance_id_maps/tiny_left-0001.pkl"
    path.write_bytes(pickle.dumps(array))
    (sequence,) = converted(small, tmp_path).values()
    found = sequence.cameras["left"].instances.raw(1)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.dtype(stored)


def test_instance_maps_as_pictures(tmp_path: Path):
    (picture,) = converted(tiny(tmp_path / "png", instances="png"), tmp_path / "a").values()
    (pickled,) = converted(tiny(tmp_path / "pickle"), tmp_path / "b").values()
    for name, camera in picture.cameras.items():
        found = camera.instances[1]
        np.testing.assert_array_equal(found, pickled.cameras[name].instances[1])
        assert found.any() and found.dtype == np.uint16


def test_what_was_not_unpacked_is_left_out(small: Path, tmp_path: Path):
    shutil.rmtree(small / "test/tiny_left/depths")
    shutil.rmtree(small / "test/tiny_left/flow_forward_mask")
    shutil.rmtree(small / "test/tiny_right/flow_backward")
    (sequence,) = converted(small, tmp_path).values()
    left, right = (sequence.cameras[name] for name in VIEWS)
    assert left.transform["left_out"] == ["depth", "flow_forward_valid"]
    assert "depth" not in left.streams and "flow_forward" in left.streams
    assert right.transform["left_out"] == ["flow_backward"] and "depth" in right.streams
    assert not [name for name in right.streams if name.startswith("flow_backward")]


def test_null_and_text_paths(small: Path, tmp_path: Path):
    def edit(values):
        for value in values:
            value["mask"] = value["flow_forward"] = value["frame_timestamp"] = None
            value["instance_id_map_path"] = value["instance_id_map_path"]["path"]
            value["depth"] = None if value["frame_number"] else value["depth"]
            value["unknown"], value["meta"] = {"a": 1}, [2]
            del value["flow_forward_mask"]

    change(small, edit)
    (sequence,) = converted(small, tmp_path).values()
    assert (sequence.timestamps == MISSING_TIME).all()
    for camera in sequence.cameras.values():
        assert camera.streams == (
            *("rgb", "depth", "flow_backward", "flow_backward_valid", "instances"),
        )
        assert camera.depth.frames.tolist() == [0] and "left_out" not in camera.transform


def test_views_with_times_of_their_own(small: Path, tmp_path: Path):
    def later(values):
        for value in values:
            value["frame_timestamp"] += 0.25 * (value["camera_name"] == "right")
            value["frame_number"] += 7

    change(small, later)
    (sequence,) = converted(small, tmp_path).values()
    assert sequence.frame_ids == ("7", "8")
    shift = sequence.cameras["right"].timestamps - sequence.timestamps
    assert shift.tolist() == [250_000_000] * 2


def test_fingerprint_is_of_the_content(small: Path, tmp_path: Path):
    (spec,) = dynamic_replica.sequences(small)
    before = dynamic_replica.fingerprint(spec)
    (moved,) = dynamic_replica.sequences(shutil.copytree(small, tmp_path / "moved"))
    assert dynamic_replica.fingerprint(moved) == before
    path = small / "test/tiny_left/depths/tiny_left-0001.geometric.png"
    content = path.read_bytes()
    path.unlink()
    assert dynamic_replica.fingerprint(spec) != before
    path.write_bytes(content)
    assert dynamic_replica.fingerprint(spec) == before
    change(small, lambda values: values[0].update(frame_timestamp=0.5))
    (changed,) = dynamic_replica.sequences(small)
    assert dynamic_replica.fingerprint(changed) != before
