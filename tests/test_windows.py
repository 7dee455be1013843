"""Published window rules give the samples that the authors' classes give."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support import golden_cases

from depthdata import splits
from depthdata.cli import main
from depthdata.errors import FormatError, UsageError
from depthdata.sequence import SequenceWriter
from depthdata.window_kinds import draw_positions
from depthdata.windows import Clip, Listed, WindowRule, list_windows, load_windows

FOLDER = splits.published_folder() / "windows"


def sequences(rule: WindowRule, frames: int = 12) -> list[Listed]:
    """As many sequences of the rule as its publication has, with names that fit."""
    wanted = rule.sequences
    names = wanted.get("names") or [
        f"{wanted.get('prefix', 's')}{i:04d}" for i in range(wanted.get("total", 60))
    ]
    return [Listed(name, wanted.get("split"), frames, ids(frames)) for name in names]


def ids(frames: int) -> tuple[str, ...]:
    return tuple(f"000003_{t:02d}" for t in range(frames))


@pytest.mark.parametrize("name", list_windows())
def test_every_rule_resolves(name: str, caplog: pytest.LogCaptureFixture) -> None:
    rule = load_windows(name)
    assert rule.name == name
    assert rule.source and rule.assumptions and rule.repeat >= 1
    length = rule.parameters.get("sample_len", 1)
    some = sequences(rule, frames=12 * length)
    if "total" in rule.windows:  # the number of pictures is counted, too
        some = [some[0]._replace(frames=rule.windows["total"])]
    with caplog.at_level(logging.WARNING):
        clips = rule.resolve(some)
    assert clips and not caplog.text
    assert {len(clip.frames) for clip in clips} == {length if length > 1 else len(clips[0].frames)}
    lengths = {item.name: item.frames for item in some}
    assert all(0 <= t < lengths[clip.sequence] for clip in clips for t in clip.frames)
    assert rule.choose(some) == tuple(dict.fromkeys(clip.sequence for clip in clips))


def toy_tree(facts: dict[str, Any]) -> list[Listed]:
    """The sequences that the description of the golden file names."""
    return [
        Listed(f"flyingthings3d_{part.upper()}_{'ABC'[i % 3]}_{i:04d}", part, facts["frames"])
        for part in ("train", "test")
        for i in range(facts[part])
    ]


def paths(clip: Clip) -> list[str]:
    """The authors' names of the pictures of a clip."""
    _, part, letter, number = clip.sequence.split("_")
    folder = f"FlyingThings3D/frames_cleanpass/{part}/{letter}/{number}/left"
    return [f"{folder}/{t + 6:04d}.png" for t in clip.frames]


@pytest.mark.parametrize("case", golden_cases("readers", "sceneflow*"))
def test_selection_is_that_of_the_authors_class(case: Path) -> None:
    facts = json.loads((case / "selection.json").read_text())
    tree = toy_tree(
        {
            "train": facts["train_sequences"],
            "test": facts["test_sequences"],
            "frames": facts["frames_per_sequence"],
        }
    )
    for part in ("train", "test"):
        rule = load_windows(f"flyingthings3d/dynamic_stereo_{part}", sample_len=facts["sample_len"])
        samples = [paths(clip) for clip in rule.resolve(tree[::-1])]  # any order of the input
        assert len(samples) == facts[f"n_{part}_samples"]
        first = facts[f"first_{part}_samples"]
        assert samples[: len(first)] == first
        if f"last_{part}_sample" in facts:
            assert samples[-1] == facts[f"last_{part}_sample"]
        used = [paths(Clip(name, (0,)))[0].rpartition("/")[0] for name in rule.choose(tree)]
        assert used == facts[f"{part}_sequences_used"]


@pytest.mark.parametrize("case", golden_cases("readers", "sceneflow*"))
def test_permutations_are_those_of_the_authors(case: Path) -> None:
    facts = json.loads((case / "selection.json").read_text())
    named = {key: re.fullmatch(r"permutation_seed(\d+)_(\d+)_first(\d+)", key) for key in facts}
    found = {key: [int(n) for n in match.groups()] for key, match in named.items() if match}
    assert found
    for key, (seed, count, first) in found.items():
        assert draw_positions(count, {"seed": seed, "first": first}) == set(facts[key])


