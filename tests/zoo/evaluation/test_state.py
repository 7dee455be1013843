"""Evaluations that were stopped go on where they were; nothing of another one is taken."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truth_models import (
    SentMaps,
    SentMasks,
    SentPaths,
    SentVideo,
    Spoiler,
    Traveller,
    VideoSpoiler,
    stream_of,
    times,
    write_file,
)

from depthdata.errors import UsageError
from depthzoo.evaluation import evaluate, get_protocol

FRAMES = 4


def off(path: Path, frame: int) -> Any:
    return stream_of(path, "disparity", frame) + 0.3 * (frame + 1) * (-1.0) ** frame


def far(path: Path, frame: int) -> Any:
    return stream_of(path, "lidar_depth", frame) * (1.07 + 0.01 * frame)


def moves(path: Path, frame: int) -> Any:
    shown = np.full((48, 160), 0.3)
    shown[:, 30:90] = 0.61
    return np.where(stream_of(path, "masks/moving", frame) == 1, shown + 0.2, shown)


def wobble(motion: Any, t: int) -> Any:
    return times(1 + 0.03 * (-1) ** t)(motion, t)


CASES: dict[str, Callable[..., Any]] = {
    "stereo/epe": lambda root, **f: Spoiler(root, off, **f),
    "depth/lidar": lambda root, **f: Spoiler(root, far, "depth", **f),
    "stereo/video": lambda root, **f: VideoSpoiler(root, off, **f),
    "stereo/dynamic_stereo/flyingthings3d_10": lambda root, **f: VideoSpoiler(root, off, **f),
    "motion/segmentation": lambda root, **f: Spoiler(root, moves, "motion_mask", **f),
    "odometry/trajectory": lambda root, **f: Traveller(root, wobble, **f),
    "odometry/kitti": lambda root, **f: Traveller(root, wobble, **f),
}


def without_time(report: Any) -> str:
    data = report.to_dict()
    assert data.pop("timing")
    return json.dumps(data)


@pytest.mark.parametrize("protocol", CASES)
def test_a_stopped_evaluation_goes_on(streets: Path, tmp_path: Path, protocol: str) -> None:
    make = CASES[protocol]
    whole = make(streets)
    wanted = without_time(evaluate(whole, streets, protocol))
    per_file = len(whole.seen) // 2
    stopped = make(streets, stop_after=per_file)
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, streets, protocol, state=state)
    assert len(list(state.iterdir())) == 1
    rest = make(streets)
    steps: list[tuple[int, int, str]] = []
    report = evaluate(
        rest, streets, protocol, state=state, resume=True, progress=lambda *s: steps.append(s)
    )
    assert rest.seen == whole.seen[per_file:]
    assert without_time(report) == wanted
    assert steps[0][2] == "resumed" and steps[-1][0] == steps[-1][1]
    again = make(streets)
    assert without_time(evaluate(again, streets, protocol, state=state, resume=True)) == wanted
    assert not again.seen


def test_a_file_stopped_in_the_middle_is_done_again(streets: Path, tmp_path: Path) -> None:
    stopped = Spoiler(streets, off, stop_after=FRAMES + 2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, streets, "stereo/epe", state=tmp_path / "state")
    rest = Spoiler(streets, off)
    evaluate(rest, streets, "stereo/epe", state=tmp_path / "state", resume=True)
    assert rest.seen == [("street_0002", frame) for frame in range(FRAMES)]


@pytest.fixture
def kept(streets: Path, tmp_path: Path) -> Path:
    """State of a whole evaluation of disparity."""
    evaluate(Spoiler(streets, off), streets, "stereo/epe", state=tmp_path / "kept")
    return tmp_path / "kept"


def frames_done(streets: Path, kept: Path, protocol: Any = "stereo/epe", **facts: Any) -> int:
    model = Spoiler(streets, off, **{k: v for k, v in facts.items() if k == "name"})
    for key in ("weights_sha256", "options", "fingerprint"):
        if key in facts:
            setattr(model, key, facts[key])
    evaluate(model, streets, protocol, state=kept, resume=True)
    return len(model.seen)


def test_the_state_of_another_model_or_protocol_is_not_taken(streets: Path, kept: Path) -> None:
    assert frames_done(streets, kept) == 0
    assert frames_done(streets, kept, name="other") == 2 * FRAMES
    assert frames_done(streets, kept, weights_sha256="0" * 64) == 2 * FRAMES
    assert frames_done(streets, kept, options={"window": 20}) == 2 * FRAMES
    assert frames_done(streets, kept, fingerprint="other files") == 2 * FRAMES
    assert frames_done(streets, kept, "stereo/kitti_2015") == 2 * FRAMES
    rules = get_protocol("stereo/epe")
    changed = dataclasses.replace(rules, valid=dataclasses.replace(rules.valid, high=50.0))
    assert frames_done(streets, kept, changed) == 2 * FRAMES
    assert frames_done(streets, kept) == 0  # all of them lie side by side


def test_a_file_that_has_changed_is_done_again(streets: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(streets, tmp_path / "data"))
    kept = tmp_path / "state"
    evaluate(Spoiler(root, off), root, "stereo/epe", state=kept)
    shutil.move(root / "street_0002.h5", tmp_path / "old.h5")
    write_file(
        root / "street_0002.h5", FRAMES, (48, 160),
        streams={"disparity": np.full((FRAMES, 48, 160), 9.0, np.float32)},
    )  # fmt: skip
    model = Spoiler(root, off)
    evaluate(model, root, "stereo/epe", state=kept, resume=True)
    assert model.seen == [("street_0002", t) for t in range(FRAMES)]


def test_damaged_state_is_done_again(streets: Path, kept: Path) -> None:
    paths = sorted(kept.iterdir())
    paths[0].write_text("{")
    paths[1].write_text(json.dumps({"records": []}))
    assert len(paths) == 2
    assert frames_done(streets, kept) == 2 * FRAMES


def test_without_resume_everything_is_done_again(streets: Path, kept: Path) -> None:
    model = Spoiler(streets, off)
    evaluate(model, streets, "stereo/epe", state=kept)
    assert len(model.seen) == 2 * FRAMES


def test_a_folder_with_other_files_is_left_alone(streets: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{Results}")
    for resume in (False, True):
        with pytest.raises(UsageError, match="holds other files"):
            evaluate(Spoiler(streets, off), streets, "stereo/epe", state=tmp_path, resume=resume)
    assert (tmp_path / "thesis.tex").is_file()


@pytest.mark.parametrize("make", [SentMaps, SentVideo, SentMasks, SentPaths])
def test_two_processes_give_the_same_bits(streets: Path, tmp_path: Path, make: Any) -> None:
    model = make(streets)
    one = evaluate(model, streets, model.protocol)
    two = evaluate(model, streets, model.protocol, jobs=2, state=tmp_path / "state")
    assert without_time(one) == without_time(two)
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_a_model_that_cannot_be_sent_is_named_at_once(streets: Path) -> None:
    with pytest.raises(UsageError, match="cannot be sent to other processes"):
        evaluate(Spoiler(streets, lambda path, t: off(path, t)), streets, "stereo/epe", jobs=2)
