"""Trees of the Scene Flow datasets: what is found, what is wrong with some, the real piece."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import depthdata as dd
from depthdata.codecs.images import encode_png, image_size
from depthdata.codecs.pfm import encode_pfm, read_pfm
from depthdata.codecs.sceneflow import KINDS, VIEWS, camera_file, nominal_intrinsics
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import dataset_card, get, sceneflow
from depthdata.synthetic import SyntheticScene, write_raw

CLIP = "TRAIN/A/0000"
NAME = "flyingthings3d_TRAIN_A_0000"
H, W = 27, 48


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=1, frames=3, height=H, width=W)
    root = tmp_path_factory.mktemp("rendered")
    write_raw("sceneflow", scene, root, clip=CLIP)
    write_raw("sceneflow", scene, root, clip="TRAIN/B/0001")
    return root


@pytest.fixture
def raw(rendered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rendered, tmp_path / "raw")


@pytest.fixture
def top(raw: Path) -> Path:
    return raw / "FlyingThings3D"


def _open(root: Path) -> Sequence:
    report = convert("sceneflow", root, root.parent / "out", jobs=1, overwrite=True)
    assert report.ok, report.failed
    return open_sequence(report.results[0].path)


def _empty_tree(top: Path, clip: str, *frames: str) -> None:
    for view in VIEWS:
        for frame in frames:
            path = top / KINDS[0].path(clip, view, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_card():
    card = dataset_card("sceneflow")
    assert card is get("sceneflow").CARD and len(card.archives) == 27
    urls = {archive.name: archive.url for archive in card.archives}
    base = "https://lmb.informatik.uni-freiburg.de/data/SceneFlowDatasets_CVPR16"
    assert urls["flyingthings3d__disparity.tar.bz2"] == (
        f"{base}/Release_april16/data/FlyingThings3D/derived_data/flyingthings3d__disparity.tar.bz2"
    )
    assert urls["monkaa__frames_finalpass.tar"] == (
        f"{base}/Release_april16/data/Monkaa/raw_data/monkaa__frames_finalpass.tar"
    )
    assert urls["driving__camera_data.tar"] == (
        f"{base}/CameraData_august16/data/Driving/raw_data/driving__camera_data.tar"
    )


def test_names_of_the_published_files():
    """As the dataset's page has them; the layout writer and the reader share one table."""
    driving = "15mm_focallength/scene_forwards/fast"
    paths = {kind.stream: kind.path(CLIP, "right", "0006") for kind in KINDS}
    assert paths == {
        "rgb": "frames_cleanpass/TRAIN/A/0000/right/0006.png",
        "rgb_final": "frames_finalpass/TRAIN/A/0000/right/0006.png",
        "disparity": "disparity/TRAIN/A/0000/right/0006.pfm",
        "flow_forward": (
            "optical_flow/TRAIN/A/0000/into_future/right/OpticalFlowIntoFuture_0006_R.pfm"
        ),
        "flow_backward": (
            "optical_flow/TRAIN/A/0000/into_past/right/OpticalFlowIntoPast_0006_R.pfm"
        ),
        "disparity_change_forward": "disparity_change/TRAIN/A/0000/into_future/right/0006.pfm",
        "disparity_change_backward": "disparity_change/TRAIN/A/0000/into_past/right/0006.pfm",
        "instances": "object_index/TRAIN/A/0000/right/0006.pfm",
        "materials": "material_index/TRAIN/A/0000/right/0006.pfm",
        "masks/motion_boundary_forward": (
            "motion_boundaries/TRAIN/A/0000/into_future/right/0006.png"
        ),
        "masks/motion_boundary_backward": (
            "motion_boundaries/TRAIN/A/0000/into_past/right/0006.png"
        ),
    }
    assert camera_file(CLIP) == "camera_data/TRAIN/A/0000/camera_data.txt"
    assert KINDS[0].path(driving, "left", "0001") == (
        "frames_cleanpass/15mm_focallength/scene_forwards/fast/left/0001.png"
    )


@pytest.mark.parametrize(
    ("clip", "fx"),
    [
        (CLIP, 1050),
        ("eating_x2", 1050),
        ("35mm_focallength/scene_forwards/fast", 1050),
        ("15mm_focallength/scene_forwards/fast", 450),
    ],
)
def test_lenses(clip: str, fx: float):
    assert nominal_intrinsics(clip, 540, 960) == [[fx, 0, 479.5], [0, fx, 269.5], [0, 0, 1]]
    assert nominal_intrinsics(clip, 270, 480)[0] == [fx / 2, 0, 239.5]


