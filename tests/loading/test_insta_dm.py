"""Insta-DM's samples from converted sequence files alone, against the published loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases
from torch.utils.data import DataLoader

from depthdata.association import by_area, drop_empty, match_masks
from depthdata.codecs.images import encode_png
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.instance_masks import instance_masks
from depthdata.loading.insta_dm import (
    Augmentation,
    InstaDMDataset,
    InstaDMDepthDataset,
    Views,
    imresize,
    stretched,
    to_tensor,
)
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene, write_raw

JPEG = 2 * 2 / 255 + 1e-6  # two levels, where another decoder was used
LISTS = {"ref_img": "ref_imgs", "tgt_insts": "tgt_insts", "ref_insts": "ref_insts"}
STEPS = {
    "noc_f": "seen_0",
    "noc_b": "seen_1",
    "seg0_warped": "fetched_0",
    "seg1_warped": "fetched_1",
    "iou_01": "overlap_01",
    "ch_01": "best_01",
    "iou_10": "overlap_10",
    "ch_10": "best_10",
}
STEP_FILES = golden_cases("readers", "insta_dm_vis*/steps_*_frames_0_1.npz")
SAMPLES = golden_cases("readers", "insta_dm_vis*/expected_mni*.npz")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory):
    """Folder of the sequence files of a golden tree; each tree is converted once."""
    made: dict[Path, Path] = {}

    def folder(case: Path) -> Path:
        if case not in made:
            made[case] = tmp_path_factory.mktemp(case.name)
            report = convert("kitti_vis", case / "tree", made[case], jobs=1)
            assert report.ok, report.failed
        return made[case]

    return folder


@pytest.mark.golden
@pytest.mark.parametrize("file", SAMPLES)
def test_samples_are_those_of_the_published_loader(file: Path, converted):
    expected = dict(np.load(file))
    most = int(file.stem.removeprefix("expected_mni"))
    scenes = (file.parent / "tree" / "train.txt").read_text().splitlines()
    dataset = InstaDMDataset(converted(file.parent), scenes, most=most)
    assert len(dataset) == expected.pop("length")
    samples = list(dataset)
    assert expected
    for key, array in expected.items():
        item, _, field = key.partition("_")
        found = _field(samples[int(item)], field).numpy()
        assert found.shape == array.shape and found.dtype == np.float32, key
        exact = not field.endswith(("_img", "_img_0", "_img_1"))
        np.testing.assert_allclose(found, array, rtol=0, atol=0 if exact else JPEG, err_msg=key)
    for sample in samples:
        product = sample["intrinsics"] @ sample["inv_intrinsics"]
        torch.testing.assert_close(product, torch.eye(3), rtol=0, atol=1e-5)


def _field(sample: dict, field: str) -> torch.Tensor:
    name, _, position = field.rpartition("_")
    return sample[LISTS[name]][int(position)] if position.isdecimal() else sample[field]


@pytest.mark.golden
@pytest.mark.parametrize("file", STEP_FILES)
def test_steps_of_the_association(file: Path, converted):
    expected = dict(np.load(file))
    prefix = file.stem.removeprefix("steps_").removesuffix("_frames_0_1")
    (path,) = converted(file.parent).glob(f"{prefix}_*.h5")
    with open_sequence(path) as sequence:
        camera = sequence.cameras["left"]
        np.testing.assert_array_equal(camera.flow_forward[0], expected["flow_f"])
        np.testing.assert_array_equal(camera.flow_backward[1], expected["flow_b"])
        stacks = [by_area(instance_masks(camera, t)) for t in (0, 1)]
    for k, stack in enumerate(stacks):
        np.testing.assert_array_equal(stack, expected.pop(f"seg{k}_sorted"))
    found = match_masks(*stacks, expected.pop("flow_f"), expected.pop("flow_b"))
    assert set(expected) == set(STEPS)
    for key, array in expected.items():
        value = getattr(found, STEPS[key])
        tolerance = 1e-5 if key.startswith(("seg", "iou")) else 0
        np.testing.assert_allclose(value, array, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.golden
@pytest.mark.parametrize("file", golden_cases("readers", "insta_dm_vis*/removal.npz"))
def test_removal_of_empty_instances(file: Path):
    case = dict(np.load(file))
    cases = sorted({key.partition("_")[0] for key in case}, key=int)
    assert cases
    for k in cases:
        found = drop_empty(case[f"{k}_in_tgt"], case[f"{k}_in_ref"])
        for name, stack in zip(("tgt", "ref"), found, strict=True):
            np.testing.assert_array_equal(stack, case[f"{k}_out_{name}"], err_msg=f"{k} {name}")


@pytest.mark.golden
@pytest.mark.parametrize("folder", golden_cases("readers", "insta_dm_transforms*"))
def test_transforms_are_the_published_ones(folder: Path):
    case = dict(np.load(folder / "case.npz"))
    views = Views(
        tuple(case.pop("images")),
        tuple(np.moveaxis(stack, -1, 0) for stack in case.pop("segms")),
        case.pop("intrinsics"),
    )
    cases = sorted({key.partition("_")[0] for key in case if key[0].isdigit()}, key=int)
    assert cases
    for k in cases:
        flip, x, y, top, left = case.pop(f"{k}_draws")
        found = (views.flipped() if flip else views).enlarged((x, y), (int(top), int(left)))
        np.testing.assert_array_equal(found.images, case.pop(f"{k}_images"), err_msg=k)
        stacks = np.moveaxis(np.stack(found.stacks), 1, -1)
        np.testing.assert_array_equal(stacks, case.pop(f"{k}_segms"), err_msg=k)
        np.testing.assert_allclose(found.intrinsics, case.pop(f"{k}_intrinsics"), atol=1e-4)
    png = case.pop("png")
    for key in [key for key in case if key.startswith("imresize_uint8")]:
        size = tuple(int(n) for n in key.rpartition("_")[2].split("x"))
        np.testing.assert_array_equal(imresize(png, size), case.pop(key), err_msg=key)
    # How test images are resized belongs to the model: tests/zoo/models. What follows is the same.
    (resized,) = (case.pop(key) for key in list(case) if "skimage" in key and "resize" in key)
    (tensor,) = (case.pop(key) for key in list(case) if key.endswith("input_tensor"))
    np.testing.assert_allclose(to_tensor(resized)[None], tensor, rtol=0, atol=1e-6)
    assert not case, list(case)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of KITTI-VIS, one of them too short for a sample."""
    root = tmp_path_factory.mktemp("street")
    for number, frames, part in ((1, 4, "train"), (2, 2, "train"), (3, 3, "val")):
        scene = SyntheticScene(seed=number, frames=frames, height=48, width=156, objects=6)
        drive = f"2011_09_26_drive_{number:04d}_sync"
        write_raw("kitti_vis", scene, root / "raw", drive=drive, part=part, depth=part == "val")
    report = convert("kitti_vis", root / "raw", root / "out", jobs=1)
    assert report.ok, report.failed
    return root / "out"


