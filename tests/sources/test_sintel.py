"""Trees of MPI Sintel: what is found in them, and what is wrong with some."""

from __future__ import annotations

import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from depthdata.codecs.flo import encode_flo, read_flo
from depthdata.codecs.images import encode_png
from depthdata.codecs.sintel import decode_disparity, encode_depth, encode_mask
from depthdata.codecs.sintel_folders import KINDS, SETS
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sequence import Sequence, open_sequence
from depthdata.sources import dataset_card, get, sintel
from depthdata.synthetic import SyntheticScene, write_raw

H, W, FRAMES = 27, 48, 3
NAMES = ["alley_1", "market_2"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=1, frames=FRAMES, height=H, width=W)
    root = tmp_path_factory.mktemp("rendered")
    for name in NAMES:
        write_raw("sintel", scene, root, sequence=name)
    return root


@pytest.fixture
def raw(rendered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rendered, tmp_path / "raw")


def _open(root: Path, out: Path, name: str = "alley_1") -> Sequence:
    report = convert("sintel", root, out, jobs=1, sequences=[name], overwrite=True)
    assert report.ok, report.failed
    return open_sequence(report.results[0].path)


def _names(root: Path) -> list[str]:
    return [spec.name for spec in sintel.sequences(root)]


def test_card():
    card = dataset_card("sintel")
    assert card is get("sintel").CARD
    assert [archive.name for archive in card.archives] == list(SETS.values())
    assert card.archives[0].url == (
        "https://files.is.tue.mpg.de/jwulff/sintel/MPI-Sintel-stereo-training-20150305.zip"
    )
    assert set(card.streams) == {kind.stream for kind in KINDS} - {"camera"}


def test_any_of_the_folders_may_be_the_root(raw: Path, tmp_path: Path):
    for root in (raw, *(raw / name for name in SETS if name != "depth")):
        assert _names(root) == _names(root / "training") == NAMES if root != raw else NAMES
    stereo = (raw / "stereo").rename(tmp_path / "x")
    training = (stereo / "training").rename(stereo / "y")
    specs = sintel.sequences(training)
    assert [spec.name for spec in specs] == NAMES
    assert pickle.loads(pickle.dumps(specs)) == specs
    shutil.move(stereo / "y", raw / "any name")  # a part beside folders that hold a part
    spec, _ = sintel.sequences(raw)
    assert {*spec.files["kinds"]} == {
        kind.key for kind in KINDS if kind.key not in ("flow/clean", "flow/final")
    }


def test_the_file_is_the_same_from_any_root(raw: Path, tmp_path: Path):
    for part in ("depth", "flow"):
        shutil.rmtree(raw / part)
    files = [
        Path(_open(root, tmp_path / "out").path).read_bytes()
        for root in (raw, raw / "stereo", raw / "stereo/training")
    ]
    assert files[0] == files[1] == files[2]


def test_stereo_and_depth_in_one_folder(raw: Path, tmp_path: Path):
    shutil.rmtree(raw / "flow")
    whole = _open(raw, tmp_path / "out").digest
    for folder in (raw / "depth/training").iterdir():
        shutil.move(folder, raw / "stereo/training")
    assert _open(raw, tmp_path / "out").digest == whole


def test_flow_and_depth_in_one_folder(raw: Path, tmp_path: Path):
    shutil.rmtree(raw / "stereo")
    for folder in (raw / "depth/training").iterdir():
        shutil.move(folder, raw / "flow/training")
    with _open(raw, tmp_path / "out") as sequence:
        (left,) = sequence.cameras.values()
        assert not sequence.stereo_pairs and left.calibrated and left.T_rig_cam is None
        assert "masks/occluded" not in left.streams and "masks/occluded_forward" in left.streams
        assert left["rgb"].attrs["provenance"] == "flow/clean"


