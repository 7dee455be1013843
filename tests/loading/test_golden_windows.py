"""Windows of converted trees, as the authors' classes give them."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthdata.conversion import convert
from depthdata.loading import SequenceDataset
from depthdata.sequence import open_sequence
from depthdata.sources import sceneflow
from depthdata.windows import Listed, load_windows

VIEWS = ("left", "right")


def both(sample: dict[str, torch.Tensor], name: str) -> np.ndarray:
    """A stream of both views as the authors stack it: (T, 2, ...)."""
    return np.stack([sample[name].numpy(), sample[f"right_{name}"].numpy()], axis=1)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "dynamic_replica*"))
def test_first_chunks_of_dynamic_replica(case: Path, tmp_path: Path) -> None:
    report = convert("dynamic_replica", case, tmp_path, jobs=1)
    assert report.ok
    files = [open_sequence(result.path) for result in report.results]
    expected = np.load(case / "expected.npz")
    items = sorted(key for key in expected.files if re.fullmatch(r"item\d+_img", key))
    rule = load_windows("dynamic_replica/test_40", sample_len=len(expected[items[0]]))
    # in the order of the annotation, which the authors keep
    clips = rule.resolve([(file.name, file.split, len(file)) for file in files])
    streams = ("rgb", "depth", "masks/foreground")
    dataset = SequenceDataset(tmp_path, split=clips, cameras=VIEWS, streams=streams)
    assert len(dataset) == len(items)
    for i in range(len(items)):
        item = f"item{i}_img"
        sample = dataset[i]
        np.testing.assert_array_equal(both(sample, "rgb"), expected[item])
        masks = both(sample, "masks_foreground")
        np.testing.assert_allclose(masks, expected[item.replace("img", "mask")], rtol=1e-6)
        # the authors use the cameras of the first frame for the whole window
        scale = float(sample["intrinsics"][0, 0, 0].double() * sample["baselines"][0].double())
        depth = both(sample, "depth")
        far = depth >= 1e-5
        disparity = np.where(far, scale / np.where(far, depth, 1), 0)
        wanted = -expected[item.replace("img", "disp")][:, :, 0]
        np.testing.assert_allclose(disparity, wanted, rtol=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "dynamic_replica*"))
def test_number_of_chunks(case: Path, tmp_path: Path) -> None:
    facts = json.loads((case.parent / "stereo_readers.json").read_text()).get(case.name)
    if facts is None:
        pytest.skip(f"stereo_readers.json says nothing of {case.name}")
    assert convert("dynamic_replica", case, tmp_path, jobs=1).ok
    first = [re.fullmatch(r"n_items_sample_len_(\d+)_first_only", key) for key in facts]
    lengths = [int(match[1]) for match in first if match]
    assert lengths
    for length in lengths:
        rule = load_windows("dynamic_replica/test_40", sample_len=length)
        dataset = SequenceDataset(tmp_path, split=rule)
        assert len(dataset) == facts[f"n_items_sample_len_{length}_first_only"]


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "sceneflow*"))
def test_selection_from_a_tree_of_flyingthings(
    case: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The toy tree of the golden file: only names matter, so its files are empty."""
    facts = json.loads((case / "selection.json").read_text())
    count = facts["frames_per_sequence"]
    top = tmp_path / "FlyingThings3D"
    for part in ("train", "test"):
        for i in range(facts[f"{part}_sequences"]):
            clip = f"{part.upper()}/{'ABC'[i % 3]}/{i:04d}"
            for view in VIEWS:
                for folder, suffix in (("frames_cleanpass", "png"), ("disparity", "pfm")):
                    place = top / folder / clip / view
                    place.mkdir(parents=True)
                    for t in range(6, 6 + count):
                        (place / f"{t:04d}.{suffix}").touch()
    specs = {spec.name: spec for spec in sceneflow.sequences(tmp_path)}
    listed = [Listed(spec.name, spec.split, count) for spec in specs.values()]
    for part in ("train", "test"):
        rule = load_windows(f"flyingthings3d/dynamic_stereo_{part}", sample_len=facts["sample_len"])
        with caplog.at_level(logging.WARNING):
            clips = rule.resolve(listed)
        assert "the permutation is another one" in caplog.text
        samples = []
        for clip in clips:
            files = specs[clip.sequence].files
            folder = f"FlyingThings3D/frames_cleanpass/{files['clip']}/left"
            names = files["frames"]["rgb"]["left"]
            samples.append([f"{folder}/{names[t]}.png" for t in clip.frames])
        assert len(samples) == facts[f"n_{part}_samples"]
        first = facts[f"first_{part}_samples"]
        assert samples[: len(first)] == first
        used = sorted({files[0].rpartition("/")[0] for files in samples})
        assert used == facts[f"{part}_sequences_used"]
