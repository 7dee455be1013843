"""Memory of batches is used again, but never while anything still looks at it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from depthdata.loading import SequenceDataset, Window, collate
from depthdata.loading.memory import Memory

SHAPE = (5, 3, 400, 400)


def place(memory: Memory) -> int:
    return memory.tensor(SHAPE, torch.uint8).data_ptr()


def test_memory_that_is_looked_at_is_not_lent_again() -> None:
    memory = Memory()
    first = memory.tensor(SHAPE, torch.uint8)
    at = first.data_ptr()
    look = first[2, 0]  # a view of a view; then numpy's view of that
    del first
    assert place(memory) != at
    array = look.numpy()[3:]
    del look
    assert place(memory) != at
    del array
    places = {id_ for id_ in (place(memory), place(memory))}
    held = [memory.tensor(SHAPE, torch.uint8) for _ in range(2)]
    assert {t.data_ptr() for t in held} >= places | {at}


def test_idle_memory_has_a_limit() -> None:
    memory = Memory(limit=3_000_000)
    sizes = [(n, 1_000_000) for n in (2, 3, 2, 4)]
    held = [memory.tensor(size, torch.uint8) for size in sizes]
    del held
    kept = sum(size * len(blocks) for size, blocks in memory._idle.items())
    assert 0 < kept <= 3_000_000
    assert not pickle.loads(pickle.dumps(memory))._idle


def test_threads_never_share_memory() -> None:
    memory = Memory()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(60):
            tensor = memory.tensor(SHAPE, torch.uint8)
            tensor[0, 0, 0].fill_(number)
            if (tensor[0, 0, 0] != number).any():
                wrong.append(number)
            del tensor

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_sample_that_is_kept_does_not_change(plane: Callable[..., Path]) -> None:
    dataset = SequenceDataset(
        plane(frames=6), window=Window((0, 1)), streams=("rgb", "disparity"), size=(600, 800)
    )
    kept = dataset[0]
    copies = {key: kept[key].clone() for key in ("rgb", "disparity")}
    for i in (1, 2, 3, 1):
        collate(dataset.__getitems__([i, 0]))
        dataset[i]
    assert all(torch.equal(kept[key], copy) for key, copy in copies.items())
