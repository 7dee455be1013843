"""Workers, threads and seeds: the same samples however they are made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from depthdata.loading import (
    ColorJitter,
    Compose,
    HorizontalFlip,
    RandomCrop,
    SequenceDataset,
    Window,
    collate,
)

Plane = Callable[..., Path]
AUGMENT = Compose(RandomCrop((16, 24)), HorizontalFlip(), ColorJitter())


def make_dataset(path: Path, **options: Any) -> SequenceDataset:
    return SequenceDataset(
        path,
        window=Window((-1, 0, 1)),
        cameras=("left", "right"),
        streams=("rgb", "depth"),
        **options,
    )


def go_through(
    dataset: SequenceDataset, workers: int, start: str | None = None, **options: Any
) -> list[dict[str, Any]]:
    loader = DataLoader(
        dataset,
        batch_size=4,
        shuffle=True,
        generator=torch.Generator().manual_seed(5),
        num_workers=workers,
        multiprocessing_context=start,
        collate_fn=collate,
        **options,
    )
    return [{k: v.clone() if hasattr(v, "clone") else v for k, v in b.items()} for b in loader]


def assert_same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert a["index"]["frame_id"] == b["index"]["frame_id"]
        for key, value in a.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, b[key]), key


@pytest.mark.parametrize("augment", [None, AUGMENT], ids=["plain", "augmented"])
def test_any_number_of_workers_gives_the_same(plane: Plane, augment: Any) -> None:
    dataset = make_dataset(plane(), transform=augment, seed=7)
    expected = go_through(dataset, 0)
    assert [len(b["rgb"]) for b in expected] == [4, 2]
    dataset[0]  # a file that is open here must not disturb the workers
    assert_same(expected, go_through(dataset, 2, "fork"))
    assert_same(expected, go_through(dataset, 1, "fork"))


def test_spawned_workers(plane: Plane) -> None:
    dataset = make_dataset(plane(), transform=AUGMENT, seed=7)
    assert_same(go_through(dataset, 0), go_through(dataset, 2, "spawn"))


def test_threads(plane: Plane) -> None:
    dataset = make_dataset(plane())
    expected = [dataset[i] for i in range(len(dataset))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(dataset.__getitem__, list(range(len(dataset))) * 5))
    for i, sample in enumerate(found):
        assert torch.equal(sample["rgb"], expected[i % len(expected)]["rgb"])
        assert torch.equal(sample["depth"], expected[i % len(expected)]["depth"])


@pytest.mark.parametrize("workers", [0, 2])
def test_decoding_threads(plane: Plane, workers: int) -> None:
    path = plane()
    threaded = make_dataset(path, threads=3)
    threaded[0]
    assert_same(go_through(make_dataset(path), 0), go_through(threaded, workers))


def test_seed_and_epoch_decide_the_augmentation(plane: Plane) -> None:
    path = plane()
    one, same, other = (make_dataset(path, transform=AUGMENT, seed=s)[2]["rgb"] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    dataset = make_dataset(path, transform=AUGMENT, seed=1)
    dataset.set_epoch(1)
    assert not torch.equal(dataset[2]["rgb"], one)
    dataset.set_epoch(0)
    assert torch.equal(dataset[2]["rgb"], one)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_epoch_reaches_workers_that_stay(plane: Plane, start: str) -> None:
    dataset = make_dataset(plane(), transform=AUGMENT)
    loader = DataLoader(
        dataset,
        6,
        num_workers=1,
        persistent_workers=True,
        collate_fn=collate,
        multiprocessing_context=start,
    )
    epochs = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        epochs.append(next(iter(loader))["rgb"].clone())
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0], epochs[2])
