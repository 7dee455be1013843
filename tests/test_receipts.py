"""receipts.jsonl and dataset.json: whole lines, whole files."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from depthdata.errors import DepthdataError
from depthdata.receipts import INDEX, RECEIPTS, append_receipt, read_receipts, rebuild_index


def test_receipts_come_back_in_order_with_their_time(tmp_path: Path):
    for number in range(3):
        append_receipt(tmp_path, {"sequence": f"ü {number}", "status": "failed"})
    found = read_receipts(tmp_path)
    assert [record["sequence"] for record in found] == ["ü 0", "ü 1", "ü 2"]
    assert all(record["time"].endswith("+00:00") for record in found)
    assert read_receipts(tmp_path / "nowhere") == []


def test_a_half_written_line_costs_no_other(tmp_path: Path):
    append_receipt(tmp_path, {"n": 1})
    path = tmp_path / RECEIPTS
    path.write_bytes(path.read_bytes() + b'{"time": "2026-01-01", "n": 2, "mess')
    append_receipt(tmp_path, {"n": 3})
    assert [record["n"] for record in read_receipts(tmp_path)] == [1, 3]


def _append_many(root: str, who: int) -> None:
    for number in range(50):
        append_receipt(root, {"who": who, "number": number, "filler": "x" * 200})


def test_processes_append_at_the_same_time(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    crew = [context.Process(target=_append_many, args=(str(tmp_path), who)) for who in range(3)]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    found = read_receipts(tmp_path)
    for who in range(3):
        assert [r["number"] for r in found if r["who"] == who] == list(range(50))


def test_index_of_an_empty_or_foreign_folder(tmp_path: Path):
    assert rebuild_index(tmp_path)["sequences"] == []
    (tmp_path / "foreign.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))
    index = rebuild_index(tmp_path)
    assert list(index["problems"]) == ["foreign.h5"]
    assert json.loads((tmp_path / INDEX).read_text()) == index
    assert sorted(path.name for path in tmp_path.iterdir()) == [INDEX, "foreign.h5"]


def test_a_folder_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(DepthdataError, match="nowhere"):
        append_receipt(tmp_path / "nowhere", {})
    with pytest.raises(DepthdataError, match="nowhere"):
        rebuild_index(tmp_path / "nowhere")