def test_cameras_in_both_archives(raw: Path, tmp_path: Path):
    digest = _open(raw, tmp_path / "out").digest
    shutil.copytree(raw / "depth/training/camdata_left", raw / "stereo/training/camdata_left")
    assert _open(raw, tmp_path / "out").digest == digest
    shutil.rmtree(raw / "depth")
    with _open(raw, tmp_path / "out") as sequence:
        assert sequence.cameras["right"].calibrated
        left = sequence.cameras["left"]
        assert left.derived == ("depth",) and np.isfinite(left.poses).all()


def test_without_cameras_nothing_is_derived(raw: Path, tmp_path: Path):
    shutil.rmtree(raw / "depth")
    with _open(raw, tmp_path / "out") as sequence:
        (pair,) = sequence.stereo_pairs
        assert (pair.left, pair.right, pair.baseline) == ("left", "right", 0.1)
        for view, camera in sequence.cameras.items():
            assert not camera.calibrated and camera.poses is None and not camera.derived
            assert camera.T_rig_cam[:3, 3].tolist() == [0.1 * (view == "right"), 0, 0]


def test_intrinsics_may_change(raw: Path, tmp_path: Path):
    path = raw / "depth/training/camdata_left/alley_1/frame_0002.cam"
    data = bytearray(path.read_bytes())
    data[4:12] = struct.pack("<d", 31.25)
    path.write_bytes(data)
    with _open(raw, tmp_path / "out") as sequence:
        for camera in sequence.cameras.values():
            fx = [camera.intrinsics(t)[0, 0] for t in range(FRAMES)]
            assert fx[1] == 31.25 and fx[0] == fx[2] != 31.25


def test_test_images(raw: Path, tmp_path: Path):
    scene = SyntheticScene(seed=2, frames=2, height=H, width=W)
    write_raw("sintel", scene, raw, sequence="ambush_1", test=True)
    assert {spec.name: spec.split for spec in sintel.sequences(raw)} == {
        "alley_1": "train",
        "ambush_1": "test",
        "market_2": "train",
    }
    assert _names(raw / "flow/test") == _names(raw / "flow")[1:2] == ["ambush_1"]
    with _open(raw, tmp_path / "out", "ambush_1") as sequence:
        assert sequence.split == "test" and sequence.frame_ids == ("frame_0001", "frame_0002")
        assert sequence.cameras["left"].streams == ("rgb", "rgb_final")


def test_frames_without_flow(raw: Path, tmp_path: Path):
    """The published sets have none in the last frame; excerpts may have less."""
    flow = raw / "flow/training"
    for folder in ("flow", "occlusions", "invalid"):
        (flow / folder / "alley_1/frame_0001.png").unlink(missing_ok=True)
    (flow / "flow/alley_1/frame_0001.flo").unlink()
    shutil.copy(
        flow / "invalid/alley_1/frame_0002.png", flow / "invalid/alley_1/frame_0003.png"
    )  # of a frame without flow
    with _open(raw, tmp_path / "out") as sequence:
        left = sequence.cameras["left"]
        for name in ("flow_forward", "masks/occluded_forward"):
            assert left[name].present.tolist() == [False, True, False]
        assert left["flow_forward_valid"].present.tolist() == [False, True, True]


def test_what_invalid_marks_is_stored_and_missing(raw: Path, tmp_path: Path):
    flow = raw / "flow/training/flow/alley_1/frame_0001.flo"
    values = read_flo(flow)
    values[0, 0], values[1, 1] = (7.5, -2), np.inf
    flow.write_bytes(encode_flo(values))
    invalid = np.zeros((H, W))
    invalid[0, 0] = 1
    path = raw / "flow/training/invalid/alley_1/frame_0001.png"
    path.write_bytes(encode_mask(invalid))
    with _open(raw, tmp_path / "out") as sequence:
        found = sequence.cameras["left"]["flow_forward"]
        assert np.isnan(found[0][:, 0, 0]).all() and found.raw(0)[:, 0, 0].tolist() == [7.5, -2]
        assert np.isnan(found.raw(0)[:, 1, 1]).all()
        assert sequence.cameras["left"]["flow_forward_valid"][0][0, :2].tolist() == [0, 1]


