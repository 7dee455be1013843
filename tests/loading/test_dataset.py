"""SequenceDataset as it is used: samples, geometry, splits, errors."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depthdata import geometry
from depthdata.errors import FormatError, UsageError
from depthdata.loading import SequenceDataset, Window, collate
from depthdata.splits import Split

Plane = Callable[..., Path]
Shown = Callable[..., np.ndarray]
STREAMS = ("rgb", "depth", "disparity", "flow_forward", "masks/moving")


def test_a_sample(plane: Plane, shown: Shown) -> None:
    dataset = SequenceDataset(
        plane(), window=Window((0, -1, 1)), cameras=("left", "right"), streams=STREAMS
    )
    assert len(dataset) == 6
    sample = dataset[1]  # anchor 2
    assert sample["index"] == {
        "sequence": "plane_0",
        "camera": "left",
        "frame": 2,
        "frame_id": "0000000002",
    }
    for prefix, camera in (("", "left"), ("right_", "right")):
        rgb = sample[f"{prefix}rgb"]
        assert rgb.dtype == torch.uint8
        expected = np.stack([shown(t, camera) for t in (2, 1, 3)])
        assert (rgb.numpy() == expected.transpose(0, 3, 1, 2)).all()
    assert sample["depth"].shape == sample["depth_valid"].shape == (3, 24, 40)
    assert sample["depth_valid"].sum((1, 2)).tolist() == [24 * 40 - 1, 0, 24 * 40 - 1]
    assert (sample["depth"][~sample["depth_valid"]] == 0).all()
    assert sample["flow_forward"].shape == (3, 2, 24, 40)
    assert sample["flow_forward_valid"].shape == (3, 24, 40)
    assert sample["masks_moving"].dtype == torch.uint8
    assert sample["masks_moving"][:, 0, 0].tolist() == [0, 1, 1]
    assert sample["masks_moving_valid"].shape == (3, 24, 40)
    assert sample["masks_moving_valid"].all()
    assert sample["intrinsics"].dtype == torch.float32
    assert sample["T_world_cam"].dtype == torch.float64
    assert sample["timestamps"].tolist() == [200_000_000, 100_000_000, 300_000_000]
    assert float(sample["baseline"]) == 0.5
    assert sample["baselines"].tolist() == [0.5] * 3


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [None, (12, 20), (48, 60), (31, 17)])
def test_geometry_holds_at_any_size(plane: Plane, size: tuple[int, int], sparse: bool) -> None:
    """Each depth pixel, taken into the world with the sample's own camera, lies on the plane."""
    dataset = SequenceDataset(
        plane(sparse=sparse),
        streams=("rgb", "depth", "disparity", "flow_forward"),
        size=size,
        require=("depth",),
    )
    assert [dataset.describe(i)["frame"] for i in range(len(dataset))] == [0, 2, 3, 5]
    for i in range(len(dataset)):
        sample = dataset[i]
        height, width = size or (24, 40)
        assert sample["rgb"].shape == (1, 3, height, width)
        K = sample["intrinsics"][0].double().numpy()
        valid = sample["depth_valid"][0].numpy()
        assert valid.any()
        depth = sample["depth"][0].double().numpy()
        uv = geometry.pixel_grid(height, width)
        X = geometry.backproject(K, uv, depth)
        world = geometry.transform(sample["T_world_cam"][0].numpy(), X)[valid]
        # a measured depth belongs to a point of the pixel: half a pixel away at most, in both axes
        off = (world @ [1.0, 2.0, 4.0] - 60.0) / 60.0
        slack = 1e-5 if size is None else 0.5 * max(24 / height, 40 / width, 1) * 3 / 30
        assert np.abs(off).max() < slack
        disparity = K[0, 0] * 0.5 / depth[valid]
        np.testing.assert_allclose(
            sample["disparity"][0].numpy()[valid], disparity, rtol=1e-5 if not sparse else 0.2
        )


