"""Insta-DM's samples from converted sequence files alone, against the published loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthdata.association import by_area, drop_empty, match_masks
from depthdata.conversion import convert
from depthdata.instance_masks import instance_masks
from depthdata.loading.insta_dm import InstaDMDataset, Views, imresize, to_tensor
from depthdata.sequence import open_sequence

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