def test_disparity_0_is_missing(raw: Path, tmp_path: Path):
    path = raw / "stereo/training/disparities/alley_1/frame_0001.png"
    stored = decode_disparity(path.read_bytes())
    assert (stored == 0).any() and (stored > 0).any()
    with _open(raw, tmp_path / "out") as sequence:
        found = sequence.cameras["left"].disparity
        np.testing.assert_array_equal(found.raw(0), stored)
        np.testing.assert_array_equal(found[0], np.where(stored > 0, stored, np.nan))


def test_fingerprint_is_of_every_file_that_is_read(raw: Path):
    spec = sintel.sequences(raw)[0]
    before = sintel.fingerprint(spec)
    for path in (path for path in raw.rglob("alley_1/*") if path.is_file()):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        unread = path.parents[1].name in ("clean", "final")  # the stereo set has these images
        assert (sintel.fingerprint(spec) == before) == unread, path
        path.write_bytes(data)
    assert sintel.fingerprint(spec) == before


def _of(raw: Path, place: str, number: int = 2) -> Path:
    part, folder = place.split("/")
    (path,) = (raw / part / "training" / folder / "alley_1").glob(f"frame_{number:04d}.*")
    return path


def _unlink(place: str, number: int = 2) -> Callable[[Path], object]:
    return lambda raw: _of(raw, place, number).unlink()


def _rmtree(place: str) -> Callable[[Path], object]:
    return lambda raw: shutil.rmtree(_of(raw, place).parent)


def _put(place: str, data: bytes) -> Callable[[Path], object]:
    return lambda raw: _of(raw, place).write_bytes(data)


def _cut(place: str, count: int = 3) -> Callable[[Path], object]:
    return lambda raw: _put(place, _of(raw, place).read_bytes()[:-count])(raw)


def _image(height: int = H, width: int = W, channels: int = 3) -> bytes:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return encode_png(np.zeros(shape, np.uint8))


def _beyond(raw: Path) -> None:
    path = _of(raw, "depth/depth", 3)
    shutil.copy(path, path.with_name("frame_0004.dpt"))


def _hole(raw: Path) -> None:
    for path in raw.rglob("alley_1/frame_0002.*"):
        path.unlink()


