"""Samples by published rules and by clips of one's own; another picture as rgb."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.loading import HorizontalFlip, Resize, SequenceDataset, Window, collate
from depthdata.sequence.camera_writer import CameraWriter
from depthdata.windows import load_windows

Plane = Callable[..., Path]
Shown = Callable[..., np.ndarray]


@pytest.fixture
def replica(plane: Plane, tmp_path: Path) -> Path:
    """Three sequences as a conversion of Dynamic Replica would leave them."""
    for name, split, frames in (("b-obj", "test", 7), ("a-obj", "test", 5), ("c-obj", "train", 9)):
        plane(name, dataset="dynamic_replica", split=split, frames=frames)
    return tmp_path


def windows(dataset: SequenceDataset) -> list[tuple[str, tuple[int, ...]]]:
    facts = [dataset.describe(i) for i in range(len(dataset))]
    return [(fact["path"].stem, fact["frames"]) for fact in facts]


def test_a_published_rule(replica: Path, caplog: pytest.LogCaptureFixture) -> None:
    rule = load_windows("dynamic_replica/test_150", sample_len=4)
    with caplog.at_level(logging.WARNING):
        dataset = SequenceDataset(
            replica, split=rule, cameras=("left", "right"), streams=("rgb", "disparity")
        )
    assert "published for 20 sequences, there are 2" in caplog.text
    assert windows(dataset) == [("a-obj", (0, 1, 2, 3)), ("b-obj", (0, 1, 2, 3))]
    assert dataset[1]["right_disparity"].shape == (4, 24, 40)
    assert dataset[1]["index"]["frame"] == 0
    assert windows(pickle.loads(pickle.dumps(dataset))) == windows(dataset)
    with pytest.raises(UsageError, match=r"no window of sample_len=150 .* 5 to 9 frames"):
        SequenceDataset(replica, split="dynamic_replica/test_150")
    with pytest.raises(UsageError, match="says which frames make a sample"):
        SequenceDataset(replica, split=rule, window=Window((0, 1)))
    with pytest.raises(UsageError, match="is for sequences of sintel; the 3 files given are of: "):
        SequenceDataset(replica, split="sintel/all")


def test_windows_of_reversed_time(plane: Plane, shown: Shown, tmp_path: Path) -> None:
    plane("monkaa_x", dataset="sceneflow", split="train", frames=5)
    rule = load_windows("monkaa/dynamic_stereo_train", sample_len=3)
    dataset = SequenceDataset(tmp_path, split=rule)
    assert [frames for _, frames in windows(dataset)] == [
        (0, 1, 2),
        (4, 3, 2),
        (1, 2, 3),
        (3, 2, 1),
    ]
    for sample in (dataset[1], collate(dataset.__getitems__([0, 1]))):
        rgb = sample["rgb"] if sample["rgb"].ndim == 4 else sample["rgb"][1]
        expected = np.stack([shown(t) for t in (4, 3, 2)]).transpose(0, 3, 1, 2)
        assert (rgb.numpy() == expected).all()
    assert (dataset[1]["timestamps"].diff() < 0).all()


def test_sequences_of_different_length_come_one_at_a_time(plane: Plane, tmp_path: Path) -> None:
    for name, frames in (("alley_1", 3), ("bandage_2", 5)):
        plane(name, dataset="sintel", split="train", frames=frames)
    dataset = SequenceDataset(tmp_path, split="sintel/all")
    assert "2 samples of 3 to 5 frames" in repr(dataset)
    loader = DataLoader(dataset, batch_size=1, collate_fn=collate)
    assert [batch["rgb"].shape[:2] for batch in loader] == [(1, 3), (1, 5)]
    with pytest.raises(UsageError, match=r"number of frames: \[3, 5\].*batch_size=1"):
        dataset.__getitems__([0, 1])


def test_a_frame_without_its_picture_costs_the_clip(plane: Plane, tmp_path: Path) -> None:
    plane("monkaa_x", dataset="sceneflow", split="train", frames=6, rgb_frames=(0, 1, 2, 3, 5))
    rule = load_windows("monkaa/dynamic_stereo_train", sample_len=2)
    found = windows(SequenceDataset(tmp_path, split=rule))
    assert [frames for _, frames in found] == [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1)]


def test_clips_of_ones_own(replica: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = [("c-obj", (8, 4, 0)), ("a-obj", [1]), ("c-obj", (9,)), ("d-obj", (0,))]
    with caplog.at_level(logging.WARNING):
        dataset = SequenceDataset(replica, split=clips)
    assert "clips: 2 of 3 sequences are on disk" in caplog.text
    assert windows(dataset) == [("c-obj", (8, 4, 0)), ("a-obj", (1,))]
    assert dataset[0]["index"]["frame"] == 8
    with pytest.raises(UsageError, match="0 of the 1 sequences are among the 3 files"):
        SequenceDataset(replica, split=[("z", (0,))])
    for wrong in ([], [("a-obj", ())], [("a-obj", (-1,))]):
        with pytest.raises(UsageError, match="at least one frame each"):
            SequenceDataset(replica, split=wrong)


def with_pictures(*names: str) -> Callable[[CameraWriter], None]:
    """Write further pictures; one of name N is grey with the value len(N)."""

    def more(camera: CameraWriter) -> None:
        for name in names:
            blobs = [encode_png(np.full((24, 40, 3), len(name), np.uint8))] * 2
            camera.encoded(name, blobs, [len(b) for b in blobs], encoding="png")

    return more


def test_another_picture_as_rgb(plane: Plane, shown: Shown) -> None:
    path = plane(frames=2, more=with_pictures("rgb_final", "rgb_exposure"))
    final = SequenceDataset(path, image="rgb_final", cameras=("left", "right"))[1]
    assert (final["rgb"] == len("rgb_final")).all()
    assert (final["right_rgb"] == len("rgb_final")).all()
    assert set(final) == set(SequenceDataset(path, cameras=("left", "right"))[1])
    mixed = SequenceDataset(path, cameras=("left", "right"), image={"right": "rgb_exposure"})[1]
    assert (mixed["rgb"][0].permute(1, 2, 0).numpy() == shown(1)).all()
    assert (mixed["right_rgb"] == len("rgb_exposure")).all()
    both = SequenceDataset(path, streams=("rgb", "rgb_final"), image="rgb_exposure")[0]
    assert (both["rgb"] == len("rgb_exposure")).all()
    assert (both["rgb_final"] == len("rgb_final")).all()


def test_a_picture_that_is_not_there(plane: Plane) -> None:
    path = plane(frames=2, more=with_pictures("rgb_final"))
    with pytest.raises(UsageError, match=r"no picture 'rgb_x' but rgb, rgb_final; give image='rgb"):
        SequenceDataset(path, image="rgb_x")
    with pytest.raises(UsageError, match="image names camera front; the cameras loaded are left"):
        SequenceDataset(path, image={"front": "rgb_final"})
    with pytest.raises(UsageError, match="streams does not name"):
        SequenceDataset(path, image="rgb_final", streams=("depth",))


def test_a_file_without_the_plain_picture_says_so(plane: Plane, tmp_path: Path) -> None:
    plane("a", frames=2, more=with_pictures("rgb_final"))
    plane("b", frames=2, more=with_pictures("rgb_final"), rgb=False)
    with pytest.raises(UsageError, match=r"b.h5: camera left has no picture 'rgb' but rgb_final;"):
        SequenceDataset(tmp_path)
    whole = SequenceDataset(tmp_path, image="rgb_final")
    assert len(whole) == 4
    assert (whole[3]["rgb"] == len("rgb_final")).all()


def test_the_rule_names_the_picture(plane: Plane, tmp_path: Path) -> None:
    plane(
        "flyingthings3d_TEST_A_0000",
        dataset="sceneflow",
        split="test",
        frames=2,
        more=with_pictures("rgb_final"),
    )
    rule = load_windows("flyingthings3d/things_test")
    assert (SequenceDataset(tmp_path, split=rule)[0]["rgb"] == len("rgb_final")).all()
    clean = SequenceDataset(tmp_path, split=rule, image="rgb")[0]
    assert not (clean["rgb"] == len("rgb_final")).all()


DISPARITIES = ("disparity_y", "disparity_next", "disparity_change_forward")


def with_disparities(camera: CameraWriter) -> None:
    for name in DISPARITIES:
        value = np.full((24, 40), 8.0, np.float32)
        value[0, 0] = np.nan
        camera.dense(name, [value], frame_index=np.array([0]), unit="px", missing="nan")


def test_all_disparities_scale_with_the_image(plane: Plane) -> None:
    path = plane(frames=2, more=with_disparities)
    streams = ("rgb", *DISPARITIES)
    whole = SequenceDataset(path, streams=streams)[0]
    loaded = SequenceDataset(path, streams=streams, size=(12, 10))[0]
    changed = Resize((12, 10))(whole, np.random.default_rng(0))
    for sample in (loaded, changed):
        for name, factor in zip(DISPARITIES, (0.5, 0.25, 0.25), strict=True):
            valid = sample[f"{name}_valid"]
            assert valid.any() and (sample[name][valid] == 8 * factor).all()


def test_mirroring_a_pair_turns_the_vertical_disparity(plane: Plane) -> None:
    path = plane(frames=1, more=with_disparities)
    dataset = SequenceDataset(path, cameras=("left", "right"), streams=("rgb", *DISPARITIES))
    sample = HorizontalFlip(p=1.0)(dataset[0], np.random.default_rng(0))
    valid = sample["disparity_y_valid"]
    assert (sample["disparity_y"][valid] == -8).all()
    assert (sample["disparity_next"][valid] == 8).all()


@pytest.mark.parametrize("size", [None, (12, 20)])
def test_unknown_labels_are_not_valid(plane: Plane, size: tuple[int, int] | None) -> None:
    def more(camera: CameraWriter) -> None:
        occluded = np.zeros((24, 40), np.uint8)
        occluded[:, 20:], occluded[12:] = 1, 255
        camera.dense("masks/occluded", [occluded] * 2, dtype="u1", missing=255)

    sample = SequenceDataset(plane(frames=2, more=more), streams=("masks/occluded",), size=size)[1]
    mask, valid = sample["masks_occluded"][0], sample["masks_occluded_valid"][0]
    height = len(mask)
    assert valid[: height // 2].all() and not valid[height // 2 :].any()
    assert mask[: height // 2].float().mean() == 0.5 and mask.dtype == torch.uint8
    assert not mask[~valid].any()


def test_masks_with_parts_of_a_pixel_are_maps(plane: Plane) -> None:
    def more(camera: CameraWriter) -> None:
        soft = np.full((2, 24, 40), 51, np.uint8)
        camera.dense("masks/foreground", soft, dtype="u1", scale=1 / 255, missing=None)

    sample = SequenceDataset(plane(frames=2, more=more), streams=("masks/foreground",))[0]
    assert sample["masks_foreground"].dtype == torch.float32
    torch.testing.assert_close(sample["masks_foreground"], torch.full((1, 24, 40), 0.2))
    assert sample["masks_foreground_valid"].all()
