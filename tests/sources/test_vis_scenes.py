"""KITTI-VIS and Cityscapes-VIS as sequence files: scenes with exact truth, wrong trees."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from depthdata.checks import check
from depthdata.codecs.flo import encode_flo
from depthdata.codecs.images import encode_png
from depthdata.codecs.npy import encode_npy, read_npy
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.instance_masks import instance_masks
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence, verify
from depthdata.sources import cityscapes_vis, dataset_card, kitti_vis, list_datasets, vis_scene
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.vis import bodies_of, dense_flow, masks_of

HEIGHT, WIDTH, FRAMES = 48, 156, 3
NAMES = {
    "kitti_vis": ("2011_09_26_drive_0001_sync_02", "2011_09_26_drive_0001_sync_03"),
    "cityscapes_vis": ("cologne_000078_000000_0", "cologne_000078_000000_1"),
}
SOURCES = {"kitti_vis": kitti_vis, "cityscapes_vis": cityscapes_vis}


def _scene(frames: int = FRAMES) -> SyntheticScene:
    return SyntheticScene(seed=5, frames=frames, height=HEIGHT, width=WIDTH, objects=6)


@pytest.fixture(scope="module", params=NAMES)
def dataset(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two scenes each; the second one is of `val`, its masks are of another type."""
    root = tmp_path_factory.mktemp("vis")
    for name, second in (("kitti_vis", {"camera": "right"}), ("cityscapes_vis", {"phase": 1})):
        write_raw(name, _scene(), root / name)
        write_raw(name, _scene(2), root / name, part="val", dtype=np.float32, **second)
    return {name: root / name for name in NAMES}


@pytest.fixture(scope="module")
def found(
    trees: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Sequence]]:
    return {
        name: _converted(name, tree, tmp_path_factory.mktemp(name)) for name, tree in trees.items()
    }


def _converted(dataset: str, raw: Path, out: Path) -> dict[str, Sequence]:
    report = convert(dataset, raw, out, jobs=1)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return {result.sequence: open_sequence(result.path) for result in report.results}