STEREO, DEPTH, FLOW = SETS.values()
MISSING = {
    "a right image": (
        _unlink("stereo/clean_right"),
        f"clean_right/alley_1/frame_0002.png is missing, and 0 more of the 3 frames; unpack "
        f"{STEREO} again",
    ),
    "the right images": (_rmtree("stereo/final_right"), "alley_1: nothing in final_right"),
    "the folder of the right images": (
        lambda raw: shutil.rmtree(raw / "stereo/training/clean_right"),
        f"alley_1: nothing in clean_right (one view only); unpack {STEREO} again",
    ),
    "the folder of the left images": (
        lambda raw: [shutil.rmtree(raw / f"{p}") for p in ("stereo/training/clean_left", "flow")],
        "alley_1: nothing in clean_left (one view only)",
    ),
    "a disparity": (
        _unlink("stereo/disparities"),
        "disparities/alley_1/frame_0002.png is missing, and 0 more of the 3 frames",
    ),
    "the disparities": (
        _rmtree("stereo/disparities"),
        f"nothing in disparities (where other sequences have something); unpack {STEREO} again",
    ),
    "an occlusion": (_unlink("stereo/occlusions"), "stereo/training/occlusions/alley_1/frame_0002"),
    "an outofframe": (_unlink("stereo/outofframe", 3), "outofframe/alley_1/frame_0003.png is"),
    "a depth": (
        _unlink("depth/depth"),
        f"frame_0002.dpt is missing, and 0 more of the 3 frames; unpack {DEPTH} again",
    ),
    "a camera": (
        _unlink("depth/camdata_left", 1),
        "camdata_left/alley_1/frame_0001.cam is missing",
    ),
    "an albedo": (
        _unlink("flow/albedo"),
        f"frame_0002.png is missing, and 0 more of the 3 frames; unpack {FLOW} again",
    ),
    "a flow": (_unlink("flow/flow"), "flow/training/flow/alley_1/frame_0002.flo is missing"),
    "an invalid": (_unlink("flow/invalid"), "invalid/alley_1/frame_0002.png is missing"),
    "an occlusion of flow": (
        _unlink("flow/occlusions"),
        "flow/training/occlusions/alley_1/frame_0002.png is missing",
    ),
    "an image of depth": (_beyond, "depth/alley_1/frame_0004.dpt: a frame without an image"),
    "all images": (
        lambda raw: [
            shutil.rmtree(path)
            for name in ("clean*", "final*", "albedo")
            for path in raw.glob(f"*/training/{name}/alley_1")
        ],
        f"alley_1: no images; unpack {STEREO} or {FLOW} too",
    ),
}
WRONG = {
    "cut image": (_cut("stereo/clean_right"), "clean_right/alley_1/frame_0002.png is cut"),
    "html": (
        _put("stereo/final_left", b"<!DOCTYPE html>"),
        "frame_0002.png is no PNG image (it starts with '<!DOCTYPE",
    ),
    "other size": (
        _put("stereo/clean_right", _image(H, W + 1)),
        "expected an image like frame_0001.png, 48x27 with 3 channel(s), found 49x27",
    ),
    "other size of a view": (
        lambda raw: [
            _of(raw, "stereo/clean_right", n).write_bytes(_image(H, 32)) for n in (1, 2, 3)
        ],
        "clean_right/alley_1/frame_0001.png: expected 48x27 pixels like the images, found 32x27",
    ),
    "other size of disparity": (
        _put("stereo/disparities", _image(H - 1)),
        "disparities/alley_1/frame_0002.png: expected 48x27 pixels like the images, found 48x26",
    ),
    "grey disparity": (
        _put("stereo/disparities", _image(channels=1)),
        "frame_0002.png: disparity: expected 8-bit RGB PNG, found 8-bit PNG with 1 channel(s)",
    ),
    "cut disparity": (_cut("stereo/disparities"), "frame_0002.png: disparity: PNG cut at"),
    "empty mask": (
        _put("stereo/occlusions", b""),
        "occlusions/alley_1/frame_0002.png: image: expected a PNG or JPEG signature",
    ),
    "half a mask": (
        _put("stereo/outofframe", encode_png(np.full((H, W), 128, np.uint8))),
        "outofframe/alley_1/frame_0002.png: mask: expected 0 and 255, found [128]",
    ),
    "cut depth": (_cut("depth/depth"), "frame_0002.dpt: depth: 48x27 pixels need 5184 bytes"),
    "other size of depth": (
        _put("depth/depth", encode_depth(np.ones((2, 3)))),
        "frame_0002.dpt: expected 48x27 pixels like the images, found 3x2",
    ),
    "cut camera": (_cut("depth/camdata_left"), "frame_0002.cam: camera: expected 172 bytes"),
    "cut flow": (_cut("flow/flow"), "frame_0002.flo: flow: 48x27 pixels need 10368 bytes"),
    "other size of flow": (
        _put("flow/flow", encode_flo(np.zeros((H, W - 1, 2)))),
        "frame_0002.flo: expected 48x27 pixels like the images, found 47x27",
    ),
    "depth as flow": (
        lambda raw: shutil.copy(_of(raw, "depth/depth"), _of(raw, "flow/flow")),
        "frame_0002.flo: flow: 48x27 pixels need 10368 bytes after the header, found 5184",
    ),
}


@pytest.mark.parametrize("what", [*MISSING, *WRONG])
def test_wrong_tree_gives_one_clear_line(raw: Path, what: str):
    breaks, message = (MISSING | WRONG)[what]
    breaks(raw)
    out = raw.parent / "out"
    first, second = convert("sintel", raw, out, jobs=1).results
    assert first.status == "failed" and first.path is None
    assert message in first.message and "\n" not in first.message
    kept = [] if "folder" in what else [second.path.name]
    assert [path.name for path in out.iterdir() if ".h5" in path.name] == kept
    again = convert("sintel", raw, out, jobs=1, skip_incomplete=True).results
    assert again[0].status == ("skipped" if what in MISSING else "failed")


