"""MPI Sintel: what the published readers give, out of the sequence file; truth; real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.codecs.flo import read_flo
from depthdata.codecs.sintel import valid_disparity, wrapped_disparity
from depthdata.conversion import convert
from depthdata.exporting import export
from depthdata.sequence import Sequence, open_sequence
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.sintel import sintel_pair


def _sequences(root: Path, out: Path) -> dict[str, Sequence]:
    report = convert("sintel", root, out, jobs=1)
    assert report.ok, report.failed
    opened = [open_sequence(result.path) for result in report.results]
    return {sequence.name: sequence for sequence in opened}


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "sintel_stereo*"))
def test_golden_readers_from_the_sequence_file_alone(case: Path, tmp_path: Path):
    sequences = _sequences(next(p for p in case.iterdir() if p.is_dir()), tmp_path)
    expected = dict(np.load(case / "expected.npz"))
    compared = {"dpt_depth"}  # a file of its own, read by the test of the codec
    for name, sequence in sequences.items():
        left = sequence.cameras["left"]
        for t, frame in enumerate(sequence.frame_ids):
            disparity, hidden = (left[s].raw(t) for s in ("disparity", "masks/occluded"))
            wrapped = wrapped_disparity(disparity)
            found = {
                "disp": np.nan_to_num(disparity, nan=0.0),
                "valid": valid_disparity(disparity, hidden),
                "disp_raft_stereo_wrapping": wrapped,
                "valid_raft_stereo": valid_disparity(wrapped, hidden),
            }
            for what, value in found.items():
                key = f"{name}_{int(frame[6:])}_{what}"
                np.testing.assert_array_equal(value, expected[key], err_msg=key)
                compared.add(key)
    for i, sequence in enumerate(sequences.values()):  # sorted by name, as the class has them
        if f"dataset_item{i}_img" not in expected:
            continue
        left, right = sequence.cameras["left"], sequence.cameras["right"]
        times = range(len(sequence.frame_ids))
        images = [[np.moveaxis(view.rgb[t], -1, 0) for view in (left, right)] for t in times]
        disparity = np.stack([np.nan_to_num(left["disparity"].raw(t), nan=0.0) for t in times])
        seen = [left["masks/occluded"].raw(t) for t in times]
        valid = np.stack([valid_disparity(d, s) for d, s in zip(disparity, seen, strict=True)])
        item = {"img": np.array(images, np.float32), "disp": disparity, "valid_disp": valid}
        for what, value in item.items():
            key = f"dataset_item{i}_{what}"
            want = expected[key]
            sign = -1 if what == "disp" else 1  # the class has x-flow
            np.testing.assert_array_equal(sign * value.reshape(want.shape), want, err_msg=key)
            compared.add(key)
    assert compared == set(expected)


def test_synthetic_truth_comes_back(tmp_path: Path):
    scene = SyntheticScene(seed=4, frames=3, height=48, width=96)
    write_raw("sintel", scene, tmp_path / "raw")
    (sequence,) = _sequences(tmp_path / "raw", tmp_path / "out").values()
    left, right = sequence.cameras["left"], sequence.cameras["right"]
    (pair,) = sequence.stereo_pairs
    assert pair.baseline == 0.1
    truth = sintel_pair(scene)
    for t in range(3):
        frame = truth.render(t, "left")
        np.testing.assert_array_equal(left.rgb[t], frame.rgb)
        np.testing.assert_array_equal(right.rgb[t], truth.render(t, "right").rgb)
        np.testing.assert_array_equal(left.depth[t], frame.depth)
        product = left.disparity[t] * left.depth[t]
        seen = np.isfinite(product)
        scale = left.intrinsics(t)[0, 0] * pair.baseline
        error = np.abs(product[seen] - scale) / left.depth[t][seen]  # in pixels of disparity
        assert seen.mean() > 0.5 and error.max() < 1 / 16384 + 1e-5
        np.testing.assert_allclose(left.pose(t), truth.T_world_cam("left")[t], atol=1e-12)


@pytest.mark.realdata
def test_real_frames(realdata: Path, tmp_path: Path):
    root = realdata / "sintel"
    (sequence,) = _sequences(root, tmp_path / "out").values()
    assert sequence.name == "alley_1" and sequence.frame_ids == tuple(
        f"frame_{n:04d}" for n in range(1, 5)
    )
    left = sequence.cameras["left"]
    for t, frame in enumerate(sequence.frame_ids):
        for stream, folder in (("rgb", "clean"), ("rgb_final", "final")):
            original = root / "training" / folder / "alley_1" / f"{frame}.png"
            assert left[stream].blob(t) == original.read_bytes()
    flow = left["flow_forward"]
    assert flow.frames.tolist() == [1]
    original = read_flo(root / "training/flow/alley_1/frame_0002.flo")
    np.testing.assert_array_equal(np.moveaxis(flow.raw(1), 0, -1), original)
    export(tmp_path / "out", tmp_path / "exported")
    (again,) = _sequences(tmp_path / "exported", tmp_path / "again").values()
    assert again.digest == sequence.digest