def _scene(number: int, frames: int) -> SyntheticScene:
    return SyntheticScene(seed=number, frames=frames, height=48, width=156, objects=6)


def test_instances_of_a_sample_are_one_body_each(street: Path):
    scene, dataset = _scene(1, 4), InstaDMDataset(street, split="train", most=4)
    assert len(dataset) == 2
    for sample in dataset:
        assert sample["index"]["sequence"] == "2011_09_26_drive_0001_sync_02"
        t = sample["index"]["frame"]
        now = scene.render(t, colour=False).instances
        for j, other in enumerate((t - 1, t + 1)):
            there = scene.render(other, colour=False).instances
            target, reference = sample["tgt_insts"][j], sample["ref_insts"][j]
            count = int(target[0, 0, 0])
            assert count >= 2 and (target[0] == count).all() and (reference[0] == count).all()
            assert not target[count + 1 :].any() and not reference[count + 1 :].any()
            for one, two in zip(target[1 : count + 1], reference[1 : count + 1], strict=True):
                assert _body(now, one) == _body(there, two) > 0


def _body(instances: np.ndarray, mask: torch.Tensor) -> int:
    return int(np.bincount(instances[mask.numpy() > 0]).argmax())


def test_lists_and_splits_choose_the_scenes(street: Path):
    names = [f"2011_09_26_drive_{n:04d}_sync_02\n" for n in (3, 1)]
    dataset = InstaDMDataset(street, names)
    assert [s["index"]["sequence"] + "\n" for s in dataset] == [names[0], names[1], names[1]]
    assert [s["index"]["frame_id"] for s in dataset] == [f"{t:010d}" for t in (1, 1, 2)]
    assert len(InstaDMDataset(street)) == 3 and len(InstaDMDataset(street, split="val")) == 1
    with pytest.raises(UsageError, match="no scene of test; there are 2011_09_26_drive_0001"):
        InstaDMDataset(street, split="test")
    with pytest.raises(UsageError, match="no scene nowhere; there are"):
        InstaDMDataset(street, ["nowhere"])
    with pytest.raises(IndexError, match="sample 3 of 3"):
        dataset[3]


