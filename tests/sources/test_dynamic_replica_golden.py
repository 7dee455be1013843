"""What the authors' reader of Dynamic Replica gives, out of sequence files alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.conversion import convert
from depthdata.geometry import se3_inverse
from depthdata.sequence import Sequence, open_sequence

KEY = re.compile(r"item(\d+)_(?:len(\d+)_chunk(\d+)_)?(.+)")
VIEWS = ("left", "right")
DISPARITY = 2e-7  # relative: float32 in the authors' chain of cameras


def _converted(case: Path, out: Path) -> list[Sequence]:
    report = convert("dynamic_replica", case, out, jobs=1)
    assert report.ok, report.failed
    return [open_sequence(result.path) for result in report.results]


class Sample:
    """A clip as the authors' class makes it."""

    def __init__(self, sequence: Sequence, first: int, length: int) -> None:
        self.sequence, self.frames = sequence, range(first, first + length)
        self.pair = sequence.stereo_geometry("left", first)
        self.scale = self.pair.fx * self.pair.baseline

    def _both(self, read) -> np.ndarray:
        return np.array([[read(self.sequence.cameras[v], t) for v in VIEWS] for t in self.frames])

    def img(self) -> np.ndarray:
        return self._both(lambda camera, t: np.moveaxis(camera.rgb[t], -1, 0).astype(np.float32))

    def disp(self) -> np.ndarray:
        depth = self._both(lambda camera, t: camera.depth.raw(t).astype(np.float64))
        near = depth < 1e-5
        return -np.where(near, 0, self.scale / np.where(near, 1e-5, depth))[:, :, None]

    def valid_disp(self) -> np.ndarray:
        found = self.disp()[:, :, 0].astype(np.float32)
        return ((np.abs(found) < 512) & (found != 0)).astype(np.float32)

    def mask(self) -> np.ndarray:
        return self._both(lambda camera, t: camera["masks/foreground"][t].astype(np.float32))

    def depth2disp_scale(self) -> float:
        return self.scale

    def depth_frame0_left(self) -> np.ndarray:
        return self.sequence.cameras["left"].depth.raw(self.frames[0]).astype(np.float32)

    def camera(self, view: str, what: str) -> np.ndarray:
        camera = self.sequence.cameras[view]
        T_cam_world = se3_inverse(camera.pose(self.frames[0]))
        K = camera.intrinsics(self.frames[0])
        return {"R": T_cam_world[:3, :3], "t": T_cam_world[:3, 3], "K": K}[what]


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "dynamic_replica*"))
def test_samples_of_the_authors_reader(case: Path, tmp_path: Path):
    sequences = _converted(case, tmp_path)
    expected = np.load(case / "expected.npz")
    compared = set()
    for key in expected.files:
        wanted = expected[key]
        match = KEY.fullmatch(key)
        if match is None:
            assert key == "flow_forward_first_annotation", f"no rule for {key}"
            flow = sequences[0].cameras["left"].flow_forward.raw(0)
            np.testing.assert_array_equal(np.moveaxis(flow, 0, -1).astype(np.float32), wanted)
        else:
            item, length, chunk, name = match.groups()
            frames = int(length) if length else len(expected[f"item{item}_img"])
            sample = Sample(sequences[int(item)], int(chunk or 0) * frames, frames)
            tolerance = 0.0
            if name in ("disp", "depth2disp_scale"):
                found, tolerance = getattr(sample, name)(), DISPARITY
            elif name in ("img", "valid_disp", "mask", "depth_frame0_left"):
                found = getattr(sample, name)()
            else:
                view, what = name.split("_")
                found, tolerance = sample.camera(view, what), 1e-6
            assert np.shape(found) == wanted.shape, key
            np.testing.assert_allclose(
                found, wanted, rtol=tolerance, atol=1e-6 if tolerance == 1e-6 else 0, err_msg=key
            )
            if name == "disp" and not sample.pair.offset:  # ours, where the clip begins
                own = sample.sequence.cameras["left"].disparity[sample.frames[0]]
                seen = expected[key.replace("disp", "valid_disp")][0, 0] > 0
                np.testing.assert_allclose(own[seen], -wanted[0, 0, 0][seen], rtol=2 * DISPARITY)
        compared.add(key)
    assert compared == set(expected.files) and compared


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "dynamic_replica*"))
def test_lengths_names_and_sizes(case: Path, tmp_path: Path):
    facts = json.loads((case.parent / "stereo_readers.json").read_text()).get(case.name)
    if facts is None:
        pytest.skip(f"stereo_readers.json says nothing of {case.name}")
    sequences = _converted(case, tmp_path)
    counted = 0
    for key, count in facts.items():
        if match := re.fullmatch(r"n_items_sample_len_(\d+)(_first_only)?", key):
            chunks = [len(sequence) // int(match[1]) for sequence in sequences]
            assert sum(min(n, 1) if match[2] else n for n in chunks) == count, key
            counted += 1
    assert counted
    first = sequences[0]
    found = [[first.name, [first.cameras[v].height, first.cameras[v].width]] for v in VIEWS]
    assert found == facts["metadata_item0"]