def test_what_the_permutations_choose() -> None:
    kept = load_windows("flyingthings3d/dynamic_stereo_test")
    left_out = load_windows("flyingthings3d/dynamic_stereo_train")
    chosen = kept.choose(sequences(kept), strict=True)
    assert len(chosen) == 40
    assert {int(name[-4:]) for name in chosen} == draw_positions(437, {"seed": 1000, "first": 40})
    rest = left_out.choose(sequences(left_out), strict=True)
    assert len(rest) == 2239 - 40
    pictures = load_windows("flyingthings3d/things_test").resolve(
        [(f"flyingthings3d_TEST_A_{i:04d}", "test", 10) for i in range(437)], strict=True
    )
    at = [int(clip.sequence[-4:]) * 10 + clip.frames[0] for clip in pictures]
    assert at == sorted(draw_positions(4370, {"seed": 1000, "first": 400}))


def test_clips_of_dynamic_replica() -> None:
    tree = [("b", "test", 7), ("a", "test", 4), ("c", "train", 9)]
    rule = load_windows("dynamic_replica/test_40")
    assert rule.set(sample_len=3).resolve(tree) == (("b", (0, 1, 2)), ("a", (0, 1, 2)))
    assert rule.set(sample_len=5).resolve(tree) == (("b", (0, 1, 2, 3, 4)),)
    assert [len(clip.frames) for clip in rule.set(sample_len=-1).resolve(tree)] == [7, 4]


def test_random_steps_are_drawn_at_every_reference_frame() -> None:
    """The loop of the publication, with the global generator that it uses."""
    tree = [("b", "train", 40), ("a", "train", 11), ("c", "train", 33)]
    for length, seed in ((5, 0), (2, 3), (1, 0)):
        np.random.seed(seed)  # noqa: NPY002
        expected = []
        for name, _, frames in tree:
            for ref in range(0, frames, 3):
                step = 1 if length == 1 else np.random.randint(1, 6)  # noqa: NPY002
                if ref + step * length < frames:
                    expected.append((name, tuple(ref + i * step for i in range(length))))
        rule = load_windows("dynamic_replica/train", sample_len=length, seed=seed)
        assert rule.resolve(tree) == tuple(expected)


@given(st.integers(1, 6), st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_sliding_windows_leave_the_last_one_out(length: int, frames: list[int]) -> None:
    tree = [(f"monkaa_{i}", "train", n) for i, n in enumerate(frames)]
    rule = load_windows("monkaa/dynamic_stereo_train", sample_len=length)
    clips = rule.resolve(tree)
    assert len(clips) == sum(2 * max(n - length, 0) for n in frames)
    for forward, backward in zip(clips[::2], clips[1::2], strict=True):
        n = dict((name, count) for name, _, count in tree)[forward.sequence]
        assert forward.frames == tuple(range(forward.frames[0], forward.frames[0] + length))
        assert backward.frames == tuple(n - 1 - t for t in forward.frames)


def test_frame_10_of_kitti() -> None:
    rule = load_windows("kitti_2015/train")
    pair = [Listed("training_000001", "train", 2, ("000001_10", "000001_11"))]
    many = [Listed("training_000002", "train", 21, tuple(f"{t:02d}" for t in range(21)))]
    assert rule.resolve([*many, *pair, ("training_000003", "train", 1)]) == (
        ("training_000001", (0,)),
        ("training_000002", (10,)),
        ("training_000003", (0,)),
    )
    with pytest.raises(UsageError, match="needs their names"):
        rule.resolve([("training_000001", "train", 2)])


def test_another_number_of_sequences_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rule = load_windows("flyingthings3d/dynamic_stereo_test")
    tree = [(f"flyingthings3d_TEST_A_{i:04d}", "test", 10) for i in range(50)]
    with caplog.at_level(logging.WARNING):
        assert len(rule.choose(tree)) == 40
    assert len(caplog.messages) == 1
    assert "published for 437 sequences, there are 50: the permutation is another" in caplog.text
    with pytest.raises(UsageError, match="published for 437"):
        rule.resolve(tree, strict=True)
    with pytest.raises(UsageError, match="4370 frames, there are 50"):
        load_windows("flyingthings3d/things_test").resolve(
            [(f"flyingthings3d_TEST_A_{i:04d}", "test", 1) for i in range(50)], strict=True
        )


def test_wrong_use_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no window rule 'a/b'; known: .*sintel/all"):
        load_windows("a/b")
    with pytest.raises(UsageError, match="known"):
        load_windows("../dynamic_replica/train")
    with pytest.raises(UsageError, match="no parameter length; it has sample_len, seed"):
        load_windows("dynamic_replica/train", length=3)
    with pytest.raises(UsageError, match="whole number"):
        load_windows("dynamic_replica/train", sample_len=2.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="1 frame or more"):
        load_windows("monkaa/dynamic_stereo_train", sample_len=0).resolve(
            [("monkaa_a", "train", 4)]
        )
    with pytest.raises(
        UsageError, match=r"none of the 1 sequences is one of part 'test' .*sceneflow"
    ):
        load_windows("flyingthings3d/things_test").resolve([("monkaa_a", "train", 4)])
    with pytest.raises(UsageError, match="load_windows"):
        splits.load_split("dynamic_replica/test_150")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "depthdata.split"},
        {"windows": {"kind": "every"}},
        {"windows": {}},
        {"windows": {"kind": "sliding", "length": 2}},
        {"windows": {"kind": "chunks", "length": "$n"}},
        {"sequences": 5},
    ],
)
def test_damage_is_found(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "windows")
    file = folder / "sintel" / "all.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(FormatError):
        load_windows("sintel/all", folder).resolve([("a", "train", 5)])


