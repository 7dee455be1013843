"""convert(): plans, pools, shards, reruns, failures, full disks, kills."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kitti_tree import DATE, drive_name, write_tree

from depthdata import conversion
from depthdata.conversion import convert, remove_stale_parts
from depthdata.errors import FormatError, MissingDependencyError, SourceError, UsageError
from depthdata.receipts import read_receipts, rebuild_index
from depthdata.sequence import open_sequence, verify
from depthdata.sequence.part import PartFile
from depthdata.synthetic.layouts import sintel, waymo
from depthdata.synthetic.scene import SyntheticScene


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drives; not to be changed."""
    return write_tree(tmp_path_factory.mktemp("kitti") / "raw", drives=3)


@pytest.fixture
def own(raw: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(raw, tmp_path / "raw")


def _digests(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.h5")}


def _statuses(report: conversion.ConversionReport) -> list[str]:
    return [result.status for result in report.results]


def test_inline_and_pool_give_the_same_bytes(raw: Path, tmp_path: Path):
    seen: list[tuple[int, int, str]] = []
    one = convert("kitti_raw", raw, tmp_path / "one", jobs=1, progress=lambda *a: seen.append(a))
    two = convert("kitti_raw", raw, tmp_path / "two", jobs=2)
    assert one.ok and two.ok and not one.failed
    names = [drive_name(n) for n in (1, 2, 3)]
    assert [result.sequence for result in two.results] == names
    assert seen == [(i + 1, 3, name) for i, name in enumerate(names)]
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(
        [*(f"{name}.h5" for name in names), "dataset.json", "receipts.jsonl"]
    )
    for result in two.results:
        assert result.status == "converted" and result.seconds > 0
        assert result.bytes == result.path.stat().st_size
        with open_sequence(result.path) as sequence:
            assert sequence.source_fingerprint == result.source_fingerprint
            assert sequence.converter == "depthdata kitti_raw 1"


def test_rerun_skips_what_is_up_to_date(own: Path, tmp_path: Path):
    out = tmp_path / "out"
    convert("kitti_raw", own, out, jobs=1)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    assert _statuses(convert("kitti_raw", own, out, jobs=1)) == ["skipped"] * 3
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.h5")} == before

    scan = own / DATE / drive_name(2) / "velodyne_points/data/0000000001.bin"
    points = np.fromfile(scan, "<f4")
    points[4] += 1
    points.tofile(scan)
    report = convert("kitti_raw", own, out, jobs=1)
    assert _statuses(report) == ["skipped", "failed", "skipped"]
    assert "overwrite" in report.failed[0].message and "source" in report.failed[0].message
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.h5")} == before
    report = convert("kitti_raw", own, out, jobs=1, overwrite=True)
    assert _statuses(report) == ["skipped", "converted", "skipped"]
    with open_sequence(report.results[1].path) as sequence:
        assert sequence.source_fingerprint == report.results[1].source_fingerprint
    assert _statuses(convert("kitti_raw", own, out, jobs=1)) == ["skipped"] * 3


def test_another_version_or_profile_is_not_up_to_date(raw: Path, tmp_path: Path, monkeypatch):
    from depthdata.sources import kitti_raw

    options = {"sequences": [drive_name(1)], "jobs": 1}
    convert("kitti_raw", raw, tmp_path, **options)
    report = convert("kitti_raw", raw, tmp_path, portable=True, **options)
    assert "profile default, now portable" in report.failed[0].message
    monkeypatch.setattr(kitti_raw, "VERSION", 2)
    report = convert("kitti_raw", raw, tmp_path, **options)
    assert "depthdata kitti_raw 1, now depthdata kitti_raw 2" in report.failed[0].message
    assert convert("kitti_raw", raw, tmp_path, overwrite=True, **options).ok


def test_a_damaged_file_in_the_way_is_an_error_unless_overwritten(raw: Path, tmp_path: Path):
    path = tmp_path / f"{drive_name(1)}.h5"
    path.write_bytes(b"no sequence file")
    options = {"sequences": [drive_name(1)], "jobs": 1}
    report = convert("kitti_raw", raw, tmp_path, **options)
    assert _statuses(report) == ["failed"] and path.read_bytes() == b"no sequence file"
    assert list(json.loads((tmp_path / "dataset.json").read_text())["problems"]) == [path.name]
    assert convert("kitti_raw", raw, tmp_path, overwrite=True, **options).ok
    assert verify(path).ok


def test_one_failure_stops_no_other(own: Path, tmp_path: Path):
    (own / DATE / drive_name(2) / "image_02/data/0000000001.png").write_bytes(b"<html>")
    out = tmp_path / "out"
    report = convert("kitti_raw", own, out, jobs=2)
    assert _statuses(report) == ["converted", "failed", "converted"]
    assert not report.ok and [result.sequence for result in report.failed] == [drive_name(2)]
    receipts = read_receipts(out)
    assert {r["sequence"]: r["status"] for r in receipts} == {
        drive_name(1): "converted", drive_name(2): "failed", drive_name(3): "converted",
    }  # fmt: skip
    index = json.loads((out / "dataset.json").read_text())
    assert [s["sequence"] for s in index["sequences"]] == [drive_name(1), drive_name(3)]


@pytest.mark.parametrize(
    "shards", [("1/2", "2/2"), ("0/2", "1/2"), ("1/1",), ("1/5", "2/5", "3/5", "4/5", "5/5")]
)
def test_shards_cover_everything_once(raw: Path, tmp_path: Path, shards: tuple[str, ...]):
    done = []
    for shard in shards:
        report = convert("kitti_raw", raw, tmp_path, shard=shard, dry_run=True)
        done += [result.sequence for result in report.results]
    assert sorted(done) == [drive_name(n) for n in (1, 2, 3)]


@pytest.mark.parametrize("shard", ["2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_wrong_shard(raw: Path, tmp_path: Path, shard: str):
    with pytest.raises(UsageError, match="shard should be I/N"):
        convert("kitti_raw", raw, tmp_path, shard=shard)


def test_shards_side_by_side_leave_one_whole_index(raw: Path, tmp_path: Path):
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from depthdata.conversion import convert\n"
        f"r = convert('kitti_raw', {str(raw)!r}, {str(tmp_path)!r}, jobs=1, shard=sys.argv[1])\n"
        "assert r.ok"
    )
    parts = [subprocess.Popen([sys.executable, "-c", code, f"{i}/3"]) for i in (1, 2, 3)]
    assert [part.wait(60) for part in parts] == [0, 0, 0]
    index = json.loads((tmp_path / "dataset.json").read_text())
    assert [s["sequence"] for s in index["sequences"]] == [drive_name(n) for n in (1, 2, 3)]
    assert len(read_receipts(tmp_path)) == 3


def test_choice_of_sequences_and_splits(raw: Path, tmp_path: Path):
    def chosen(**options) -> list[str]:
        report = convert("kitti_raw", raw, tmp_path / "out", dry_run=True, **options)
        assert set(_statuses(report)) == {"planned"}
        return [result.sequence for result in report.results]

    assert chosen(sequences=[drive_name(3), drive_name(1)]) == [drive_name(1), drive_name(3)]
    assert chosen(sequences=drive_name(2)) == [drive_name(2)]
    assert chosen(split="eigen_zhou/test") == [drive_name(2)]  # 0002 is in the Eigen split
    assert not (tmp_path / "out").exists()  # a dry run writes nothing
    with pytest.raises(UsageError, match="has no sequence nothing"):
        chosen(sequences=["nothing"])
    with pytest.raises(UsageError, match="none of the sequences of split nuscenes/test"):
        chosen(split="nuscenes/test")
    with pytest.raises(UsageError, match="jobs"):
        chosen(jobs=0)
    with pytest.raises(UsageError, match="kitti_raw"):
        convert("no_such_dataset", raw, tmp_path)
    with pytest.raises(SourceError, match="no drive found"):
        convert("kitti_raw", tmp_path, tmp_path / "out")


def test_published_selections_of_other_datasets(tmp_path: Path):
    scene = SyntheticScene(width=96, height=64, frames=1)
    listed = "10203656353524179475_7625_000_7645_000"
    for name in (listed, "1_2_3_4_5"):
        folder = tmp_path / "waymo"
        waymo.write(scene, folder, split="validation", name=name, top=(4, 20), near=(4, 20))
    sintel.write(scene, tmp_path / "sintel", sequence="bamboo_1")

    def chosen(dataset: str, split: str) -> list[str]:
        report = convert(dataset, tmp_path / dataset, tmp_path, split=split, dry_run=True)
        return [result.sequence for result in report.results]

    assert chosen("waymo", "waymo/test") == [f"segment-{listed}"]  # the list says val/segment-...
    assert chosen("sintel", "sintel/all") == ["bamboo_1"]  # a rule for windows
    with pytest.raises(UsageError, match="none of the sequences of split waymo/test"):
        chosen("sintel", "waymo/test")


def test_dry_run_tells_what_would_happen(own: Path, tmp_path: Path):
    out = tmp_path / "out"
    convert("kitti_raw", own, out, jobs=1, sequences=[drive_name(1), drive_name(2)])
    (own / DATE / drive_name(2) / "oxts/data/0000000001.txt").unlink()
    report = convert("kitti_raw", own, out, dry_run=True)
    assert _statuses(report) == ["skipped", "failed", "planned"]
    report = convert("kitti_raw", own, out, dry_run=True, overwrite=True)
    assert _statuses(report) == ["skipped", "planned", "planned"]


def test_a_sequence_may_not_be_there_twice(own: Path, tmp_path: Path, monkeypatch):
    from depthdata.sources import kitti_raw

    found = kitti_raw.sequences(own)
    monkeypatch.setattr(kitti_raw, "sequences", lambda root: found + found)
    with pytest.raises(SourceError, match="is there twice"):
        convert("kitti_raw", own, tmp_path / "out")


def test_scheduler_needs_dask(raw: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"depthdata\[dask\]"):
        convert("kitti_raw", raw, tmp_path, scheduler="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_dask_cluster_does_the_work(raw: Path, tmp_path: Path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        report = convert("kitti_raw", raw, tmp_path / "dask", scheduler=cluster.scheduler_address)
    assert _statuses(report) == ["converted"] * 3
    convert("kitti_raw", raw, tmp_path / "here", jobs=1)
    assert _digests(tmp_path / "dask") == _digests(tmp_path / "here")


@pytest.mark.parametrize("size", [3000, 30_000, 100_000])
def test_a_full_disk_leaves_nothing_behind(raw: Path, tmp_path: Path, size: int):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from depthdata.conversion import convert\n"
        f"r = convert('kitti_raw', {str(raw)!r}, {str(tmp_path)!r}, jobs=1)\n"
        "print([x.status for x in r.results]); print(r.results[0].message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limited, timeout=60
    )
    statuses, message = done.stdout.splitlines()
    assert statuses == str(["failed"] * 3), done.stderr
    assert f"no space left in {tmp_path}" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset.json", "receipts.jsonl"]


def test_interrupt_leaves_nothing_half_written(raw: Path, tmp_path: Path, monkeypatch):
    def stop(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        with pytest.raises(KeyboardInterrupt):
            convert("kitti_raw", raw, out, jobs=jobs, progress=stop)
        assert not list(out.glob("*.part-*"))
        index = json.loads((out / "dataset.json").read_text())
        files = [s["file"] for s in index["sequences"]]
        assert files and files == sorted(path.name for path in out.glob("*.h5"))


def test_parts_of_dead_processes_are_removed(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        dead = process.pid
    host = PartFile(tmp_path / "x.h5").path.name.split("-")[1]
    gone = tmp_path / f"a.h5.part-{host}-{dead}"
    spool = tmp_path / f"a.h5.part-{host}-{dead}.cameras.left.depth.x"
    alive = tmp_path / f"b.h5.part-{host}-{os.getpid()}"
    elsewhere = tmp_path / f"c.h5.part-elsewhere.{host}-{dead}"
    recycled = tmp_path / f"d.h5.part-{host}-{os.getppid()}"
    final = tmp_path / "e.h5"
    for path in (gone, spool, alive, elsewhere, recycled, final):
        path.touch()
    os.utime(recycled, (1, 1))  # written before the process that now has the number started
    assert remove_stale_parts(tmp_path) == [gone, spool, recycled]
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, final])


def test_rebuild_index_finds_what_is_there(raw: Path, tmp_path: Path):
    convert("kitti_raw", raw, tmp_path, jobs=1, portable=True)
    text = (tmp_path / "dataset.json").read_text()
    (tmp_path / "dataset.json").unlink()
    index = rebuild_index(tmp_path)
    assert (tmp_path / "dataset.json").read_text() == text
    assert json.loads(text) == index
    assert index["frames"] == 9 and index["problems"] == {}
    entry = index["sequences"][0]
    assert entry["cameras"]["left"]["streams"] == {"rgb": 3, "depth": 3}
    assert entry["bytes"] == (tmp_path / entry["file"]).stat().st_size


KILLS = 20


def test_killed_conversions_leave_no_bad_file(tmp_path: Path):
    """SIGKILL at random moments: no file that opens is wrong, the rerun gives the same bytes."""
    raw = write_tree(tmp_path / "raw", drives=4, frames=4)
    whole = tmp_path / "whole"
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from depthdata.conversion import convert\n"
        f"print(flush=True); convert('kitti_raw', {str(raw)!r}, sys.argv[1], jobs=1)"
    )

    def start(out: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        return process

    started = time.monotonic()
    process = start(whole)
    started = time.monotonic()
    assert process.wait(60) == 0
    duration = time.monotonic() - started
    expected = _digests(whole)
    assert len(expected) == 4

    rng = random.Random(0)
    killed = 0
    for attempt in range(KILLS):
        out = tmp_path / f"out{attempt}"
        process = start(out)
        started = time.monotonic()
        try:
            process.wait(duration * (attempt + rng.random()) / KILLS)
            duration = min(duration, time.monotonic() - started)  # the machine is quicker now
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait(60) == -signal.SIGKILL
        if not out.exists():
            continue
        digests = _digests(out)
        assert digests.items() <= expected.items()
        for part in out.glob("*.part-*"):
            with contextlib.suppress(FormatError):
                open_sequence(part)  # killed between its last byte and its name
                whole_part = hashlib.sha256(part.read_bytes()).hexdigest()
                assert whole_part == expected[f"{part.name.partition('.h5')[0]}.h5"]
        if attempt % 5 == 4:
            report = convert("kitti_raw", raw, out, jobs=1)
            assert report.ok
            assert _statuses(report).count("skipped") == len(digests)
            assert _digests(out) == expected
            assert not list(out.glob("*.part-*"))
    assert killed > KILLS // 2