def test_any_of_the_folders_may_be_the_root(raw: Path, top: Path):
    _empty_tree(raw / "Monkaa", "eating_x2", "0048", "0049")
    _empty_tree(raw / "Driving", "15mm_focallength/scene_forwards/fast", "0001")
    names = [spec.name for spec in sceneflow.sequences(raw)]
    driving = "driving_15mm_focallength_scene_forwards_fast"
    assert names == [driving, NAME, "flyingthings3d_TRAIN_B_0001", "monkaa_eating_x2"]
    assert [spec.name for spec in sceneflow.sequences(raw / "Monkaa")] == names[3:]
    assert [spec.name for spec in sceneflow.sequences(raw / "Driving")] == names[:1]
    renamed = raw.rename(raw.with_name("x")) / "FlyingThings3D"
    renamed = renamed.rename(renamed.with_name("things"))
    spec, _ = sceneflow.sequences(renamed)
    assert spec.name == NAME and pickle.loads(pickle.dumps(spec)) == spec


def test_sets_unpacked_into_one_folder_are_told_apart(tmp_path: Path):
    clips = ["TEST/A/0000", "TRAIN/C/0749", "lonetree_x2", "35mm_focallength/scene_forwards/slow"]
    for clip in clips:
        _empty_tree(tmp_path, clip, "0001")
    (tmp_path / "frames_cleanpass/readme.txt").touch()
    (tmp_path / "frames_cleanpass/._eating_x2").mkdir()
    assert {spec.name: spec.split for spec in sceneflow.sequences(tmp_path)} == {
        "flyingthings3d_TEST_A_0000": "test",
        "flyingthings3d_TRAIN_C_0749": "train",
        "monkaa_lonetree_x2": "train",
        "driving_35mm_focallength_scene_forwards_slow": "train",
    }


def test_names_sort_as_the_paths_do(tmp_path: Path):
    for i in range(12):
        _empty_tree(tmp_path, f"TRAIN/{'ABC'[i % 3]}/{i:04d}", "0006")
        _empty_tree(tmp_path, f"TEST/{'ABC'[i % 3]}/{i:04d}", "0006")
    specs = sceneflow.sequences(tmp_path)
    clips = [spec.files["clip"] for spec in specs]
    assert clips == sorted(clips) and len(clips) == 24


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path):
    _empty_tree(tmp_path, "eating_x2", "0010", "0009", "0100", "10000")
    (tmp_path / "frames_cleanpass/eating_x2/left/notes.png").touch()
    (spec,) = sceneflow.sequences(tmp_path)
    assert spec.files["frames"]["rgb"]["left"] == ("0009", "0010", "0100", "10000")


def test_clip_of_one_frame(top: Path):
    for path in top.rglob("*0007*"):
        path.unlink()
    for path in top.rglob("*0008*"):
        path.unlink()
    for path in top.rglob("*into_*/*/*"):
        path.unlink()
    with _open(top) as sequence:
        assert sequence.frame_ids == ("0006",)
        assert sequence.cameras["left"].streams == (
            "rgb",
            "rgb_final",
            "disparity",
            "instances",
            "materials",
        )
        assert np.isfinite(sequence.cameras["right"].poses).all()


def test_an_alpha_here_and_there(top: Path):
    path = top / KINDS[0].path(CLIP, "left", "0007")
    image = cv2.imread(str(path))
    cv2.imwrite(str(path), np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]))
    with _open(top) as sequence:
        rgb = sequence.cameras["left"].rgb
        assert [image_size(rgb.blob(t)).channels for t in range(3)] == [3, 4, 3]
        np.testing.assert_array_equal(rgb[1], image[..., ::-1])


def test_flow_beyond_the_ends_is_kept(top: Path):
    """The source may know where things go after the last frame."""
    last = KINDS[3].path(CLIP, "left", "0008")
    shutil.copy(top / KINDS[3].path(CLIP, "left", "0007"), top / last)
    with _open(top) as sequence:
        assert sequence.cameras["left"]["flow_forward"].present.all()
        assert sequence.cameras["right"]["flow_forward"].present.tolist() == [True, True, False]


