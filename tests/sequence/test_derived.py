"""Depth from disparity and back, validity kept apart, baselines that vary."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import SequenceWriter, StereoGeometry, open_sequence

H, W, T = 6, 8, 3
LEFT = np.array([[100.0, 0, 3.0], [0, 100, 2.5], [0, 0, 1]])
RIGHT = np.array([[100.0, 0, 5.0], [0, 100, 2.5], [0, 0, 1]])


def write(path: Path, *, baseline=0.25, right=RIGHT, left=LEFT, **streams) -> Path:
    with SequenceWriter(path, dataset="d", sequence="s") as writer:
        writer.timeline(np.arange(T), [str(t) for t in range(T)])
        writer.stereo_pair("left", "right", baseline)
        for name, K in (("left", left), ("right", right)):
            camera = writer.camera(name, height=H, width=W, intrinsics=K)
            for stream, (frames, facts) in streams.items():
                camera.dense(stream, frames, **facts)
    return path


def maps(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = [rng.uniform(1, 50, (H, W)).astype(np.float32) for _ in range(T)]
    out[0][1, 2] = np.nan
    return out


def test_depth_follows_from_disparity_with_shifted_principal_points(tmp_path: Path) -> None:
    disparity = maps()
    disparity[1][3, 3] = -3.0  # behind infinity even with the offset of 2
    path = write(tmp_path / "x.h5", disparity=(disparity, {"missing": "nan"}))
    with open_sequence(path) as sequence:
        for name in ("left", "right"):
            camera = sequence.cameras[name]
            assert camera.streams == ("disparity",)
            assert camera.derived == ("depth",)
            depth = camera.depth
            assert (depth.kind, depth.unit, depth.dtype, depth.shape) == (
                *("derived", "m", np.float32),
                (H, W),
            )
            for t in range(T):
                d = disparity[t].astype(np.float64) + 2.0
                expected = np.where(d > 0, 100 * 0.25 / np.where(d > 0, d, 1), np.nan)
                np.testing.assert_array_equal(depth[t], expected.astype(np.float32))
            assert np.isnan(camera["depth"][0][1, 2])
            assert np.isnan(camera["depth"][1][3, 3])
        assert sequence.stereo_geometry("right", 0) == StereoGeometry(100.0, 0.25, 2.0)


def test_disparity_follows_from_half_float_depth_to_the_last_place(tmp_path: Path) -> None:
    depth = [m.astype(np.float16) for m in maps(1)]
    depth[2][0, 0] = 0
    path = write(tmp_path / "x.h5", right=LEFT, depth=(depth, {"dtype": "f2", "missing": "nan"}))
    with open_sequence(path) as sequence:
        camera = sequence.cameras["left"]
        for t in range(T):
            z = depth[t].astype(np.float64)
            with np.errstate(divide="ignore"):
                expected = np.where(z > 0, 25.0 / z, np.nan).astype(np.float32)
            np.testing.assert_allclose(camera.disparity[t], expected, rtol=1.3e-7)
        assert np.isnan(camera.disparity[2][0, 0])
        out = np.empty((H, W), np.float32)
        camera.disparity.read_into(1, out)
        np.testing.assert_array_equal(out, camera.disparity[1])
        again = pickle.loads(pickle.dumps(sequence))
        np.testing.assert_array_equal(again.cameras["left"].disparity[1], out)


def test_calibration_and_baseline_of_each_frame(tmp_path: Path) -> None:
    focal = np.stack([LEFT * [[s], [s], [1]] for s in (1.0, 2.0, 3.0)])
    baselines = np.array([0.1, 0.2, 0.4])
    path = write(
        tmp_path / "x.h5",
        baseline=baselines,
        left=focal,
        right=focal,
        depth=(maps(2), {"missing": "nan"}),
    )
    with open_sequence(path) as sequence:
        (pair,) = sequence.stereo_pairs
        assert [pair.at(t) for t in range(T)] == baselines.tolist()
        assert pair.baseline == 0.1
        camera = sequence.cameras["right"]
        for t, (s, b) in enumerate(zip((1, 2, 3), baselines, strict=True)):
            np.testing.assert_allclose(
                camera.disparity[t], 100 * s * b / maps(2)[t].astype(float), rtol=1.3e-7
            )
        first = sequence.stereo_geometry("left", 0)
        np.testing.assert_allclose(
            first.disparity(camera.depth[2]), 10 / maps(2)[2].astype(float), rtol=1e-12
        )


def test_a_constant_baseline_needs_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", baseline=np.full(T, 0.25), depth=(maps(), {"missing": "nan"}))
    with open_sequence(path) as sequence:
        assert sequence.stereo_pairs[0].baselines is None
    with pytest.raises(UsageError, match="baseline"):
        write(tmp_path / "y.h5", baseline=[0.1, 0.2], depth=(maps(), {"missing": "nan"}))
    with pytest.raises(UsageError, match="above 0"):
        write(tmp_path / "y.h5", baseline=[0.1, 0.0, 0.1], depth=(maps(), {"missing": "nan"}))
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


def test_nothing_is_derived_without_a_pair_or_where_both_are_stored(tmp_path: Path) -> None:
    both = {"depth": (maps(), {"missing": "nan"}), "disparity": (maps(), {"missing": "nan"})}
    with open_sequence(write(tmp_path / "x.h5", **both)) as sequence:
        assert sequence.cameras["left"].derived == ()
    with SequenceWriter(tmp_path / "y.h5", dataset="d", sequence="s") as writer:
        writer.timeline([0], ["a"])
        camera = writer.camera("left", height=H, width=W, intrinsics=LEFT)
        camera.dense("depth", maps()[:1], missing="nan")
    with open_sequence(tmp_path / "y.h5") as sequence:
        with pytest.raises(UsageError, match="belongs to no stereo pair"):
            sequence.stereo_geometry("left", 0)
        with pytest.raises(UsageError, match="no stream 'disparity'; there are depth"):
            sequence.cameras["left"]["disparity"]


def test_validity_kept_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    flow = [rng.integers(-500, 500, (2, H, W)).astype(np.int16) for _ in range(2)]
    valid = [rng.integers(0, 2, (H, W)).astype(np.uint8)]
    with SequenceWriter(tmp_path / "x.h5", dataset="d", sequence="s") as writer:
        writer.timeline(np.arange(T), ["a", "b", "c"])
        camera = writer.camera("left", height=H, width=W, intrinsics=LEFT)
        camera.dense("flow_forward", flow, dtype="i2", scale=1 / 64, frame_index=[0, 2])
        camera.dense("flow_forward_valid", valid, dtype="u1", frame_index=[0])
    with open_sequence(tmp_path / "x.h5") as sequence:
        camera = sequence.cameras["left"]
        expected = np.where(valid[0] > 0, flow[0] / 64, np.nan)
        np.testing.assert_array_equal(camera.flow_forward[0], expected.astype(np.float32))
        np.testing.assert_array_equal(camera.flow_forward[2], (flow[1] / 64).astype(np.float32))
        np.testing.assert_array_equal(camera.flow_forward.raw(0), flow[0])
        np.testing.assert_array_equal(camera.flow_forward_valid[0], valid[0])
        assert camera.flow_forward.attrs["unit"] == "px"


def test_digest_is_of_the_content_not_of_where_it_came_from(tmp_path: Path) -> None:
    digests = set()
    for source in ("xxh3:1", "xxh3:2"):
        path = tmp_path / f"{source[-1]}.h5"
        with SequenceWriter(path, dataset="d", sequence="s", source_fingerprint=source) as writer:
            writer.timeline([0], ["a"])
            camera = writer.camera("left", height=H, width=W, intrinsics=LEFT)
            camera.dense("depth", maps()[:1], missing="nan")
        with open_sequence(path) as sequence:
            digests.add(sequence.digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "quantity", "unit"),
    [
        ("disparity_y", "disparity", "px"),
        ("disparity_next", "disparity", "px"),
        ("disparity_change_forward", "disparity", "px"),
        ("materials", "class id", ""),
    ],
)
def test_quantities(tmp_path: Path, name: str, quantity: str, unit: str) -> None:
    path = write(tmp_path / "x.h5", **{name: (np.ones((T, H, W), np.uint8), {"dtype": "u1"})})
    with open_sequence(path) as sequence:
        attrs = sequence.cameras["left"][name].attrs
        assert (attrs["quantity"], attrs["unit"]) == (quantity, unit)


@pytest.mark.parametrize("unknown", ["baseline", "intrinsics"])
def test_a_pair_whose_calibration_is_not_told(tmp_path: Path, unknown: str) -> None:
    with SequenceWriter(tmp_path / "x.h5", dataset="d", sequence="s") as writer:
        writer.timeline([0], ["a"])
        writer.stereo_pair("left", "right", None if unknown == "baseline" else 0.5)
        for name in ("left", "right"):
            facts = {"intrinsics": "unknown"} if unknown == "intrinsics" else None
            camera = writer.camera(name, height=H, width=W, intrinsics=LEFT, transform=facts)
            camera.dense("disparity", maps()[:1], missing="nan")
    with open_sequence(tmp_path / "x.h5") as sequence:
        (pair,) = sequence.stereo_pairs
        assert (pair.left, pair.right) == ("left", "right")
        assert np.isnan(pair.baseline) == (unknown == "baseline")
        assert sequence.cameras["left"].derived == ()
        assert sequence.cameras["left"].calibrated == (unknown == "baseline")
        with pytest.raises(UsageError, match="tells no calibration of left and right"):
            sequence.stereo_geometry("left", 0)