def test_flow_to_a_frame_that_is_not_there(raw: Path):
    _hole(raw)
    first, _ = convert("sintel", raw, raw.parent / "out", jobs=1, skip_incomplete=True).results
    assert first.status == "skipped"
    assert "frame_0001 has flow to the next frame, but frame_0003 comes next" in first.message
    shutil.rmtree(raw / "flow")
    with _open(raw, raw.parent / "out") as sequence:
        assert sequence.frame_ids == ("frame_0001", "frame_0003")


def _not_there(raw: Path) -> Path:
    return raw / "nowhere"


def _packed(raw: Path) -> Path:
    shutil.rmtree(raw)
    raw.mkdir()
    (raw / STEREO).touch()
    return raw


def _packed_inside(raw: Path) -> Path:
    _packed(raw)
    (raw / "stereo").mkdir()
    (raw / STEREO).rename(raw / "stereo" / STEREO)
    return raw


def _inside_a_pass(raw: Path) -> Path:
    return raw / "flow/training/clean"


def _inside_a_sequence(raw: Path) -> Path:
    return raw / "flow/training/clean/alley_1"


def _only_depth(raw: Path) -> Path:
    return raw / "depth"


def _empty(raw: Path) -> Path:
    for path in raw.rglob("frame_*"):
        path.unlink()
    return raw


def _too_deep(raw: Path) -> Path:
    (raw / "deeper").mkdir()
    shutil.move(raw / "stereo", raw / "deeper/MPI-Sintel-stereo")
    return raw


def _one_folder(raw: Path) -> Path:
    shutil.copytree(raw / "stereo", raw / "flow", dirs_exist_ok=True)
    shutil.rmtree(raw / "stereo")
    return raw


def _only_occlusions(raw: Path) -> Path:
    for path in (raw / "stereo/training").iterdir():
        if path.name != "occlusions":
            shutil.rmtree(path)
    return raw


def _twice(raw: Path) -> Path:
    shutil.copytree(raw / "stereo", raw / "again")
    return raw


def _in_both_splits(raw: Path) -> Path:
    shutil.copytree(raw / "flow/training/clean", raw / "flow/test/clean")
    return raw


NOTHING = {
    _not_there: "no sequence of MPI Sintel found; expected a folder training .*no such folder",
    _packed: f"; unpack {STEREO} first$",
    _packed_inside: f"; unpack {STEREO} first$",
    _inside_a_pass: "; name the folder above$",
    _inside_a_sequence: "; name the folder two above$",
    _only_depth: f"has only camdata_left, depth: unpack {STEREO} or {FLOW} too",
    _empty: "no sequence of MPI Sintel found",
    _too_deep: r"raw/deeper/MPI-Sintel-stereo/training is unpacked one level too deep; move it to "
    r".*raw/deeper, or name .*raw/deeper as the source",
    _one_folder: "flow/training/occlusions: occlusions of stereo and of flow cannot be told apart, "
    "for the stereo set and the flow set share this folder; unpack each archive in a folder of",
    _only_occlusions: "neither of the sets is in this folder; unpack each archive in a folder of",
    _twice: "again/training/clean_left/alley_1 and stereo/training/clean_left/alley_1 hold the "
    "same; remove one",
    _in_both_splits: "alley_1 is in .*/training and in .*flow/test; remove one",
}


@pytest.mark.parametrize("make", NOTHING, ids=lambda make: make.__name__)
def test_nothing_to_convert(make: Callable[[Path], Path], raw: Path):
    with pytest.raises(SourceError, match=NOTHING[make]) as error:
        sintel.sequences(make(raw))
    assert "\n" not in str(error.value)


def test_both_sets_in_one_folder_without_occlusions(raw: Path, tmp_path: Path):
    _one_folder(raw)
    shutil.rmtree(raw / "flow/training/occlusions")
    with _open(raw, tmp_path / "out") as sequence:
        left = sequence.cameras["left"]
        assert {"disparity", "flow_forward"} < set(left.streams)
        assert not any("occluded" in stream for stream in left.streams)