def test_a_point_projects_where_the_resized_image_shows_it(tmp_path: Path, plane: Plane) -> None:
    """A bright blob in the image moves as the intrinsics say."""
    from depthdata.codecs.images import encode_png
    from depthdata.sequence import SequenceWriter

    K = np.array([[300.0, 0, 199.5], [0, 300.0, 119.5], [0, 0, 1]])
    X = np.array([0.3, -0.2, 2.0])
    (u, v), _ = geometry.project(K, X)
    grid = geometry.pixel_grid(240, 400)
    blob = 250 * np.exp(-((grid - [u, v]) ** 2).sum(-1) / (2 * 6.0**2))
    data = encode_png(np.repeat(blob[..., None], 3, -1).astype(np.uint8))
    path = tmp_path / "blob.h5"
    with SequenceWriter(
        path,
        dataset="blob",
        sequence="blob",
        split=None,
        licence="CC0",
        citation="none",
        converter="test 1",
        source_fingerprint="xxh3:0000000000000000",
    ) as writer:
        writer.timeline(np.array([0], dtype=np.int64), ["0"])
        camera = writer.camera("left", height=240, width=400, intrinsics=K)
        camera.encoded("rgb", [data], [len(data)], encoding="png")
    for size in ((240, 400), (96, 160), (101, 333), (480, 640)):
        sample = SequenceDataset(path, size=size)[0]
        weight = sample["rgb"][0, 0].double().numpy()
        centre = (geometry.pixel_grid(*size) * weight[..., None]).sum((0, 1)) / weight.sum()
        expected, _ = geometry.project(sample["intrinsics"][0].double().numpy(), X)
        np.testing.assert_allclose(centre, expected, atol=0.05)


def test_resize_is_bicubic_of_pil_within_one_level(plane: Plane, shown: Shown) -> None:
    sample = SequenceDataset(plane(), size=(12, 23))[4]
    expected = Image.fromarray(shown(4)).resize((23, 12), Image.Resampling.BICUBIC)
    difference = np.abs(sample["rgb"][0].permute(1, 2, 0).int().numpy() - np.asarray(expected, int))
    assert difference.max() <= 1


def test_points_as_points(plane: Plane) -> None:
    path = plane(sparse=True)
    dataset = SequenceDataset(
        path, streams=("rgb", "depth"), size=(12, 20), points=True, window=Window((0, 1))
    )
    sample = dataset[2]  # frames 2 and 3, both with depth
    assert "depth" not in sample
    assert sample["depth_points"].shape == (2, 12 * 20 + 1, 3)
    assert sample["depth_points_valid"].all()
    x, y, _ = sample["depth_points"][0, 7].tolist()
    assert (x, y) == (14.5 / 2 - 0.5, 0.5 / 2 - 0.5)
    assert SequenceDataset(path, streams=("depth",), points=300)[1]["depth_points_valid"].sum() == 0
    padded = SequenceDataset(path, streams=("depth",), points=300)[0]
    assert padded["depth_points_valid"].sum() == 241
    assert (padded["depth_points"][0, 241:] == 0).all()
    with pytest.raises(UsageError, match="241 points, room for 100"):
        SequenceDataset(path, streams=("depth",), points=100)[0]


def test_scattered_points_are_those_of_the_reader(plane: Plane) -> None:
    from depthdata import open_sequence

    path = plane(sparse=True)
    sample = SequenceDataset(path, streams=("depth",))[0]
    read = open_sequence(path).cameras["left"].depth[0]
    assert (sample["depth_valid"][0].numpy() == np.isfinite(read)).all()
    assert (sample["depth"][0].numpy() == np.nan_to_num(read)).all()


def test_windows_avoid_frames_without_image(plane: Plane) -> None:
    path = plane(rgb_frames=(0, 1, 2, 4, 5, 6, 7))
    dropped = SequenceDataset(path, window=Window((-1, 0, 1)))
    assert [dropped.describe(i)["frame"] for i in range(len(dropped))] == [1, 5, 6]
    clamped = SequenceDataset(path, window=Window((-1, 0, 1), boundary="clamp"))
    assert [clamped.describe(i)["frames"] for i in range(len(clamped))][2:4] == [
        (1, 2, 2),
        (4, 4, 5),
    ]
    assert (clamped[2]["rgb"][1] == clamped[2]["rgb"][2]).all()


def test_folders_files_and_lists(plane: Plane, tmp_path: Path) -> None:
    one, two = plane("a"), plane("b", frames=3)
    assert len(SequenceDataset(tmp_path)) == 11
    assert len(SequenceDataset([two, one])) == 11
    assert SequenceDataset([two, one])[0]["index"]["sequence"] == "b"
    assert len(SequenceDataset(two, window=Window(hop=2))) == 2
    assert "11 samples" in repr(SequenceDataset(tmp_path))
    assert SequenceDataset(two)[-1]["index"]["frame"] == 2
    with pytest.raises(IndexError):
        SequenceDataset(two)[3]


