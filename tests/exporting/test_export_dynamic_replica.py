"""Sequences back into Dynamic Replica's folders, and the same sequences from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dynamic_replica_tree import change, converted, tiny
from support import golden_cases

from depthdata.codecs.frame_annotations import annotated_objects, parse_frame
from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.exporting import export
from depthdata.sequence import SequenceWriter
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence


def _digests(root: Path, out: Path) -> dict[str, str]:
    return {name: sequence.digest for name, sequence in converted(root, out).items()}


def _again(raw: Path, folder: Path) -> Path:
    """Convert, export, convert: the same sequences. Return what was exported."""
    before = _digests(raw, folder / "first")
    export(folder / "first", folder / "exported")
    assert _digests(folder / "exported", folder / "second") == before
    return folder / "exported"


def _pictures(root: Path) -> dict[str, bytes]:
    """Content of every file that is not packed in a way of its own."""
    found = (path for path in root.rglob("*") if path.suffix == ".png")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def test_every_split_comes_back(tmp_path: Path):
    pytest.importorskip("torch")
    raw = tmp_path / "raw"
    for number, options in enumerate(
        (
            {"split": "train", "intrinsics_format": "ndc_norm_image_bounds"},
            {"split": "train", "intrinsics_format": None, "instances": "png"},
            {"split": "valid", "tracks": 5},
            {"recording": "teddy_static", "tracks": 0},
        )
    ):
        scene = SyntheticScene(seed=number, frames=3, height=16, width=28)
        write_raw("dynamic_replica", scene, raw, sequence=f"{number:03d}-3_obj", **options)
    exported = _again(raw, tmp_path)
    annotations = sorted(path.relative_to(exported).as_posix() for path in exported.rglob("*.jgz"))
    assert annotations == [
        "real/teddy_static/test/frame_annotations_test.jgz",
        "train/frame_annotations_train.jgz",
        "valid/frame_annotations_valid.jgz",
    ]
    wanted, found = _pictures(raw / "train"), _pictures(exported / "train")
    assert found == wanted and len(found) > 40
    for path in ("train/frame_annotations_train.jgz", "valid/frame_annotations_valid.jgz"):
        for before, after in zip(
            annotated_objects(raw / path), annotated_objects(exported / path), strict=True
        ):
            assert parse_frame(after.value, "after") == parse_frame(before.value, "before")


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "dynamic_replica*"))
def test_golden_tree_comes_back(case: Path, tmp_path: Path):
    exported = _again(case, tmp_path)
    for path in case.rglob("*_left/images/*.png"):
        assert (exported / path.relative_to(case)).read_bytes() == path.read_bytes()


def test_what_varies_and_what_is_left_out(tmp_path: Path):
    raw = tiny(tmp_path / "raw", instances="png")
    rng = np.random.default_rng(0)

    def vary(values):
        for value in values:
            view = value["viewpoint"]
            for key in ("focal_length", "principal_point"):
                view[key] = (np.array(view[key]) + rng.uniform(0, 0.3, 2)).tolist()
            view["T"][0] += 0.5 * (value["camera_name"] == "right") + rng.uniform(0, 0.1)
            value["frame_number"] += 1000
            value["frame_timestamp"] = float(rng.uniform()) + value["frame_number"]
        values[0]["mask"] = values[1]["flow_backward_mask"] = None

    change(raw, vary)
    shutil.rmtree(raw / "test/tiny_left/depths")
    for t in range(2):
        soft = rng.integers(0, 256, (8, 12), np.uint8)
        (raw / f"test/tiny_right/masks/tiny_right-{t:04d}.png").write_bytes(encode_png(soft))
    _again(raw, tmp_path)


def test_a_sequence_of_another_source(tmp_path: Path):
    pytest.importorskip("torch")
    scene = SyntheticScene(seed=1, frames=2, height=16, width=28)
    write_sequence(scene, tmp_path / "street.h5")
    export(tmp_path / "street.h5", tmp_path / "out", layout="dynamic_replica")
    (sequence,) = converted(tmp_path / "out", tmp_path / "again").values()
    assert sequence.split == "test"
    for name in ("left", "right"):
        frame, camera = scene.render(0, name), sequence.cameras[name]
        np.testing.assert_array_equal(camera.rgb[0], frame.rgb)
        half = frame.depth.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(camera.depth[0], half)
        np.testing.assert_allclose(camera.poses, scene.T_world_cam(name), atol=1e-12)
        np.testing.assert_allclose(camera.intrinsics(0), scene.intrinsics, atol=1e-12)
        known = np.isfinite(frame.flow_forward).all(0)
        np.testing.assert_array_equal(camera.flow_forward_valid[0], known)
    steps = np.diff(sequence.timestamps)
    np.testing.assert_array_equal(steps, np.diff(scene.timestamps))


def test_what_the_layout_needs(tmp_path: Path):
    blob = encode_png(np.zeros((2, 3, 3), np.uint8))

    def write(name: str, cameras: tuple[str, ...], poses: bool, images: bool) -> Path:
        path = tmp_path / f"{name}.h5"
        with SequenceWriter(path, dataset="mine", sequence=name) as writer:
            writer.timeline([0], ["0"])
            for camera in cameras:
                target = writer.camera(
                    camera,
                    height=2,
                    width=3,
                    intrinsics=np.eye(3),
                    T_world_cam=np.eye(4)[None] if poses else None,
                )
                if images:
                    target.encoded("rgb", [blob], [len(blob)], encoding="png")
        return path

    for name, cameras, poses, images, message in (
        ("mono", ("left",), True, True, "the layout needs cameras left and right, found left"),
        ("lost", ("left", "right"), False, True, "camera left has frames without a pose"),
        ("blind", ("left", "right"), True, False, "camera left has no image at frame 0"),
    ):
        path = write(name, cameras, poses, images)
        with pytest.raises(UsageError, match=message):
            export(path, tmp_path / "out", layout="dynamic_replica")
        assert not list(tmp_path.glob("out*"))
