"""Archives unpack to what was packed, once; what is there already stays."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from downloading.archive_builder import KINDS, PACKERS, TREE, build, compressed, entry, files, tar

from depthdata.downloading import archives_7z
from depthdata.downloading.archives import Limits, Report, extract, extracted
from depthdata.downloading.progress import Progress
from depthdata.errors import DownloadError, MissingDependencyError, UsageError

BYTES = sum(map(len, TREE.values()))
PROGRAM = next(filter(None, map(shutil.which, archives_7z.PROGRAMS)), None)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def archive(tmp_path: Path, kind: str) -> Path:
    return build(tmp_path / f"a.{kind}", kind)


def test_an_archive_unpacks_to_what_was_packed(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "out"
    report = extract(archive, into)
    assert report == Report(archive, into, files=len(TREE), bytes=BYTES)
    assert files(into) == TREE
    assert archive.exists()


def test_a_second_run_writes_nothing(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    extract(archive, into)
    before = {path: path.stat().st_mtime_ns for path in into.rglob("*.*") if path.is_file()}
    report = extract(archive, into)
    assert (report.files, report.there) == (0, len(TREE))
    assert all(path.stat().st_mtime_ns == before[path] for path in before if path.suffix == ".png")


def test_what_was_removed_comes_back_and_nothing_else(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    extract(archive, into)
    (into / "scene/calib.txt").unlink()
    assert extracted(archive, into) is None
    report = extract(archive, into)
    assert (report.files, report.there) == (1, len(TREE) - 1)
    assert files(into) == TREE


def test_the_archive_may_go_once_all_is_there(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    assert extracted(archive, into) is None
    assert extract(archive, into, delete=True).deleted
    assert not archive.exists()
    found = extracted(archive, into)
    assert found is not None
    assert found.there == len(TREE)
    (into / "readme").write_bytes(b"y" * 100_000)
    assert extracted(archive, into) is None


def test_an_archive_that_failed_is_not_removed(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "readme").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="readme: is there with other bytes than a"):
        extract(archive, tmp_path / "out", delete=True)
    assert archive.exists()
    assert (tmp_path / "out" / "readme").read_bytes() == b"mine"


def test_files_of_others_are_kept_or_replaced_on_demand(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    into.mkdir()
    (into / "readme").write_bytes(b"mine")
    report = extract(archive, into, existing="keep")
    assert (report.files, report.kept) == (len(TREE) - 1, 1)
    assert files(into) == {**TREE, "readme": b"mine"}
    assert extract(archive, into, existing="replace").files == 1
    assert files(into) == TREE


def test_the_same_bytes_from_elsewhere_are_taken(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    for name, data in TREE.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_bytes(data)
    report = extract(archive, into)
    assert (report.files, report.there) == (0, len(TREE))


def test_some_members_then_all(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    report = extract(archive, into, members=["*/left/*"])
    assert (report.files, report.skipped) == (2, 3)
    assert set(files(into)) == {name for name in TREE if "left" in name}
    assert extracted(archive, into) is None
    assert extract(archive, into, members=lambda name: name == "readme").files == 1
    report = extract(archive, into)
    assert (report.files, report.there) == (2, 3)
    assert files(into) == TREE


def test_leading_folders_are_left_away(archive: Path, tmp_path: Path) -> None:
    report = extract(archive, tmp_path / "out", strip=1)
    assert report.skipped == 1
    assert files(tmp_path / "out") == {
        name.partition("/")[2]: data for name, data in TREE.items() if "/" in name
    }


def test_another_version_of_the_archive_is_not_the_same(archive: Path, tmp_path: Path) -> None:
    into, kind = tmp_path / "out", archive.name[2:]
    extract(archive, into)
    other = {**TREE, "readme": b"y" * 100_000}
    build(archive, kind, other)
    os.utime(archive, ns=(1, 1))  # two builds may be within one tick of the clock
    with pytest.raises(DownloadError, match="with other bytes"):
        extract(archive, into)
    assert extract(archive, into, existing="replace").files == 1
    assert files(into) == other


def test_progress_ends_at_the_size_of_the_archive(archive: Path, tmp_path: Path) -> None:
    progress = Progress()
    extract(archive, tmp_path / "out", progress=progress)
    (file,) = progress.files.values()
    assert (file.done, file.size, file.status) == (archive.stat().st_size,) * 2 + ("ok",)
    assert file.name == f"unpack {archive.name}"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar_with_long_names(tmp_path: Path, form: int) -> None:
    name = "/".join(["folder" * 5] * 4) + "/" + "n" * 90
    (tmp_path / "a.tar").write_bytes(tar((entry(name), b"1" * 513), (entry("b"), b""), form=form))
    extract(tmp_path / "a.tar", tmp_path / "out")
    assert files(tmp_path / "out") == {name: b"1" * 513, "b": b""}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zip(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.mkdir("empty")
        for name, data in TREE.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    extract(tmp_path / "a.zip", tmp_path / "out")
    assert files(tmp_path / "out") == TREE
    assert (tmp_path / "out" / "empty").is_dir()


def test_a_zip_behind_a_program_and_of_several_gzip_streams(tmp_path: Path) -> None:
    data = build(tmp_path / "a.zip", "zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\nexit\n" + data)
    extract(tmp_path / "b.zip", tmp_path / "zip")
    assert files(tmp_path / "zip") == TREE
    plain = build(tmp_path / "a.tar", "tar").read_bytes()
    packed = compressed(plain[:700], "gz") + compressed(plain[700:], "gz")
    (tmp_path / "a.tgz").write_bytes(packed)
    extract(tmp_path / "a.tgz", tmp_path / "tgz")
    assert files(tmp_path / "tgz") == TREE


@pytest.mark.parametrize("form", PACKERS)
def test_a_single_compressed_file(tmp_path: Path, form: str) -> None:
    data = b"depth" * 100_000
    (tmp_path / f"list.txt.{form}").write_bytes(compressed(data, form))
    report = extract(tmp_path / f"list.txt.{form}", tmp_path / "out")
    assert files(tmp_path / "out") == {"list.txt": data}
    assert report.bytes == len(data)
    assert extract(tmp_path / f"list.txt.{form}", tmp_path / "out").there == 1


def test_permissions_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar((entry("run"), b"#!/bin/sh"), (entry("d", b"5"), b"")))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("run")
        info.external_attr = (stat.S_IFREG | 0o6777) << 16
        archive.writestr(info, b"#!/bin/sh")
    mask = os.umask(0o022)
    try:
        for name in ("a.tar", "a.zip"):
            extract(tmp_path / name, tmp_path / name[2:])
            assert stat.S_IMODE((tmp_path / name[2:] / "run").stat().st_mode) == 0o644
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "tar" / "d").stat().st_mode) & 0o7000 == 0


@pytest.mark.skipif(PROGRAM is None, reason="no program 7z here")
def test_the_program_unpacks_7z_where_the_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = build(tmp_path / "a.7z", "7z")
    monkeypatch.setitem(sys.modules, "py7zr", None)
    report = extract(archive, tmp_path / "out", members=["*.png", "*.txt"])
    assert report.files == 4
    assert extract(archive, tmp_path / "out").files == 1
    assert files(tmp_path / "out") == TREE
    damaged = bytearray(archive.read_bytes())
    damaged[60] ^= 0xFF
    (tmp_path / "b.7z").write_bytes(damaged)
    with pytest.raises(DownloadError, match=r"b\.7z: .*; remove the archive, fetch it again"):
        extract(tmp_path / "b.7z", tmp_path / "b")


def test_one_line_where_nothing_unpacks_7z(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = build(tmp_path / "a.7z", "7z")
    monkeypatch.setitem(sys.modules, "py7zr", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"a\.7z: .*depthdata\[7z\].* program 7z$"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for number, size in enumerate((1 << 20, 1 << 24)):
        peak = 0
        for kind in ("zip", "tar.gz", "tar.xz"):
            archive = build(tmp_path / f"{number}.{kind}", kind, {"big": bytes(size)})
            tracemalloc.start()
            extract(archive, tmp_path / f"{number}")
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            (tmp_path / f"{number}" / "big").unlink()
        peaks.append(peak)
    assert peaks[1] < peaks[0] + (1 << 20)


def test_wrong_arguments_are_one_line(tmp_path: Path) -> None:
    archive = build(tmp_path / "a.zip", "zip")
    with pytest.raises(UsageError, match=r"members are several patterns.*\['\*.png'\]"):
        extract(archive, tmp_path, members="*.png")
    with pytest.raises(UsageError, match="strip is a number"):
        extract(archive, tmp_path, strip=-1)
    with pytest.raises(UsageError, match="existing is"):
        extract(archive, tmp_path, existing="ask")  # type: ignore[arg-type]


def test_no_space_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = build(tmp_path / "a.zip", "zip")
    real = os.statvfs(tmp_path)
    full = os.statvfs_result([*real[:4], 1, *real[5:]])
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    with pytest.raises(DownloadError, match="free"):
        extract(archive, tmp_path / "out")
    assert files(tmp_path / "out") == {}
    assert Limits().members > 1_000_000
