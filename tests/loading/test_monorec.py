"""Samples of the multi-frame papers from a converted sequence file alone, against their loader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthdata.aspect_crop import AspectCrop
from depthdata.conversion import convert
from depthdata.loading.monorec import MonoRecDataset, monorec_offsets

LISTS = {"frame": "frames", "pose": "poses", "intrinsics": "intrinsics"}


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "kitti_odometry*"))
def test_samples_are_those_of_the_published_loader(case: Path, tmp_path: Path):
    meta = json.loads((case / "meta.json").read_text())
    expected = dict(np.load(case / "expected.npz"))
    (result,) = convert("kitti_odometry", case / "tree", tmp_path, jobs=1).results
    assert result.status == "converted" and result.sequence == meta["sequence"], result.message
    size = tuple(meta["target_image_size"])
    dataset = MonoRecDataset(
        tmp_path, [meta["sequence"]], size=size, frame_count=meta["frame_count"]
    )
    assert len(dataset) == expected.pop("length") == meta["dataset_size"]
    crop = AspectCrop(tuple(int(n) for n in _image_size(dataset)), size)
    np.testing.assert_array_equal(crop.box, expected.pop("crop_box"))
    samples = list(dataset)
    assert expected
    for key, array in expected.items():
        item, _, field = key.partition("_")
        found = _field(samples[int(item)], field).numpy()
        assert found.dtype == array.dtype and found.shape == array.shape, key
        if field.startswith(("keyframe_intrinsics", "intrinsics")):
            np.testing.assert_allclose(found, array, rtol=1e-5, atol=0, err_msg=key)
        elif field == "keyframe" or field.startswith("frame_"):
            np.testing.assert_allclose(found, array, rtol=0, atol=1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(found, array, err_msg=key)


def _image_size(dataset: MonoRecDataset) -> tuple[int, int]:
    from depthdata.sequence import open_sequence

    with open_sequence(dataset.frames.paths[0]) as sequence:
        camera = sequence.cameras["left"]
        return camera.height, camera.width


def _field(sample: dict, field: str) -> torch.Tensor:
    name, _, position = field.rpartition("_")
    if position.isdecimal():
        assert len(sample[LISTS[name]]) == len(monorec_offsets())
        return sample[LISTS[name]][int(position)]
    return sample[field]
