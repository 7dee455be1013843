"""Published split lists expand to exactly what was published."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata import splits
from depthdata.errors import FormatError, UsageError
from depthdata.splits import Split, list_splits, load_split

ROOT = Path(__file__).parents[1]
CSV_FOLDER = ROOT / "../shared/specs/splits"
CSV_OF = {"eigen_zhou/test": "eigen_test"}


@pytest.mark.parametrize("name", list_splits())
def test_list_is_the_published_one(name: str) -> None:
    split = load_split(name)
    assert hashlib.sha256(split.as_csv().encode()).hexdigest() == split.sha256
    assert len(split.entries) == len(split) == len(set(split.entries))
    csv = CSV_FOLDER / f"{CSV_OF.get(name, name.replace('/', '_'))}.csv"
    if csv.is_file():
        assert split.as_csv().encode() == csv.read_bytes()


def test_every_published_csv_has_a_list() -> None:
    if not CSV_FOLDER.is_dir():
        pytest.skip("the published lists are not here")
    names = {CSV_OF.get(name, name.replace("/", "_")) for name in list_splits()}
    assert {file.stem for file in CSV_FOLDER.glob("*.csv")} == names


def test_counts_of_the_published_index() -> None:
    if not CSV_FOLDER.is_dir():
        pytest.skip("the published lists are not here")
    index = json.loads((CSV_FOLDER / "index.json").read_text())
    for name in list_splits():
        split, facts = load_split(name), index[CSV_OF.get(name, name.replace("/", "_"))]
        assert (len(split), len(set(split.entries))) == (facts["rows"], facts["unique"])
        assert (len(split.sequences), split.sha256) == (facts["sequences"], facts["csv_sha256"])


@pytest.mark.parametrize(
    ("name", "project"),
    [(name, project) for name in list_splits() for project in load_split(name).texts],
)
def test_text_of_the_authors(name: str, project: str) -> None:
    text = load_split(name).as_text(project)  # checks the hash of the published file
    assert text.endswith("\n")
    assert len(text.splitlines()) == len(load_split(name))


def test_known_facts() -> None:
    test = load_split("eigen_zhou/test")
    assert len(test) == 697
    assert len(test.sequences) == 28
    assert {camera for _, camera, _ in test} == {"left"}
    assert test.entries == load_split("eigen/test").entries
    train = load_split("eigen_zhou/train")
    assert not set(train.entries) & set(test.entries)
    assert load_split("nuscenes_dayclear/test").frame_refers_to == "index"
    assert test.frame_refers_to == "frame_id"


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no split list 'eigen/train'; known: .*eigen_zhou/test"):
        load_split("eigen/train")
    with pytest.raises(UsageError, match="known"):
        load_split("../secret/file")
    with pytest.raises(UsageError, match="known: dynamo_depth"):
        load_split("waymo/test").as_text("insta_dm")


def test_filter_keeps_the_order() -> None:
    split = load_split("nuscenes/train")
    some = split.filter(["scene-0849", "scene-0232"])
    assert some.entries == tuple(e for e in split if e.sequence in {"scene-0849", "scene-0232"})
    assert split.filter(lambda name: name == "scene-0849").sequences == ("scene-0849",)
    assert len(split.filter([])) == 0


def damaged(folder: Path, change: dict[str, object]) -> Path:
    shutil.copytree(ROOT / "splits", folder)
    file = folder / "eigen" / "test.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"order": "sorted"},
        {"order": "00000"},
        {"order": 5},
        {"groups": []},
        {"groups": [["a", "b"]]},
        {"version": 99},
        {"sha256": "0" * 64},
    ],
)
def test_damage_is_found(tmp_path: Path, change: dict[str, object]) -> None:
    folder = damaged(tmp_path / "splits", change)
    with pytest.raises(FormatError):
        load_split("eigen/test", folder)


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    rows = [("b", "left", 7), ("a", "front", 0), ("b", "left", 2)]
    mine = Split.from_entries("mine", rows)
    assert list(mine) == rows
    file = tmp_path / "mine.csv"
    file.write_text(mine.as_csv())
    assert Split.from_csv(file).entries == mine.entries
    file.write_text("sequence;camera;frame\n")
    with pytest.raises(FormatError, match="header"):
        Split.from_csv(file)
    file.write_text("sequence,camera,frame\na,left,x\n")
    with pytest.raises(FormatError, match="line 2"):
        Split.from_csv(file)


@given(st.sets(st.integers(0, 500)))
def test_ranges_round_trip(frames: set[int]) -> None:
    values = np.array(sorted(frames), dtype=np.int64)
    assert splits.parse_ranges(splits.format_ranges(values)).tolist() == values.tolist()


@given(st.permutations(range(40)), st.integers(1, 40))
def test_order_round_trip(values: list[int], n: int) -> None:
    order = np.array([v for v in values if v < n], dtype=np.int64)
    assert splits.unpack_order(splits.pack_order(order), n).tolist() == order.tolist()


def test_tool_writes_the_lists_again(tmp_path: Path) -> None:
    csv = tmp_path / "waymo_test.csv"
    csv.write_text(load_split("waymo/test").as_csv())
    tool = [sys.executable, str(ROOT / "tools/make_splits.py"), str(csv), "--out", str(tmp_path)]
    subprocess.run(tool, check=True, capture_output=True, cwd=ROOT, env={"PYTHONPATH": "."})
    assert (tmp_path / "waymo/test.json").read_bytes() == (
        ROOT / "splits/waymo/test.json"
    ).read_bytes()