def test_other_datasets_are_refused(tmp_path: Path):
    path = tmp_path / "street.h5"
    with SequenceWriter(path, dataset="mine", sequence="street") as writer:
        writer.timeline([0, 1, 2], ["a", "b", "c"])
        camera = writer.camera("left", height=2, width=3, intrinsics=np.eye(3))
        blobs = [encode_png(np.full((2, 3, 3), t, np.uint8)) for t in range(3)]
        camera.encoded("rgb", blobs, [len(blob) for blob in blobs], encoding="png")
    with pytest.raises(UsageError, match=r"no stream flow_forward, .* convert the prepared set"):
        InstaDMDataset(path)
    with pytest.raises(UsageError, match="no frame has depth"):
        InstaDMDepthDataset(path)


def test_augmentation_repeats_and_keeps_things_together(street: Path):
    plain = InstaDMDataset(street, split="train", most=3)
    dataset = InstaDMDataset(street, split="train", most=3, augment=Augmentation(), seed=4)
    first, again = dataset[1], dataset[1]
    torch.testing.assert_close(first["tgt_img"], again["tgt_img"], rtol=0, atol=0)
    dataset.set_epoch(1)
    assert not torch.equal(first["tgt_img"], dataset[1]["tgt_img"])
    assert first["tgt_img"].shape == plain[1]["tgt_img"].shape
    for image in (first["tgt_img"], *first["ref_imgs"]):
        assert image.min() >= -1 and image.max() <= 1
    K, original = first["intrinsics"], plain[1]["intrinsics"]
    assert K[0, 0] > original[0, 0] and K[1, 1] > original[1, 1]
    (workers,) = DataLoader(
        InstaDMDataset(street, split="train", most=3, augment=Augmentation(), seed=4),
        batch_size=2,
        num_workers=1,
    )
    torch.testing.assert_close(workers["tgt_img"][1], first["tgt_img"], rtol=0, atol=0)
    assert workers["tgt_insts"][0].shape == (2, 4, 48, 156)


def test_a_point_of_an_instance_stays_with_its_camera(street: Path):
    """What the intrinsics say of the middle of an instance holds after an enlargement."""
    sample = InstaDMDataset(street, split="train", most=1)[0]
    stack, K = sample["tgt_insts"][0].numpy(), sample["intrinsics"].numpy()
    image = np.zeros((48, 156, 3), np.uint8)
    views = Views((image,), (stack.astype(np.uint8),), K).enlarged((1.1, 1.05), (1, 3))
    for axis, (old, new) in enumerate(zip(_middle(stack), _middle(views.stacks[0]), strict=True)):
        ray = (old + 0.5 - K[axis, 2]) / K[axis, axis]
        L = views.intrinsics
        assert new + 0.5 == pytest.approx(ray * L[axis, axis] + L[axis, 2], abs=0.7)


def _middle(stack: np.ndarray) -> tuple[float, float]:
    row, column = np.nonzero(stack[1])
    return float(column.mean()), float(row.mean())


def test_without_the_stretch_colours_stay():
    image = np.linspace(50, 99, 48 * 156 * 3).reshape(48, 156, 3)
    views = Views((image,), (), np.eye(3, dtype=np.float32))
    kept, changed = (
        views.enlarged((1.0, 1.0), (0, 0), stretch=stretch).images[0] for stretch in (False, True)
    )
    assert np.abs(kept - image).max() <= 0.5
    assert (changed.min(), changed.max()) == (0, 255)
    assert (stretched(np.full((2, 2, 3), 7.0)) == 0).all()  # one colour: nothing to divide by


def test_validation_with_depth(street: Path):
    dataset = InstaDMDepthDataset(street, split="val")
    scene = _scene(3, 3)
    assert len(dataset) == 3
    for t, sample in enumerate(dataset):
        frame = scene.render(t, colour=False)
        np.testing.assert_array_equal(sample["depth"], np.nan_to_num(frame.depth))
        assert (sample["mask"][torch.from_numpy(frame.instances > 0)] == 1).all()
        assert sample["img"].shape == (3, 48, 156) and sample["index"]["frame"] == t
    assert len(InstaDMDepthDataset(street)) == 3
