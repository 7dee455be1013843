"""Trees of Dynamic Replica that are not as published: one line each, and nothing is left behind."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamic_replica_tree import HEIGHT, WIDTH, annotation, change, tiny

from depthdata.codecs.images import encode_png
from depthdata.codecs.trajectories import Trajectories, encode_trajectories
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sources import dynamic_replica

NAME = "tiny_{view}-{t:04d}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("tree") / "raw")


@pytest.fixture
def raw(tree: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tree, tmp_path / "raw")


def _file(root: Path, folder: str, view: str = "left", t: int = 1, end: str = ".png") -> Path:
    return root / f"test/tiny_{view}/{folder}/tiny_{view}-{t:04d}{end}"


def _failure(root: Path) -> str:
    """Message of the one sequence, which must fail and leave nothing."""
    (result,) = convert("dynamic_replica", root, root / "out", jobs=1).results
    assert result.status == "failed" and result.path is None
    assert "\n" not in result.message
    assert not list((root / "out").glob("*.h5*"))
    return result.message


def _each(edit):
    """Apply an edit to every frame object."""

    def whole(values: list[dict[str, Any]]) -> None:
        for value in values:
            edit(value)

    return lambda root: change(root, whole)


def _last(**changes: Any):
    return lambda root: change(root, lambda values: values[-1].update(changes))


def _viewpoint(**changes: Any):
    return lambda root: change(root, lambda values: values[-1]["viewpoint"].update(changes))


def _png(folder: str, array: np.ndarray, **place: Any):
    return lambda root: _file(root, folder, **place).write_bytes(encode_png(array))


def _resize_right(root: Path) -> None:
    for t in range(2):
        blob = encode_png(np.zeros((HEIGHT, WIDTH + 2, 3), np.uint8))
        _file(root, "images", "right", t).write_bytes(blob)
    change(root, lambda values: [v["image"].pop("size") for v in values] and None)


def _exchange(value: dict[str, Any]) -> None:
    value["camera_name"] = {"left": "right", "right": "left"}[value["camera_name"]]


BREAKAGES = {
    "other size of right": (
        _resize_right,
        "tiny_right-0000.png: expected 12x8 pixels like tiny_left-0000.png, found 14x8",
    ),
    "size in the annotation": (
        _each(lambda value: value["image"].update(size=[720, 1280])),
        "tiny_left-0000.png: 12x8 pixels, but the annotation has 1280x720",
    ),
    "other image": (
        _png("images", np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8), view="right"),
        "expected an image like tiny_right-0000.png, 12x8 with 3 channel(s), found 13x8",
    ),
    "cut image": (
        lambda root: _file(root, "images").write_bytes(_file(root, "images").read_bytes()[:99]),
        "tiny_left-0001.png is cut",
    ),
    "size of depth": (
        _png("depths", np.zeros((HEIGHT, WIDTH + 1), np.uint16), end=".geometric.png"),
        "tiny_left-0001.geometric.png: expected 12x8 pixels like its image, found 13x8",
    ),
    "8-bit depth": (
        _png("depths", np.zeros((HEIGHT, WIDTH), np.uint8), end=".geometric.png"),
        "tiny_left-0001.geometric.png: half-float map: expected 16-bit grey PNG",
    ),
    "size of flow": (
        _png("flow_backward", np.zeros((HEIGHT, WIDTH), np.uint16)),
        "flow_backward/tiny_left-0001.png: expected 12x8 pixels like its image, found 6x8",
    ),
    "mask in colour": (
        _png("masks", np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        "masks/tiny_left-0001.png: mask: expected 8-bit grey PNG",
    ),
    "instances that would run": (
        lambda root: _file(root, "instance_id_maps", end=".pkl").write_bytes(pickle.dumps(eval)),
        "tiny_left-0001.pkl: pickle: names builtins.eval; expected an array of whole numbers",
    ),
    "instances in a row": (
        lambda root: _file(root, "instance_id_maps", end=".pkl").write_bytes(
            pickle.dumps(np.zeros(HEIGHT * WIDTH, np.int64))
        ),
        "tiny_left-0001.pkl: expected a map of two axes, found (96,)",
    ),
    "number of instances": (
        lambda root: _file(root, "instance_id_maps", end=".pkl").write_bytes(
            pickle.dumps(np.full((HEIGHT, WIDTH), (1 << 64) - 1, np.uint64))
        ),
        "instance numbers up to 18446744073709551615",
    ),
    "fewer right": (
        lambda root: change(root, lambda values: values[:-1]),
        "sequence tiny: 2 left but 1 right frames",
    ),
    "no right": (
        lambda root: change(root, lambda values: values[:2]),
        "sequence tiny: 2 left but 0 right frames",
    ),
    "gap": (
        _each(lambda value: value.update(frame_number=2 * value["frame_number"])),
        "sequence tiny, left: expected frame 1 after 0, found 2",
    ),
    "other numbers": (_last(frame_number=0), "right: expected frame 1 after 0, found 0"),
    "camera": (_last(camera_name="top"), "expected cameras left and right, found 'top'"),
    "exchanged": (_each(_exchange), "expected the right camera right of the left one, found a"),
    "no viewpoint": (_last(viewpoint=None), "frame object 3: viewpoint is missing"),
    "T": (_viewpoint(T=[0, 0]), "frame object 3, viewpoint: T: expected 3 numbers"),
    "R": (_viewpoint(R=[[0, 0, 0]] * 3), "tiny_right-0001.png: its viewpoint's R is no rotation"),
    "format": (_viewpoint(intrinsics_format="pixels"), "intrinsics_format 'pixels': expected ndc_"),
    "above": (_last(mask={"path": "../secret.png"}), "path '../secret.png' does not lie below"),
    "inside": (_last(mask="a/../../b.png"), "path 'a/../../b.png' does not lie below"),
    "absolute": (_last(depth={"path": "/etc/passwd"}), "path '/etc/passwd' does not lie below"),
    "windows": (_last(depth={"path": "..\\a.png"}), "does not lie below"),
    "surrogate": (_last(depth={"path": "\ud800.png"}), "path '\\ud800.png' does not lie below"),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_wrong_tree_gives_one_clear_line(raw: Path, what: str):
    breaks, message = BREAKAGES[what]
    breaks(raw)
    assert message in _failure(raw)


MISSING = {
    "right image": (
        lambda root: _file(root, "images", "right").unlink(),
        "tiny_right-0001.png is missing, the image of frame 1 in frame_annotations_test.jgz",
    ),
    "all images": (
        lambda root: [
            shutil.rmtree(root / f"test/tiny_{view}/images") for view in ("left", "right")
        ],
        "tiny_left-0000.png is missing, the image of frame 0",
    ),
    "an image that is only named": (
        _last(image={"path": "elsewhere/a.png"}),
        "test/elsewhere/a.png is missing, the image of frame 1",
    ),
    "some depth": (
        lambda root: _file(root, "depths", end=".geometric.png").unlink(),
        "tiny_left-0001.geometric.png is missing, the depth of frame 1",
    ),
    "some masks": (
        lambda root: _file(root, "masks", t=0).unlink(),
        "masks/tiny_left-0000.png is missing, the mask of frame 0",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_missing_files_may_be_skipped(raw: Path, tmp_path: Path, what: str):
    removes, message = MISSING[what]
    removes(raw)
    tiny(raw, "whole")
    report = convert("dynamic_replica", raw, tmp_path / "out", jobs=1, skip_incomplete=True)
    results = {result.sequence: result for result in report.results}
    assert report.ok and results["whole"].status == "converted"
    assert results["tiny"].status == "skipped" and message in results["tiny"].message
    assert "unpack the archives of the split again" in results["tiny"].message
    assert [path.name for path in (tmp_path / "out").glob("*.h5*")] == ["whole.h5"]
    report = convert("dynamic_replica", raw, tmp_path / "out", jobs=1)
    assert [result.sequence for result in report.failed] == ["tiny"]


def _trajectories(count: int, spatial: bool = True) -> bytes:
    world = np.zeros((count, 3), np.float32) if spatial else None
    return encode_trajectories(
        Trajectories(np.zeros((count, 2), np.float32), np.zeros(count, np.bool_), world)
    )


@pytest.mark.parametrize("second", [(4, True), (3, False), None])
def test_trajectories_must_be_the_same_points(tmp_path: Path, second):
    pytest.importorskip("torch")
    raw = tiny(tmp_path / "raw", tracks=3)
    path = raw / "test/tiny_left/trajectories/000001.pth"
    path.write_bytes(b"no archive" if second is None else _trajectories(*second))
    expected = "no file of PyTorch" if second is None else "expected 3 trajectories like 000000.pth"
    message = _failure(raw)
    assert "000001.pth" in message and expected in message


ANNOTATIONS = {
    "cut": (lambda data: data[: len(data) // 2], "the gzip file is cut or damaged after"),
    "not packed": (gzip.decompress, "the gzip file is cut or damaged after 0 bytes"),
    "empty list": (lambda data: gzip.compress(b"[]"), "the annotation names no frame"),
    "no list": (lambda data: gzip.compress(b"{}"), "expected a JSON list of frame objects"),
    "no name": (lambda data: gzip.compress(b"[{}]"), "frame object 0: expected a sequence_name"),
    "cut text": (
        lambda data: gzip.compress(gzip.decompress(data)[:-50]),
        "frame object 3: Unterminated string",
    ),
    **{
        name: (
            lambda data, name=name: gzip.compress(json.dumps([{"sequence_name": name}]).encode()),
            "expected a sequence_name of letters",
        )
        for name in ("../above", "/tmp/a", ".hidden", "a b", "", "a" * 300, "b\n")
    },
}


@pytest.mark.parametrize("what", ANNOTATIONS)
def test_wrong_annotation(raw: Path, what: str):
    breaks, message = ANNOTATIONS[what]
    path = annotation(raw)
    path.write_bytes(breaks(path.read_bytes()))
    with pytest.raises(SourceError) as caught:
        dynamic_replica.sequences(raw)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_annotation(tmp_path: Path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceError, match=r"no annotation found; expected <split>/frame_ann"):
            dynamic_replica.sequences(root)
    (tmp_path / "valid_003.zip").touch()
    with pytest.raises(SourceError, match=r"unpack valid_003\.zip into a folder valid first"):
        dynamic_replica.sequences(tmp_path)


def test_wrong_archive(raw: Path):
    """Files of another sequence only: what the annotation names is not there."""
    for view in ("left", "right"):
        (raw / f"test/tiny_{view}").rename(raw / f"test/other_{view}")
    assert "tiny_left-0000.png is missing, the image of frame 0" in _failure(raw)