@pytest.fixture
def raw(trees: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of KITTI-VIS to break."""
    return shutil.copytree(trees["kitti_vis"], tmp_path / "raw")


def test_cards(dataset: str, found: dict[str, dict[str, Sequence]]):
    assert dataset in list_datasets()
    card = dataset_card(dataset)
    assert card.licence.startswith("none stated; derived from") and "Lee2021AAAI" in card.citation
    assert pickle.loads(pickle.dumps(card)) == card
    for sequence in found[dataset].values():
        assert set(sequence.cameras) <= set(card.cameras)
        assert all(set(camera.streams) <= set(card.streams) for camera in sequence.cameras.values())


def test_scenes_and_frames(dataset: str, trees: dict[str, Path], found):
    sequences = found[dataset]
    assert tuple(sequences) == NAMES[dataset]
    for k, (name, sequence) in enumerate(sequences.items()):
        assert sequence.split == ("train", "val")[k] and (sequence.timestamps == MISSING_TIME).all()
        (camera,) = sequence.cameras.values()
        assert camera.name == ("right" if name.endswith("_03") else "left")
        assert camera.transform["lists"] == [sequence.split]
        np.testing.assert_allclose(camera.intrinsics(0), _scene().intrinsics, rtol=1e-15)
        for t, frame in enumerate(sequence.frame_ids):
            path = trees[dataset] / "image" / name / f"{frame}.jpg"
            assert bytes(camera.rgb.blob(t)) == path.read_bytes()
    first = sequences[NAMES[dataset][0]].frame_ids
    step = 1 if dataset == "kitti_vis" else 2
    assert [int(name) for name in first] == list(range(0, FRAMES * step, step))


def test_flow_is_the_scenes(dataset: str, found):
    scene, camera = _scene(), found[dataset][NAMES[dataset][0]].cameras["left"]
    assert camera.flow_forward.frames.tolist() == [0, 1]
    assert camera.flow_backward.frames.tolist() == [1, 2]
    for t in range(FRAMES):
        frame = scene.render(t, colour=False)
        for name, other in (("flow_forward", t + 1), ("flow_backward", t - 1)):
            if camera[name].present[t]:
                truth, flow = getattr(frame, name), camera[name][t]
                np.testing.assert_array_equal(flow, dense_flow(scene, truth, "left", t, other))
                known = ~np.isnan(truth)
                np.testing.assert_array_equal(flow[known], truth[known])


def test_masks_are_the_files_and_the_scenes(dataset: str, trees: dict[str, Path], found):
    scene, name = _scene(), NAMES[dataset][0]
    sequence = found[dataset][name]
    camera, overlaps = sequence.cameras["left"], 0
    for t, frame_id in enumerate(sequence.frame_ids):
        frame = scene.render(t, colour=False)
        bodies = bodies_of(scene, frame, t)
        masks = instance_masks(camera, t)
        stack = read_npy(trees[dataset] / "segmentation" / name / f"{frame_id}.npy")
        np.testing.assert_array_equal(masks, stack[1:])
        np.testing.assert_array_equal(masks, masks_of(frame, bodies, 2))
        for body, mask in zip(bodies, masks, strict=True):
            assert mask[frame.instances == body].all()
        moving = {body for body in bodies if scene.bodies[body].path.moving}
        union = np.any([m for b, m in zip(bodies, masks, strict=True) if b in moving], axis=0)
        assert moving and union[frame.moving > 0].all()
        labels = camera.instances[t]
        np.testing.assert_array_equal(labels > 0, masks.any(axis=0))
        overlaps += (masks.sum(axis=0) > 1).sum()
    assert overlaps > 20 and camera.instances.attrs["counts"] == [
        len(bodies_of(scene, scene.render(t, colour=False), t)) for t in range(FRAMES)
    ]


def test_masks_of_another_type_and_depth(trees: dict[str, Path], found):
    name = NAMES["kitti_vis"][1]
    camera = found["kitti_vis"][name].cameras["right"]
    for t in range(2):
        stack = read_npy(trees["kitti_vis"] / "segmentation" / name / f"{t:010d}.npy")
        assert stack.dtype == np.float32
        np.testing.assert_array_equal(instance_masks(camera, t), stack[1:] > 0)
        np.testing.assert_array_equal(camera.depth[t], _scene(2).render(t, "right").depth)
    assert (
        "depth" not in found["cityscapes_vis"][NAMES["cityscapes_vis"][0]].cameras["left"].streams
    )


def test_a_scene_passes_the_checks(tmp_path: Path):
    scene = SyntheticScene(seed=5, frames=2, height=96, width=312)
    write_raw("kitti_vis", scene, tmp_path / "raw")
    (sequence,) = _converted("kitti_vis", tmp_path / "raw", tmp_path / "out").values()
    report = check(sequence.path)
    assert report.ok, report.table()


def test_what_was_done_to_published_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Size and names of the published sets tell how the images were made."""
    assert vis_scene.PREPARED_SIZE == (256, 832)
    monkeypatch.setattr(vis_scene, "PREPARED_SIZE", (HEIGHT, WIDTH))
    scene = SyntheticScene(seed=1, frames=1, height=HEIGHT, width=WIDTH, objects=0)
    write_raw("cityscapes_vis", scene, tmp_path / "c", first=60, phase=1)
    write_raw("kitti_vis", scene, tmp_path / "k", depth=False, camera="right")
    (city,) = _converted("cityscapes_vis", tmp_path / "c", tmp_path / "co").values()
    facts = city.cameras["left"].transform
    assert (facts["sequence"], facts["run_from_frame"], facts["phase"]) == ("cologne_000078", 60, 1)
    assert facts["resized_to"] == [342, 832] and facts["crop"] == [0, 0, WIDTH, HEIGHT]
    (drive,) = _converted("kitti_vis", tmp_path / "k", tmp_path / "ko").values()
    facts = drive.cameras["right"].transform
    assert facts["sequence"] == "2011_09_26_drive_0001_sync"
    assert (facts["source_camera"], facts["resized_to"]) == ("image_03", [HEIGHT, WIDTH])
    assert drive.cameras["right"].streams == ("rgb", "instances", "instances_overlap")


def test_lists_may_have_any_line_ends(raw: Path, caplog: pytest.LogCaptureFixture):
    first, second = NAMES["kitti_vis"]
    (raw / "train.txt").write_bytes(f"{first}\r\n\r\n  {second}".encode())
    (raw / "val.txt").write_text(f"{second}\n2011_09_28_drive_0001_sync_02\n")
    with caplog.at_level(logging.WARNING):
        specs = kitti_vis.sequences(raw)
    assert [spec.split for spec in specs] == ["train", "train"]
    assert [spec.files["lists"] for spec in specs] == [["train"], ["train", "val"]]
    assert (
        "1 of 2 scenes of val.txt (2011_09_28_drive_0001_sync_02 ...) have no folder" in caplog.text
    )
    for part in ("train", "val"):
        (raw / f"{part}.txt").unlink()
    assert [spec.split for spec in kitti_vis.sequences(raw)] == [None, None]


def test_flows_may_have_any_names(raw: Path, tmp_path: Path):
    scene = NAMES["kitti_vis"][0]
    expected = _converted("kitti_vis", raw, tmp_path / "a")[scene].cameras["left"]
    for kind in ("flow_f", "flow_b"):
        for k, path in enumerate(sorted((raw / kind / scene).iterdir())):
            path.rename(path.with_name(f"pair_{k}.flo"))
    found = _converted("kitti_vis", raw, tmp_path / "b")[scene].cameras["left"]
    for t in range(2):
        np.testing.assert_array_equal(found.flow_forward[t], expected.flow_forward[t])
        np.testing.assert_array_equal(found.flow_backward[t + 1], expected.flow_backward[t + 1])
    for k, path in enumerate(sorted((raw / "flow_b" / scene).iterdir())):
        path.rename(path.with_name(f"{k + 1:010d}.flo"))  # after the later image of each pair
    found = _converted("kitti_vis", raw, tmp_path / "c")[scene].cameras["left"]
    np.testing.assert_array_equal(found.flow_backward[1], expected.flow_backward[1])


def test_root_may_be_a_folder_below(trees: dict[str, Path], dataset: str):
    specs = SOURCES[dataset].sequences(trees[dataset])
    assert SOURCES[dataset].sequences(trees[dataset] / "image") == specs
    assert pickle.loads(pickle.dumps(specs)) == specs


def test_fingerprint_is_of_every_file(raw: Path):
    spec = kitti_vis.sequences(raw)[0]
    before = kitti_vis.fingerprint(spec)
    files = sorted(path for path in raw.glob(f"*/{spec.name}/*"))
    assert len(files) == 3 + 3 + 1 + 3 + 2 + 2
    for path in files:
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert kitti_vis.fingerprint(spec) != before, path
        path.write_bytes(original)


SCENE = NAMES["kitti_vis"][0]
IMAGE, MASKS = f"image/{SCENE}", f"segmentation/{SCENE}"
FORWARD, BACKWARD = f"flow_f/{SCENE}", f"flow_b/{SCENE}"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _put(path: Path, *shape: int, value: float = 0, dtype: type = np.uint8) -> None:
    path.write_bytes(encode_npy(np.full(shape, value, dtype)))


def _background(path: Path) -> None:
    stack = read_npy(path).copy()
    stack[0, 3, 4] = 1
    path.write_bytes(encode_npy(stack))


WRONG = {
    "a flow": (
        lambda r: (r / FORWARD / "0000000001.flo").unlink(),
        f"{FORWARD}/0000000001.flo is missing, and 0 more of the 2 that the images need",
    ),
    "all flow": (lambda r: shutil.rmtree(r / BACKWARD), f"{BACKWARD}/0000000000.flo is missing"),
    "a flow of other names": (
        lambda r: [
            (r / FORWARD / "0000000001.flo").unlink(),
            (r / FORWARD / "0000000000.flo").rename(r / FORWARD / "a.flo"),
        ],
        f"{FORWARD}: expected 2 flows between 3 images, found 1",
    ),
    "masks": (
        lambda r: (r / MASKS / "0000000001.npy").unlink(),
        f"{MASKS}/0000000001.npy is missing, and 0 more of the 3",
    ),
    "intrinsics": (lambda r: (r / IMAGE / "cam.txt").unlink(), f"{IMAGE}/cam.txt is missing"),
    "images": (lambda r: shutil.rmtree(r / IMAGE), f"{IMAGE}: no image FRAME.jpg"),
    "image of depth": (
        lambda r: [
            (r / IMAGE / "0000000002.jpg").unlink(),
            (r / MASKS / "0000000002.npy").unlink(),
            (r / FORWARD / "0000000001.flo").unlink(),
            (r / BACKWARD / "0000000001.flo").unlink(),
        ],
        f"{IMAGE}/0000000002.npy: depth without an image",
    ),
}
DAMAGED = {
    "one image fewer than masks": (
        lambda r: (r / IMAGE / "0000000002.jpg").unlink(),
        f"{MASKS}/0000000002.npy: there is no image for it, and 3 files for 2",
    ),
    "masks of other frames": (
        lambda r: _put(r / MASKS / "0000000003.npy", 1, HEIGHT, WIDTH),
        f"{MASKS}/0000000003.npy: there is no image for it, and 4 files for 3",
    ),
    "too many flows": (
        lambda r: shutil.copy(r / FORWARD / "0000000000.flo", r / FORWARD / "more.flo"),
        f"{FORWARD}: expected 2 flows between 3 images, found 3",
    ),
    "flow of another size": (
        lambda r: (r / FORWARD / "0000000000.flo").write_bytes(encode_flo(np.zeros((9, 9, 2)))),
        "0000000000.flo: expected 156x48 pixels like the images, found 9x9",
    ),
    "masks of another size": (
        lambda r: _put(r / MASKS / "0000000001.npy", 2, 9, 9),
        "0000000001.npy: expected 156x48 pixels like the images, found 9x9",
    ),
    "masks without a place for the background": (
        lambda r: _background(r / MASKS / "0000000001.npy"),
        "expected an empty first channel (background), found 1 pixels in it",
    ),
    "scores instead of masks": (
        lambda r: _put(r / MASKS / "0000000001.npy", 1, HEIGHT, WIDTH, value=0.5, dtype=float),
        "0000000001.npy: expected masks of 0 and 1, found 0.5 to 0.5",
    ),
    "a label map": (
        lambda r: _put(r / MASKS / "0000000001.npy", HEIGHT, WIDTH),
        "expected masks (1 + N, H, W), the first one empty, found uint8 (48, 156)",
    ),
    "masks are cut": (lambda r: _cut(r / MASKS / "0000000002.npy"), "0000000002.npy: npy: "),
    "flow is cut": (lambda r: _cut(r / BACKWARD / "0000000001.flo"), "need 59904 bytes"),
    "image is cut": (lambda r: _cut(r / IMAGE / "0000000001.jpg"), "0000000001.jpg is cut"),
    "a PNG that is called JPEG": (
        lambda r: (r / IMAGE / "0000000001.jpg").write_bytes(
            encode_png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        ),
        "0000000001.jpg: expected an 8-bit JPEG, found a 8-bit PNG",
    ),
    "depth of another size": (
        lambda r: _put(r / IMAGE / "0000000000.npy", 9, 9, dtype=np.float32),
        "0000000000.npy: expected 156x48 pixels like the images, found 9x9",
    ),
    "depth below 0": (
        lambda r: _put(r / IMAGE / "0000000000.npy", HEIGHT, WIDTH, value=-1, dtype=np.float32),
        "expected metres, 0 where there is none, found -1",
    ),
    "depth of whole numbers": (
        lambda r: _put(r / IMAGE / "0000000000.npy", HEIGHT, WIDTH),
        "expected depth (H, W) of floats, found uint8",
    ),
    "intrinsics of another size": (
        lambda r: (r / IMAGE / "cam.txt").write_text("721 0 609 0 721 172 0 0 1"),
        "the principal point 609, 172 is outside the images of 156x48",
    ),
    "intrinsics that are none": (
        lambda r: (r / IMAGE / "cam.txt").write_text("1 2 3"),
        "cam.txt: intrinsics: expected 9 numbers",
    ),
}


@pytest.mark.parametrize("what", [*WRONG, *DAMAGED])
def test_wrong_tree_gives_one_clear_line(raw: Path, what: str):
    breaks, message = {**WRONG, **DAMAGED}[what]
    breaks(raw)
    out = raw.parent / "out"
    found = {r.sequence: r for r in convert("kitti_vis", raw, out, jobs=1).results}
    failed, fine = (found[name] for name in NAMES["kitti_vis"])
    assert (failed.status, fine.status) == ("failed", "converted"), failed
    assert message in failed.message and str(raw) in failed.message and "\n" not in failed.message
    assert [path.name for path in out.glob("*.h5*")] == [f"{fine.sequence}.h5"]
    skipping = convert("kitti_vis", raw, out, jobs=1, skip_incomplete=True).results
    status = {result.sequence: result.status for result in skipping}
    assert status[failed.sequence] == ("skipped" if what in WRONG else "failed")


def test_the_other_set(trees: dict[str, Path]):
    with pytest.raises(SourceError, match="is a scene of cityscapes_vis; convert that"):
        kitti_vis.sequences(trees["cityscapes_vis"])
    with pytest.raises(SourceError, match="is a scene of kitti_vis; convert that"):
        cityscapes_vis.sequences(trees["kitti_vis"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: None, "unpack kitti_256"),
        (lambda r: r.rmdir(), "there is no such folder"),
        (lambda r: (r / "kitti_256.zip").touch(), "unpack kitti_256.zip there first"),
        (lambda r: (r / "flow_f/a").mkdir(parents=True), "there is only flow_f, unpack the images"),
        (lambda r: (r / "leftImg8bit").mkdir(), "this is Cityscapes itself: convert cityscapes"),
        (lambda r: (r / "2011_09_26").mkdir(), "these are KITTI's raw drives: convert kitti_raw"),
        (lambda r: (r / "kitti_256/image").mkdir(parents=True), "name kitti_256 in it"),
    ],
)
def test_no_scene_at_all(tmp_path: Path, make, message: str):
    root = tmp_path / "vis"
    root.mkdir()
    make(root)
    with pytest.raises(SourceError, match="no scene of kitti_vis found") as caught:
        kitti_vis.sequences(root)
    assert message in str(caught.value) and str(root) in str(caught.value)