def test_lists_and_rules_share_no_name() -> None:
    assert not set(list_windows()) & set(splits.list_splits())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["split", *map(str, arguments)])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Sintel sequences, and one of another dataset."""
    folder = tmp_path_factory.mktemp("scenes")
    for name, dataset, frames in (("b", "sintel", 3), ("a", "sintel", 2), ("c", "kitti_2015", 1)):
        with SequenceWriter(
            folder / f"{name}.h5",
            dataset=dataset,
            sequence=name,
            split="train",
            licence="CC0",
            citation="none",
            converter="test 1",
            source_fingerprint="xxh3:0000000000000000",
        ) as writer:
            writer.timeline(np.arange(frames), [f"frame_{t:04d}" for t in range(frames)])
            writer.camera("left", height=2, width=2, intrinsics=np.eye(3))
    return folder


def test_command_lists_and_describes_rules() -> None:
    rows = {row["name"]: row for row in json.loads(run("--json").stdout)}
    assert rows["sintel/all"]["kind"] == "windows"
    assert rows["eigen_zhou/test"]["kind"] == "frames"
    assert "dynamic_replica/test_150" in run().stdout
    said = json.loads(run("dynamic_replica/train", "--set", "sample_len=7", "--json").stdout)
    assert said["windows"]["length"] == said["parameters"]["sample_len"] == 7
    assert "assumptions" in run("dynamic_replica/train").stdout


def test_command_prints_the_windows_of_files(scenes: Path) -> None:
    printed = run("sintel/all", scenes)
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.splitlines() == ["sequence,frames", "a,0-1", "b,0-2"]
    clips = json.loads(run("sintel/raft_stereo_frames", scenes / "b.h5", "--json").stdout)["clips"]
    assert clips == [["b", [0]], ["b", [1]], ["b", [2]]]
    strict = run("sintel/all", scenes, "--strict")
    assert strict.exit_code == 2 and "published for 23 sequences, there are 2" in strict.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such"], "known: .*eigen_zhou/test.*rules for windows: .*sintel/all"),
        (["sintel/all", "--form", "x"], "is a rule"),
        (["eigen_zhou/test", "--strict"], "is a list of frames"),
        (["dynamic_replica/train", "--set", "sample_len"], "KEY=NUMBER"),
        (["sintel/all", "--set", "seed=1"], "no parameter seed; it has none"),
    ],
)
def test_command_in_wrong_use(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert re.search(said, result.output)
