"""What was written is read back exactly, from any process and thread; wrong files are refused."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash

from depthdata.errors import AbsentFrameError, FormatError, UsageError
from depthdata.sequence import MISSING_TIME, SequenceWriter, StereoPair, open_sequence


def test_sequence_states_where_it_comes_from(clip: Any) -> None:
    path, truth = clip
    sequence = open_sequence(path)
    assert (sequence.dataset, sequence.name, sequence.split) == ("toy", "clip", "train")
    assert sequence.licence == "CC0-1.0"
    assert sequence.converter == "toy 1"
    assert sequence.source_fingerprint == "xxh3:0123"
    assert sequence.attrs == {"rig": {"cameras": 2}, "rate": 10.0}
    assert len(sequence) == len(truth.times)
    np.testing.assert_array_equal(sequence.timestamps, truth.times)
    assert list(sequence.frame_ids) == truth.names
    assert list(sequence.cameras) == ["left", "right"]
    assert sequence.stereo_pairs == (StereoPair("left", "right", 0.54),)


def test_camera_geometry(clip: Any) -> None:
    path, truth = clip
    camera = open_sequence(path).cameras["left"]
    assert (camera.height, camera.width, camera.model) == (24, 40, "pinhole")
    assert camera.transform == {"crop": [0, 1]}
    assert camera.intrinsics(3)[0].tolist() == [30, 0, 19.5]
    np.testing.assert_array_equal(camera.poses, truth.poses)
    np.testing.assert_array_equal(camera.pose(1), truth.poses[1])
    assert np.isnan(camera.pose(2)).all()
    with pytest.raises(IndexError):
        camera.pose(4)


def test_pictures(clip: Any) -> None:
    path, truth = clip
    for name in ("left", "right"):
        rgb = open_sequence(path).cameras[name].rgb
        assert (rgb.kind, rgb.shape, rgb.dtype) == ("encoded", (24, 40, 3), np.uint8)
        for t, image in enumerate(truth.images[name]):
            assert rgb.blob(t) == truth.blobs[name][t]
            np.testing.assert_array_equal(rgb[t], image)
            out = np.zeros_like(image)
            rgb.read_into(t, out)
            np.testing.assert_array_equal(out, image)


def test_dense_streams(clip: Any) -> None:
    path, truth = clip
    camera = open_sequence(path).cameras["left"]
    for t in range(len(truth.times)):
        np.testing.assert_array_equal(camera.disparity[t], truth.disparity[t])
        np.testing.assert_array_equal(camera.depth_png.raw(t), truth.depth16[t])
        expected = np.where(truth.depth16[t] == 0, np.nan, truth.depth16[t] / 256)
        np.testing.assert_array_equal(camera.depth_png[t], expected.astype(np.float32))
    assert camera.disparity.unit == "px"
    assert camera.flow_forward[1].shape == (2, 24, 40)
    np.testing.assert_array_equal(camera.flow_forward[-2], truth.flow[2])


def test_streams_that_are_there_for_some_frames_only(clip: Any) -> None:
    path, truth = clip
    camera = open_sequence(path).cameras["left"]
    moving = camera["masks/moving"]
    assert moving.present.tolist() == [False, True, False, True]
    assert moving.frames.tolist() == [1, 3]
    assert moving[3].dtype == np.uint8
    np.testing.assert_array_equal(moving[3], truth.moving[1])
    with pytest.raises(AbsentFrameError, match="frame 2"):
        moving[2]
    with pytest.raises(IndexError):
        moving[4]
    assert camera.rgb.present.all()


def test_points(clip: Any) -> None:
    path, truth = clip
    camera = open_sequence(path).cameras["left"]
    for t, expected in enumerate(truth.lidar):
        found = camera.depth.points(t)
        assert found.columns().keys() == {"x", "y", "value", "sensor"}
        for name, column in expected.columns().items():
            np.testing.assert_array_equal(getattr(found, name), column)
        np.testing.assert_array_equal(camera.depth[t], expected.to_dense(24, 40))
    assert np.isnan(camera.depth[1]).all()
    np.testing.assert_array_equal(camera.depth.attrs["projection"], np.eye(3, 4))
    for t, expected in enumerate(truth.pixels):
        np.testing.assert_array_equal(camera.depth_pixels[t], expected.to_dense(24, 40))


def test_tracks_and_objects(clip: Any) -> None:
    path, truth = clip
    sequence = open_sequence(path)
    tracks = sequence.tracks["left"]
    assert list(sequence.tracks) == ["left"]
    for found, expected in zip(
        (tracks.xy, tracks.visible, tracks.xyz_world), truth.tracks, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    objects = sequence.objects
    assert objects is not None
    for name, expected in truth.objects.items():
        np.testing.assert_array_equal(getattr(objects, name), expected)
    assert objects.at(0).category.tolist() == ["car", "Fußgänger"]


def test_the_digest_does_not_depend_on_the_compression(tmp_path: Path, clip_writer: Any) -> None:
    clip_writer(tmp_path / "a.h5")
    clip_writer(tmp_path / "b.h5", "portable")
    assert open_sequence(tmp_path / "a.h5").digest == open_sequence(tmp_path / "b.h5").digest


def test_names_that_are_not_there(clip: Any) -> None:
    camera = open_sequence(clip[0]).cameras["left"]
    assert not hasattr(camera, "flow_backward")
    with pytest.raises(UsageError, match="no stream 'flow_backward'; there are rgb, depth"):
        camera["flow_backward"]


def test_times_may_be_unknown_and_differ_by_camera(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with SequenceWriter(path, dataset="d", sequence="s") as writer:
        writer.timeline([MISSING_TIME, 5], ["a", "b"])
        writer.camera("back", height=1, width=1, intrinsics=np.eye(3), timestamps=[1, 7])
        writer.camera("front", height=1, width=1, intrinsics=np.tile(np.eye(3), (2, 1, 1)))
    sequence = open_sequence(path)
    assert sequence.timestamps.tolist() == [MISSING_TIME, 5]
    assert sequence.cameras["back"].timestamps.tolist() == [1, 7]
    assert sequence.cameras["front"].timestamps.tolist() == [MISSING_TIME, 5]
    assert sequence.cameras["front"].intrinsics(1).tolist() == np.eye(3).tolist()
    assert np.isnan(sequence.cameras["back"].pose(0)).all()
    assert sequence.objects is None
    assert not sequence.tracks


def _sum_of_frames(sequence: Any) -> int:
    left = sequence.cameras["left"]
    return int(sum(int(left.rgb[t].sum()) + len(left.depth.points(t)) for t in range(4)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_sequence_travels_to_other_processes(clip: Any, method: str) -> None:
    sequence = open_sequence(clip[0])
    expected = _sum_of_frames(sequence)  # its descriptor is open when the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum_of_frames, [sequence] * 4) == [expected] * 4
    assert _sum_of_frames(sequence) == expected


def test_threads_share_one_sequence(clip: Any) -> None:
    path, truth = clip
    sequence, wrong = open_sequence(path), []

    def read() -> None:
        left = sequence.cameras["left"]
        for _ in range(5):
            for t in range(4):
                same = np.array_equal(left.disparity[t], truth.disparity[t], equal_nan=True)
                if not same or not np.array_equal(left.rgb[t], truth.images["left"][t]):
                    wrong.append(t)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_reading_goes_on_after_close(clip: Any) -> None:
    path, truth = clip
    with open_sequence(path) as sequence:
        left = sequence.cameras["left"]
    np.testing.assert_array_equal(left.rgb[0], truth.images["left"][0])


def test_reading_loads_no_hdf5_library(clip: Any) -> None:
    code = (
        "import sys; from depthdata.sequence import open_sequence;"
        f"left = open_sequence({str(clip[0])!r}).cameras['left'];"
        "left.rgb[0], left.depth[0], left.disparity[0];"
        "sys.exit('h5py' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=_root(), check=False).returncode == 0


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def test_a_file_by_url_is_read_by_ranges(clip: Any) -> None:
    fsspec = pytest.importorskip("fsspec")
    path, truth = clip
    fsspec.filesystem("memory").pipe_file("/clips/a.h5", path.read_bytes())
    sequence = pickle.loads(pickle.dumps(open_sequence("memory://clips/a.h5")))
    np.testing.assert_array_equal(sequence.cameras["right"].rgb[2], truth.images["right"][2])
    with pytest.raises(UsageError, match=r"memory://clips/b\.h5"):
        open_sequence("memory://clips/b.h5")


def test_a_pickle_notices_another_file_under_its_name(clip_path: Path) -> None:
    stored = pickle.dumps(open_sequence(clip_path))
    with SequenceWriter(clip_path, dataset="d", sequence="s") as writer:
        writer.timeline([5], ["b"])
        writer.camera("left", height=1, width=1, intrinsics=np.eye(3))
    with pytest.raises(FormatError, match="changed since it was opened"):
        pickle.loads(stored).cameras["left"].rgb[0]


def test_a_flip_is_refused_unless_checking_is_off(clip_path: Path) -> None:
    blob = open_sequence(clip_path).cameras["left"].rgb.blob(2)
    data = bytearray(clip_path.read_bytes())
    data[data.index(blob) + len(blob) // 2] ^= 1
    clip_path.write_bytes(data)
    left = open_sequence(clip_path).cameras["left"]
    left.rgb[1]
    with pytest.raises(FormatError, match=r"left/rgb, frame 2: damaged"):
        left.rgb[2]
    assert open_sequence(clip_path, check=False).cameras["left"].rgb.blob(2) != blob


def _rewritten(path: Path, **fields: int) -> None:
    """Change header fields and make its checksum fit."""
    data = bytearray(path.read_bytes())
    for offset, value in fields.items():
        struct.pack_into("<I", data, int(offset[1:]), value)
    struct.pack_into("<Q", data, 504, xxhash.xxh3_64_intdigest(bytes(data[:504])))
    path.write_bytes(data)


def test_wrong_files_are_refused_in_one_line(clip_path: Path, tmp_path: Path) -> None:
    def refusal(change: Any) -> str:
        path = tmp_path / "other.h5"
        shutil.copy(clip_path, path)
        change(path)
        with pytest.raises(FormatError) as caught:
            open_sequence(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    whole = clip_path.read_bytes()
    assert "truncated" in refusal(lambda p: p.write_bytes(whole[:-1]))
    assert "truncated" in refusal(lambda p: p.write_bytes(whole[:100]))
    assert "truncated" in refusal(lambda p: p.write_bytes(b""))
    assert "changed after it was written" in refusal(lambda p: p.write_bytes(whole + b"\0"))
    assert "incomplete" in refusal(lambda p: p.write_bytes(bytes(512) + whole[512:]))
    assert "not a depthdata.sequence file" in refusal(lambda p: p.write_bytes(b"PK" + whole))
    assert "format version 2" in refusal(lambda p: _rewritten(p, _8=2))
    assert "damaged header" in refusal(lambda p: p.write_bytes(whole[:40] + b"\1" + whole[41:]))
    _rewritten(clip_path, _12=9)  # additions that this version may ignore
    assert len(open_sequence(clip_path)) == 4


def test_other_hdf5_files_and_missing_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(5000)
    with pytest.raises(FormatError, match="an HDF5 file, but not a"):
        open_sequence(tmp_path / "other.h5")
    with pytest.raises(UsageError, match=r"none\.h5: cannot be opened"):
        open_sequence(tmp_path / "none.h5")