def test_what_is_not_finite_is_missing(top: Path):
    paths = [top / KINDS[k].path(CLIP, "left", "0007") for k in (2, 3)]
    disparity, flow = map(read_pfm, paths)
    disparity[3, 4:7] = np.inf, -np.inf, np.nan
    flow[2, 5, 1] = np.inf
    flow[2, 6, 2] = np.inf  # the channel that is not used
    paths[0].write_bytes(encode_pfm(disparity, big_endian=True))
    paths[1].write_bytes(encode_pfm(flow))
    with _open(top) as sequence:
        left = sequence.cameras["left"]
        assert np.isnan(left["disparity"][1][3, 4:7]).all()
        assert np.isnan(left["disparity"].raw(1)[3, 4:7]).all()
        assert np.isnan(left.depth[1][3, 4:7]).all()
        assert np.isnan(left["flow_forward"][1][:, 2, 5]).all()
        np.testing.assert_array_equal(left["flow_forward"][1][:, 2, 6], flow[2, 6, :2])


def test_boundaries_of_either_kind(top: Path):
    path = top / KINDS[9].path(CLIP, "left", "0006")
    ones = np.eye(H, W, dtype=np.uint8)
    path.write_bytes(encode_png(ones))
    with _open(top) as sequence:
        np.testing.assert_array_equal(
            sequence.cameras["left"]["masks/motion_boundary_forward"][0], ones
        )


def test_frames_without_a_pose(top: Path):
    path = top / camera_file(CLIP)
    path.write_text(path.read_text().replace("Frame 7", "Frame 70"))
    with _open(top) as sequence:
        for camera in sequence.cameras.values():
            known = np.isfinite(camera.poses).all((1, 2))
            assert known.tolist() == [True, False, True]


def test_fingerprint_is_of_every_file(top: Path):
    spec = sceneflow.sequences(top)[0]
    before = sceneflow.fingerprint(spec)
    files = [path for path in top.rglob("*") if path.is_file() and CLIP in path.as_posix()]
    assert len(files) == 2 * (5 * 3 + 6 * 2) + 1
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert sceneflow.fingerprint(spec) != before
        path.write_bytes(data)
    assert sceneflow.fingerprint(spec) == before


def _number(frame: np.ndarray, value: float) -> bytes:
    frame = frame.copy()
    frame[3, 5] = value
    return encode_pfm(frame)


def _change(top: Path, stream: str, change: Callable[[Path], object], frame: str = "0007") -> None:
    (kind,) = (kind for kind in KINDS if kind.stream == stream)
    change(top / kind.path(CLIP, "right", frame))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _picture(height: int, width: int, level: int = 0) -> Callable[[Path], object]:
    image = np.full((height, width), level, np.uint8)
    return lambda path: path.write_bytes(encode_png(np.dstack([image] * 3) if not level else image))