def test_split_lines_in_their_order(
    plane: Plane, shown: Shown, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"{t:010d}" for t in range(5, 13)]
    plane("a", frame_ids=ids)
    plane("b", cameras=("left",))
    rows = [
        ("b", "left", 3),
        ("a", "right", 7),
        ("a", "left", 12),
        ("a", "left", 4),
        ("c", "left", 0),
    ]
    split = Split.from_entries("mine", rows, frame_refers_to="frame_id")
    with caplog.at_level(logging.WARNING):
        dataset = SequenceDataset(tmp_path, split=split)
    assert "2 of its 3 sequences" in caplog.text
    assert "1 of its frames are not in the files" in caplog.text
    index = [dataset[i]["index"] for i in range(len(dataset))]
    assert [(i["sequence"], i["camera"], i["frame"], i["frame_id"]) for i in index] == [
        ("b", "left", 3, "0000000003"),
        ("a", "right", 2, "0000000007"),
        ("a", "left", 7, "0000000012"),
    ]
    assert (dataset[1]["rgb"][0].permute(1, 2, 0).numpy() == shown(2, "right")).all()
    only_left = SequenceDataset(tmp_path, split=split, cameras=("left",))
    assert len(only_left) == 2
    pair = SequenceDataset(tmp_path, split=split, cameras=("left", "right"))
    assert len(pair) == 1


def test_published_split(plane: Plane, tmp_path: Path) -> None:
    """Two drives of the Eigen test list, their frames found by name."""
    frames = range(60, 80)
    ids = [f"{t:010d}" for t in frames]
    plane("2011_09_26_drive_0002_sync", frames=20, frame_ids=ids)
    dataset = SequenceDataset(tmp_path, split="eigen_zhou/test", window=Window((-1, 0, 1)))
    assert dataset[0]["index"]["frame_id"] == "0000000069"
    plane(
        "segment-967082162553397800_5102_900_5122_900", frames=30, cameras=("front",), split="val"
    )
    waymo = SequenceDataset(tmp_path, split="waymo/test")
    assert waymo[0]["index"]["frame"] == 22


def test_a_batch_is_its_samples(plane: Plane, tmp_path: Path) -> None:
    plane("a")
    plane("b")
    dataset = SequenceDataset(
        tmp_path, window=Window((0, 1)), cameras=("left", "right"), streams=STREAMS
    )
    chosen = [3, 9, 0]
    batch = collate(dataset.__getitems__(chosen))
    again = collate([dataset[i] for i in chosen])
    foreign = torch.utils.data.default_collate(dataset.__getitems__(chosen))
    assert batch.keys() == again.keys() == foreign.keys()
    for key, value in batch.items():
        if key != "index":
            assert value.shape[0] == 3
            assert torch.equal(value, again[key])
            assert torch.equal(value, foreign[key])
    assert batch["index"]["sequence"] == ["a", "b", "a"]
    assert batch["index"]["frame"].tolist() == again["index"]["frame"].tolist() == [3, 2, 0]


def test_errors_say_what_there_is(plane: Plane, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no sequence files \(\*.h5\)"):
        SequenceDataset(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        SequenceDataset(tmp_path / "nothing")
    path = plane()
    with pytest.raises(UsageError, match=r"no split list 'eigen'; known: .*eigen_zhou/test"):
        SequenceDataset(path, split="eigen")
    with pytest.raises(UsageError, match=r"0 of its 28 sequences .* 1 files given \(plane_0\)"):
        SequenceDataset(path, split="eigen_zhou/test")
    with pytest.raises(UsageError, match=r"no stream 'flow' .*: depth, disparity, flow_forward"):
        SequenceDataset(path, streams=("rgb", "flow"))
    with pytest.raises(UsageError, match="no camera front; there are: left, right"):
        SequenceDataset(path, cameras=("front",))
    with pytest.raises(UsageError, match="no frames left: 8 candidate frames, 8 of them"):
        SequenceDataset(path, window=Window((-9, 0)))
    with pytest.raises(UsageError, match="streams must be a tuple"):
        SequenceDataset(path, streams="rgb")
    with pytest.raises(UsageError, match="size"):
        SequenceDataset(path, size=(0, 3))


def test_images_of_different_size_need_one(plane: Plane, tmp_path: Path) -> None:
    from depthdata.loading.batch import collate as stack

    plane("a")
    dataset = SequenceDataset(tmp_path)
    big = SequenceDataset(tmp_path, size=(30, 50))
    with pytest.raises(UsageError, match="give the dataset a size"):
        stack([dataset[0], big[0]])


def test_damage_is_found_on_read(plane: Plane) -> None:
    from depthdata import open_sequence

    path = plane()
    blob = open_sequence(path).cameras["left"].rgb.blob(3)
    data = bytearray(path.read_bytes())
    data[data.index(blob) + len(blob) // 2] ^= 4
    path.write_bytes(data)
    dataset = SequenceDataset(path)
    assert dataset[2]["rgb"].shape == (1, 3, 24, 40)
    with pytest.raises(FormatError):
        dataset[3]


def test_pickle_is_small_and_works(plane: Plane) -> None:
    dataset = SequenceDataset(plane(), window=Window((0, 1)), streams=STREAMS)
    first = dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 10_000
    again = pickle.loads(data)
    assert torch.equal(again[0]["rgb"], first["rgb"])
