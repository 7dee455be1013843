"""What a stopped evaluation had done: a file for each finished task, beside the output.

A task is found again by a digest of everything that its numbers depend on, so that the state of
another model, protocol or file is never taken for this one's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depthdata.errors import UsageError
from depthzoo.evaluation.frames import Task
from depthzoo.evaluation.kinds import TaskResult
from depthzoo.evaluation.records import FrameRecord
from depthzoo.evaluation.results import write_text
from depthzoo.evaluation.scoring import Curves, RegionScore, Score

__all__ = ["TaskStore"]


class TaskStore:
    """Finished tasks in a folder.

    Parameters
    ----------
    folder : path
        Made when the first task is kept.
    facts : Mapping
        What the numbers depend on beside the task: protocol, model, weights, versions.
    resume : bool
        Take what is there; else it is removed.
    """

    def __init__(self, folder: str | Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = Path(folder)
        self._facts = json.dumps(facts, sort_keys=True, default=str)
        if self.folder.exists():
            if not self.folder.is_dir() or any(not _is_ours(p) for p in self.folder.iterdir()):
                raise UsageError(
                    f"{self.folder} holds other files than the state of an evaluation; choose "
                    "another folder"
                )
            if not resume:
                self.clear()

    def _path(self, task: Task, digest: str) -> Path:
        told = json.dumps([digest, task.camera, task.frames, task.order])
        name = hashlib.sha256((self._facts + told).encode()).hexdigest()[:32]
        return self.folder / f"{name}.json"

    def load(self, task: Task, digest: str) -> TaskResult | None:
        """Return what a task of a file (by its content digest) gave, or None."""
        try:
            data = json.loads(self._path(task, digest).read_text(encoding="utf-8"))
            return _result(data)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, task: Task, digest: str, result: TaskResult) -> None:
        """Keep what a task gave, whole or not at all."""
        write_text(self._path(task, digest), json.dumps(_plain(result)))

    def clear(self) -> None:
        """Remove the folder, as once the whole result has been written."""
        if self.folder.is_dir() and all(_is_ours(p) for p in self.folder.iterdir()):
            shutil.rmtree(self.folder)


def _is_ours(path: Path) -> bool:
    return re.fullmatch(r"\.?[0-9a-f]{32}\.json(\.part-.*)?", path.name) is not None


def _plain(result: TaskResult) -> dict[str, Any]:
    curves = result.curves
    return {
        "records": [[order, dataclasses.asdict(record)] for order, record in result.records],
        "curves": [
            curves.quantity,
            curves.errors.tolist(),
            curves.pixels.tolist(),
            curves.error_sum.tolist(),
        ],
        "invariance": result.invariance,
        "seconds": result.seconds,
    }


def _result(data: dict[str, Any]) -> TaskResult:
    quantity, errors, pixels, sums = data["curves"]
    curves = Curves(quantity)
    curves.errors += np.asarray(errors, np.int64)
    curves.pixels += np.asarray(pixels, np.int64)
    curves.error_sum += np.asarray(sums, np.float64)
    records = []
    for order, facts in data["records"]:
        score = facts.pop("score")
        regions = {name: RegionScore(**one) for name, one in score.pop("regions").items()}
        records.append((order, FrameRecord(**facts, score=Score(**score, regions=regions))))
    return TaskResult(records, curves, data["invariance"], data["seconds"])
