"""Scenes of KITTI's stereo benchmarks written back: every byte and value, and converted again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from kitti_stereo_scenes import converted, small_scene, small_tree

from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.kitti_stereo import encode_disparity, read_disparity_levels, read_flow_levels
from depthdata.comparison import compare
from depthdata.errors import UsageError
from depthdata.exporting import export
from depthdata.synthetic import write_raw, write_sequence

DATASETS = ("kitti_2015", "kitti_2012")


def _files(root: Path) -> dict[str, bytes]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_tree_comes_back_to_the_byte(dataset: str, tmp_path: Path):
    options = {"reflective": True} if dataset == "kitti_2012" else {}
    raw = small_tree(dataset, tmp_path / "raw", digits=6, **options)
    write_raw(dataset, small_scene(3, frames=12), raw, number=7, first=0)
    before = converted(dataset, raw, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(raw)
    again = converted(dataset, tmp_path / "exported", tmp_path / "again")
    assert {n: s.digest for n, s in again.items()} == {n: s.digest for n, s in before.items()}


def test_second_files_of_their_own_come_back(tmp_path: Path):
    """Files that one stream and one mask could not hold together."""
    raw = small_tree("kitti_2015", tmp_path / "raw")
    part, name = raw / "training", "000002_10.png"
    levels = read_disparity_levels(part / "disp_noc_0" / name).copy()
    levels[5] += 3
    (part / "disp_noc_0" / name).write_bytes(encode_disparity(levels))
    flow = read_flow_levels(part / "flow_noc" / name).copy()
    flow[2, 3, :2] += 5
    (part / "flow_noc" / name).write_bytes(encode_png(flow))
    (part / "disp_occ_1" / name).unlink()
    converted("kitti_2015", raw, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(raw)


def test_pixels_that_are_not_valid_keep_their_values(tmp_path: Path):
    raw = small_tree("kitti_2015", tmp_path / "raw")
    path = raw / "training/flow_occ/000002_10.png"
    flow = read_flow_levels(path).copy()
    unknown = flow[..., 2] == 0
    assert unknown.any()
    flow[unknown, :2] = np.random.default_rng(0).integers(0, 65536, (unknown.sum(), 2))
    path.write_bytes(encode_png(flow))
    second = raw / "training/flow_noc/000002_10.png"
    flow = read_flow_levels(second).copy()
    flow[flow[..., 2] == 0] = 0  # as files of other programs have it
    second.write_bytes(encode_png(flow))
    found = converted("kitti_2015", raw, tmp_path / "out")["training_000002"]
    assert "flow_forward_noc" not in found.cameras["left"].streams
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(raw)


@pytest.mark.parametrize("gone", ["obj_map", "disp_noc_0", "flow_occ", "calib_cam_to_cam", "disp"])
def test_what_is_not_there_stays_away(tmp_path: Path, gone: str):
    raw = small_tree("kitti_2015", tmp_path / "raw")
    for folder in (raw / "training").glob(f"{gone}*"):
        shutil.rmtree(folder)
    if gone == "calib_cam_to_cam":  # the others are of no use without it
        for folder in (raw / "training").glob("calib_*"):
            shutil.rmtree(folder)
    converted("kitti_2015", raw, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(raw)


def test_a_scene_of_another_kind(tmp_path: Path):
    write_sequence(small_scene(), tmp_path / "scene.h5")
    with pytest.raises(UsageError, match=r"expected a scene of kitti_2012 or kitti_2015 called"):
        export(tmp_path / "scene.h5", tmp_path / "exported", layout="kitti_2015")
    assert not (tmp_path / "exported").exists()


@pytest.mark.realdata
def test_real_scenes_come_back(realdata: Path, tmp_path: Path):
    raw = realdata / "kitti2015"
    converted("kitti_2015", raw, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    before, after = _files(raw), _files(tmp_path / "exported")
    assert set(before) == set(after)
    for name, data in before.items():
        if "image_" in name or name.endswith(".txt"):
            assert after[name] == data, name
        else:
            np.testing.assert_array_equal(decode_image(after[name]), decode_image(data))
    again = converted("kitti_2015", tmp_path / "exported", tmp_path / "again")
    assert compare(tmp_path / "out", tmp_path / "again").equal
    # The digest tells the source files' fingerprint, too; from here on the files are the same.
    export(tmp_path / "again", tmp_path / "twice")
    assert _files(tmp_path / "twice") == after
    third = converted("kitti_2015", tmp_path / "twice", tmp_path / "third")
    assert {n: s.digest for n, s in third.items()} == {n: s.digest for n, s in again.items()}
