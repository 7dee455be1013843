"""The file as anyone sees it who has h5py and ``docs/format.md``, and nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import xxhash

from depthdata.codecs.images import decode_image


def test_the_tree_describes_itself(clip: Any) -> None:
    path, truth = clip
    with h5py.File(path) as file:
        attrs = {k: v.decode() if isinstance(v, bytes) else v for k, v in file.attrs.items()}
        assert attrs["format"] == "depthdata.sequence"
        assert attrs["version"] == 1
        assert attrs["state"] == "complete"
        assert attrs["dataset"] == "toy"
        assert json.loads(attrs["rig"]) == {"cameras": 2}
        assert attrs["rate"] == 10.0
        np.testing.assert_array_equal(file["timestamps"], truth.times)
        assert file["frame_ids"].asstr()[:].tolist() == truth.names
        assert file["stereo_pairs"][0].tolist() == (b"left", b"right", 0.54)
        left = file["cameras/left"]
        assert (left.attrs["height"], left.attrs["width"]) == (24, 40)
        assert left["intrinsics"][0, 2] == 19.5
        np.testing.assert_array_equal(left["T_world_cam"], truth.poses)
        assert left["masks/moving/frame_index"][:].tolist() == [1, 3]
        assert left["depth_png"].attrs["scale"] == 1 / 256
        assert left["disparity"].attrs["unit"] == b"px"
        assert file["objects/category"].asstr()[1] == "Fußgänger"
        np.testing.assert_array_equal(file["tracks/left/xy"], truth.tracks[0])


def test_every_stream_reads(clip: Any) -> None:
    path, truth = clip
    with h5py.File(path) as file:
        left = file["cameras/left"]
        offsets = left["rgb/offsets"]
        for t, image in enumerate(truth.images["left"]):
            blob = left["rgb/data"][offsets[t] : offsets[t + 1]].tobytes()
            assert xxhash.xxh3_64_intdigest(blob) == left["rgb/xxh3"][t]
            np.testing.assert_array_equal(decode_image(blob), image)
        np.testing.assert_array_equal(left["disparity/data"], truth.disparity)
        np.testing.assert_array_equal(left["flow_forward/data"], truth.flow)
        np.testing.assert_array_equal(left["masks/moving/data"], truth.moving)
        np.testing.assert_array_equal(left["depth_png/data"], truth.depth16)
        offsets = left["depth/offsets"]
        for t, points in enumerate(truth.lidar):
            rows = slice(offsets[t], offsets[t + 1])
            for name, column in points.columns().items():
                np.testing.assert_array_equal(left["depth"][name][rows], column)


def test_how_the_file_is_laid_out(clip: Any) -> None:
    path, _ = clip
    kinds: list[Any] = []
    with h5py.File(path) as file:
        plist = file.id.get_create_plist()
        strategy, _, _ = plist.get_file_space_strategy()
        assert strategy == h5py.h5f.FSPACE_STRATEGY_PAGE
        assert file.userblock_size == plist.get_file_space_page_size() == 4096
        file.visititems(lambda _, item: kinds.append(item) if hasattr(item, "shape") else None)
        for dataset in kinds:
            assert h5py.check_vlen_dtype(dataset.dtype) is None
            if dataset.chunks is None:
                assert dataset.id.get_offset() or not dataset.size
                continue
            assert dataset.chunks == (1, *dataset.shape[1:])
            assert dataset.fletcher32
            assert dataset.shuffle == (dataset.dtype.itemsize > 1)
            gzip = dataset.compression == "gzip" and dataset.compression_opts == 4
            assert gzip == (path.stem == "portable")
            assert gzip or str(hdf5plugin.Zstd.filter_id) in dataset._filters
        for item in (file, file["cameras/left"], file["cameras/left/rgb"]):
            for name in item.attrs:
                assert h5py.check_vlen_dtype(item.attrs.get_id(name).dtype) is None, name


def test_a_portable_file_needs_no_plugin(tmp_path: Path, clip_writer: Any) -> None:
    clip_writer(tmp_path / "p.h5", "portable")
    code = (
        "import sys, h5py\n"
        "with h5py.File(sys.argv[1]) as file:\n"
        "    assert file['cameras/left/disparity/data'][2].shape == (24, 40)\n"
        "assert 'hdf5plugin' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "p.h5")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_program_in_the_specification_runs(clip: Any, tmp_path: Path) -> None:
    """``docs/format.md`` shows how to read with plain h5py; that program is run here."""
    document = Path(__file__).resolve().parents[2] / "docs" / "format.md"
    program = document.read_text().split("```python\n# plain h5py\n")[1].split("```")[0]
    assert len(program.splitlines()) <= 15
    (tmp_path / "read.py").write_text(program)
    command = [sys.executable, str(tmp_path / "read.py"), str(clip[0])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "left" in done.stdout


@pytest.mark.parametrize("name", ["timestamps", "frame_ids", "stereo_pairs", "index"])
def test_the_names_that_the_design_promises(clip: Any, name: str) -> None:
    with h5py.File(clip[0]) as file:
        assert isinstance(file[name], h5py.Dataset)