def _replace(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


SMALL = np.zeros((H, W + 1), np.float32)
MISSING = {
    "no right view": (
        lambda top: shutil.rmtree(top / f"frames_cleanpass/{CLIP}/right"),
        "right/0006.png is missing, and 2 more of the 3 frames; unpack "
        "flyingthings3d__frames_cleanpass.tar again",
    ),
    "a right image": (lambda top: _change(top, "rgb", Path.unlink), "right/0007.png is missing"),
    "a final image": (
        lambda top: _change(top, "rgb_final", Path.unlink),
        f"frames_finalpass/{CLIP}/right/0007.png is missing, and 0 more",
    ),
    "a disparity": (
        lambda top: _change(top, "disparity", Path.unlink),
        "right/0007.pfm is missing, and 0 more of the 3 frames; unpack "
        "flyingthings3d__disparity.tar.bz2 again",
    ),
    "a flow": (
        lambda top: _change(top, "flow_forward", Path.unlink, "0006"),
        "OpticalFlowIntoFuture_0006_R.pfm is missing",
    ),
    "a boundary": (
        lambda top: _change(top, "masks/motion_boundary_backward", Path.unlink),
        f"{CLIP}/into_past/right/0007.png is missing",
    ),
    "all flow of a clip": (
        lambda top: shutil.rmtree(top / f"optical_flow/{CLIP}"),
        f"{CLIP}: nothing in optical_flow/into_past, where other clips have something; unpack "
        "flyingthings3d__optical_flow.tar.bz2 again",
    ),
    "the camera data of a clip": (
        lambda top: shutil.rmtree(top / f"camera_data/{CLIP}"),
        "nothing in camera_data, where other clips have something",
    ),
    "all images": (
        lambda top: [shutil.rmtree(top / f"frames_{p}pass/{CLIP}") for p in ("clean", "final")],
        f"{CLIP}: no images; unpack flyingthings3d__frames_cleanpass.tar again",
    ),
    "images of flow": (
        lambda top: [
            shutil.copy(p, p.with_name(p.name.replace("8", "9"))) for p in _flows(top)[1:]
        ],
        "OpticalFlowIntoPast_0009_R.pfm belongs to a frame without images",
    ),
    "poses": (
        lambda top: (top / camera_file(CLIP)).unlink(),
        "nothing in camera_data, where other clips have something",
    ),
}
WRONG = {
    "cut image": (lambda top: _change(top, "rgb", _cut), "right/0007.png is cut"),
    "html": (
        lambda top: _change(top, "rgb_final", _replace(b"<!DOCTYPE html>")),
        "0007.png is no PNG image (it starts with '<!DOCTYPE",
    ),
    "cut map": (lambda top: _change(top, "disparity", _cut), "0007.pfm: PFM: 48x27 pixels need"),
    "other size": (
        lambda top: _change(top, "rgb", _picture(H, W + 1)),
        "expected an image like 0006.png, 48x27 with 3 channel(s), found 49x27",
    ),
    "other size of a view": (
        lambda top: [_change(top, "rgb", _picture(18, 32), f"000{n}") for n in (6, 7, 8)],
        "expected 48x27 like the left images, found 32x18",
    ),
    "other proportions": (
        lambda top: (
            [_picture(H, W + 1)(path) for path in (top / "frames_cleanpass").rglob("*.png")]
            + [shutil.rmtree(top / "frames_finalpass")]
        ),
        f"FlyingThings3D/{CLIP}: expected images of 960x540 pixels or of its proportions, found "
        "49x27",
    ),
    "other size of a map": (
        lambda top: _change(top, "disparity", _replace(encode_pfm(SMALL))),
        "0007.pfm: expected 48x27 like the left images, found 49x27",
    ),
    "grey flow": (
        lambda top: _change(top, "flow_backward", _replace(encode_pfm(SMALL[:, 1:]))),
        "OpticalFlowIntoPast_0007_R.pfm: expected 48x27x3 like the left images, found 48x27;",
    ),
    "colour disparity": (
        lambda top: _change(top, "disparity", _replace(encode_pfm(np.zeros((H, W, 3))))),
        "found 48x27x3",
    ),
    "half an object": (
        lambda top: _change(top, "instances", _replace(_number(SMALL[:, 1:], 2.5))),
        "0007.pfm: expected whole numbers from 0 to 65535, found 2.5 at row 3, column 5",
    ),
    "too many materials": (
        lambda top: _change(top, "materials", _replace(_number(SMALL[:, 1:], 65536))),
        "found 65536.0 at row 3, column 5",
    ),
    "less than no object": (
        lambda top: _change(top, "instances", _replace(_number(SMALL[:, 1:], -1))),
        "found -1.0 at row 3, column 5",
    ),
    "no number": (
        lambda top: _change(top, "instances", _replace(_number(SMALL[:, 1:], np.nan))),
        "found nan at row 3, column 5",
    ),
    "half a boundary": (
        lambda top: _change(top, "masks/motion_boundary_forward", _picture(H, W, 7)),
        "0007.png: expected 0 and 255 (a boundary), found [7]",
    ),
    "large boundaries": (
        lambda top: _change(top, "masks/motion_boundary_forward", _picture(H, W + 1, 255)),
        "0007.png: expected a grey image of 48x27 pixels, found 49x27 with 1 channel(s)",
    ),
    "text": (
        lambda top: (top / camera_file(CLIP)).write_text("Frame 6\nL 1\n"),
        "camera_data.txt: camera data, line 2: expected 'L <16 numbers>', found 'L 1'",
    ),
    "poses of another clip": (
        lambda top: (top / camera_file(CLIP)).write_text(
            (top / camera_file(CLIP)).read_text().replace("Frame ", "Frame 3")
        ),
        "camera_data.txt: expected frames 0006 to 0008, found 36 to 38",
    ),
}


def _flows(top: Path) -> list[Path]:
    return sorted((top / f"optical_flow/{CLIP}/into_past/right").iterdir())


@pytest.mark.parametrize("what", [*MISSING, *WRONG])
def test_wrong_tree_gives_one_clear_line(raw: Path, top: Path, what: str):
    breaks, message = (MISSING | WRONG)[what]
    breaks(top)
    out = raw.parent / "out"
    first, second = convert("sceneflow", raw, out, jobs=1).results
    assert first.status == "failed" and first.path is None
    assert message in first.message and "\n" not in first.message
    if what != "other proportions":
        assert second.status == "converted"
        assert [p.name for p in out.iterdir() if ".h5" in p.name] == [second.path.name]
    again = convert("sceneflow", raw, out, jobs=1, skip_incomplete=True).results
    assert again[0].status == ("skipped" if what in MISSING else "failed")


def _not_there(root: Path) -> Path:
    return root / "nowhere"


def _packed(root: Path) -> Path:
    (root / "flyingthings3d__frames_cleanpass.tar").touch()
    return root


def _packed_inside(root: Path) -> Path:
    (root / "Monkaa").mkdir()
    (root / "Monkaa/monkaa__disparity.tar.bz2").touch()
    return root


def _inside_a_pass(root: Path) -> Path:
    _empty_tree(root, "TRAIN/A/0000", "0006")
    return root / "frames_cleanpass"


def _only_disparity(root: Path) -> Path:
    (root / "disparity/TRAIN/A/0000/left").mkdir(parents=True)
    (root / "disparity/TRAIN/A/0000/left/0006.pfm").touch()
    return root


def _webp(root: Path) -> Path:
    (root / "frames_cleanpass/TRAIN/A/0000/left").mkdir(parents=True)
    (root / "frames_cleanpass/TRAIN/A/0000/left/0006.webp").touch()
    return root


def _webp_folder(root: Path) -> Path:
    (root / "FlyingThings3D/frames_finalpass_webp/TRAIN/A/0000/left").mkdir(parents=True)
    return root


NOTHING = {
    _not_there: "no clip of Scene Flow found; expected FlyingThings3D, .*; there is no such folder",
    _packed: r"unpack flyingthings3d__frames_cleanpass\.tar first",
    _packed_inside: r"unpack monkaa__disparity\.tar\.bz2 first",
    _inside_a_pass: "name the folder above",
    _only_disparity: "has only disparity: unpack the images there too",
    _webp: r"WebP images are not supported, .*; unpack flyingthings3d__frames_cleanpass\.tar$",
    _webp_folder: r"WebP images are not supported, .*; unpack the archive frames_finalpass\.tar",
}


@pytest.mark.parametrize("make", NOTHING, ids=lambda make: make.__name__)
def test_nothing_to_convert(make: Callable[[Path], Path], tmp_path: Path):
    with pytest.raises(SourceError, match=NOTHING[make]) as error:
        sceneflow.sequences(make(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.realdata
def test_real_clip(realdata: Path, tmp_path: Path):
    root = realdata / "sceneflow"
    (result,) = convert("sceneflow", root, tmp_path, jobs=1).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    report = dd.check(result.path)
    assert report.ok, str(report)
    facts = {
        "left": (1.2063816, 130.36458, 62.61112),
        "right": (1.2333821, 130.36407, 65.1883),
    }
    with open_sequence(result.path) as sequence:
        assert sequence.name == "flyingthings3d_TRAIN_A_0032" and sequence.frame_ids == ("0006",)
        for view, (low, high, mean) in facts.items():
            camera = sequence.cameras[view]
            assert camera.streams == ("rgb", "disparity")
            path = f"FlyingThings3D/frames_cleanpass/TRAIN/A/0032/{view}/0006.png"
            assert bytes(camera.rgb.blob(0)) == (root / path).read_bytes()
            disparity = camera["disparity"][0]
            assert disparity.dtype == np.float32 and disparity.shape == (540, 960)
            assert disparity.min() == np.float32(low) and disparity.max() == np.float32(high)
            assert disparity.mean(dtype=float) == pytest.approx(mean, rel=1e-6)
            assert camera.intrinsics(0).tolist() == [[1050, 0, 479.5], [0, 1050, 269.5], [0, 0, 1]]
            assert "intrinsics" not in camera.transform
            np.testing.assert_allclose(camera.depth[0] * disparity, 1050, rtol=1e-6)
