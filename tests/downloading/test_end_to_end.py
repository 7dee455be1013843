"""Download, unpack and convert whole datasets: one source per kind of access, from loopback."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from downloading.sites import Sites

import depthdata as dd
from depthdata.cli import main
from depthdata.downloading.terms import accept, terms_of
from depthdata.errors import TermsError
from depthdata.synthetic import SyntheticScene, write_raw

SIZE = {"height": 96, "width": 320}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHDATA_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("DEPTHDATA_MIRROR", raising=False)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as running:
        yield running


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=3, frames=3, **SIZE)


def zipped(files: dict[str, Path]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, path in files.items():
            archive.write(path, name)
    return data.getvalue()


def tree(root: Path, *below: str) -> dict[str, Path]:
    """Return the files in some folders of a root, by name relative to it."""
    tops = [root / name for name in below] or [root]
    return {
        path.relative_to(root).as_posix(): path
        for top in tops
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def converts(name: str, root: Path, out: Path, count: int = 1) -> None:
    """The downloaded tree is one that the converter takes, and its files are right."""
    report = dd.convert(name, root, out, jobs=1)
    assert report.ok and len(report.results) == count, report.results
    assert all(dd.verify(result.path).ok for result in report.results)


def test_open_addresses(sites: Sites, scene: SyntheticScene, tmp_path: Path) -> None:
    write_raw("sintel", scene, tmp_path / "raw")
    card = dd.dataset_card("sintel")
    for archive in card.archives:
        (part,) = archive.parts
        found = tree(next((tmp_path / "raw").glob(f"*{part}*")))
        sites.add(archive.url, zipped(found))
    root = tmp_path / "sintel"
    command = ("download", "sintel", root, "--mirror", sites.mirror, "--json")
    refused = run(*command)
    assert refused.exit_code == 4 and "--accept-license" in refused.stderr
    assert not root.exists() and not sites.asked
    done = run(*command, "--accept-license", "--delete-archives")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] == 3 and not list((root / "archives").glob("*.zip"))
    fetched = sites.total()
    assert json.loads(done.stdout)["bytes_fetched"] == fetched
    again = run(*command)  # the terms are remembered, the archives are gone, nothing is fetched
    assert again.exit_code == 0 and json.loads(again.stdout)["there"] == 3, again.output
    assert sites.total() == fetched
    converts("sintel", root, tmp_path / "out")


def test_list_of_addresses(
    sites: Sites, scene: SyntheticScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses
    import hashlib

    from depthdata.sources import dynamic_replica

    write_raw("dynamic_replica", scene, tmp_path / "raw")
    (split,) = (path.name for path in (tmp_path / "raw").iterdir() if path.is_dir())
    data = zipped(tree(tmp_path / "raw" / split))
    name = f"{split}_000.zip"
    url = sites.add(f"https://cdn.example.org/x/{name}", data)
    links = tmp_path / "links.json"
    links.write_text(json.dumps({"real": [], split: [f"{url}?Signature=s%2F1&Expires=9"]}))
    options = ("--links", links, "--accept-license", "--file", name)
    wrong = run("download", "dynamic_replica", tmp_path / "dr", *options)
    assert wrong.exit_code == 1 and "sha256" in wrong.stderr  # ours is not the published one
    archives = tuple(
        dataclasses.replace(a, sha256=hashlib.sha256(data).hexdigest()) if a.name == name else a
        for a in dynamic_replica.CARD.archives
    )
    card = dataclasses.replace(dynamic_replica.CARD, archives=archives)
    monkeypatch.setattr(dynamic_replica, "CARD", card)
    done = run("download", "dynamic_replica", tmp_path / "dr", *options)
    assert done.exit_code == 0, done.output
    assert "Signature" not in done.output
    converts("dynamic_replica", tmp_path / "dr", tmp_path / "out")


def test_login(
    sites: Sites, scene: SyntheticScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw"
    write_raw("cityscapes", scene, raw)
    readme = tmp_path / "README"
    files = {}
    for number, kind in enumerate(sorted(path.name for path in raw.iterdir())):
        name = f"{kind}_trainvaltest.zip"
        readme.write_text(f"About {kind}.")  # every archive has another one
        files[name] = (str(100 + number), zipped({**tree(raw, kind), "README": readme}))
    sites.cityscapes(files)
    known = {archive.name for archive in dd.dataset_card("cityscapes").archives}
    chosen = [option for name in files if name in known for option in ("--file", name)]
    command = ("download", "cityscapes", tmp_path / "cs", "--mirror", sites.mirror, *chosen)
    none = run(*command, "--accept-license")
    assert (
        none.exit_code == 1
        and "netrc" in none.stderr
        and "DEPTHDATA_CITYSCAPES_USER" in none.stderr
    )
    netrc = tmp_path / "netrc"
    netrc.write_text("machine www.cityscapes-dataset.com login ada password wrong\n")
    netrc.chmod(0o600)
    wrong = run(*command)
    assert wrong.exit_code == 1 and "refuses user 'ada'" in wrong.stderr
    monkeypatch.setenv("DEPTHDATA_CITYSCAPES_USER", "ada")
    monkeypatch.setenv("DEPTHDATA_CITYSCAPES_PASSWORD", "s3cret")
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "s3cret" not in done.output
    assert "packageID=100" in "".join(sites.asked)  # the site's number, not the card's
    converts("cityscapes", tmp_path / "cs", tmp_path / "out")


def test_bucket(scene: SyntheticScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    write_raw("waymo", scene, tmp_path / "raw")
    memory = fsspec.filesystem("memory")
    bucket = "/lab/waymo_open_dataset_v_1_4_3/individual_files"
    (record,) = (tmp_path / "raw").rglob("*.tfrecord")
    memory.pipe_file(f"{bucket}/training/{record.name}", record.read_bytes())
    command = ("download", "waymo", tmp_path / "wod", "--mirror", "memory://lab/{host}/{path}")
    done = run(*command, "--part", "training", "--accept-license", "--json")
    assert done.exit_code == 0, done.output
    (found,) = (tmp_path / "wod" / "training").glob("*.tfrecord")
    assert found.read_bytes() == record.read_bytes()
    again = run(*command, "--part", "training", "--json")
    assert json.loads(again.stdout)["bytes_fetched"] == 0 and again.exit_code == 0
    partly = run(*command, "--json")  # validation is not in this bucket
    assert partly.exit_code == 3 and "validation" in partly.stderr
    converts("waymo", tmp_path / "wod", tmp_path / "out")


def test_folder_on_google_drive(sites: Sites, scene: SyntheticScene, tmp_path: Path) -> None:
    write_raw("kitti_vis", scene, tmp_path / "raw")
    files = {f"kitti_256/{n}": p.read_bytes() for n, p in tree(tmp_path / "raw").items()}
    other = {"cityscapes_256/image/x/000000.jpg": b"another set"}
    top = dd.dataset_card("kitti_vis").archives[0].url.rpartition("/")[2]
    sites.google_drive_folder(files | other, top)
    command = ("download", "kitti_vis", tmp_path / "vis", "--mirror", sites.mirror, "--json")
    done = run(*command, "--accept-license")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] == len(files)
    assert json.loads(run(*command).stdout)["bytes_fetched"] == 0
    converts("kitti_vis", tmp_path / "vis", tmp_path / "out")


def test_pasted_links(sites: Sites, tmp_path: Path) -> None:
    write_raw("nuscenes", SyntheticScene(seed=3, frames=3, **SIZE), tmp_path / "raw")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, path in tree(tmp_path / "raw").items():
            archive.add(path, name)
    url = sites.add("https://bucket.example.org/public/v1.0/v1.0-mini.tgz", data.getvalue())
    command = ("download", "nuscenes", tmp_path / "ns", "--part", "mini", "--accept-license")
    bare = run(*command)
    assert bare.exit_code == 1 and "--link" in bare.stderr
    done = run(*command, "--link", f"{url}?AWSAccessKeyId=1&Signature=secret&Expires=99")
    assert done.exit_code == 0, done.output
    assert "secret" not in done.output
    assert "secret" not in (tmp_path / "ns/archives/.depthdata/v1.0-mini.tgz.json").read_text()
    converts("nuscenes", tmp_path / "ns", tmp_path / "out")


def test_archives_that_are_there(scene: SyntheticScene, tmp_path: Path) -> None:
    write_raw("eth3d", scene, tmp_path / "raw")
    mine = tmp_path / "mine" / "deep"
    mine.mkdir(parents=True)
    for folder in sorted((tmp_path / "raw").iterdir()):
        name = {"two_view_testing": "two_view_test"}.get(folder.name, folder.name)
        import py7zr

        with py7zr.SevenZipFile(mine / f"{name}.7z", "w") as archive:
            for inside in sorted(folder.iterdir()):
                archive.writeall(inside, inside.name)
    command = ("download", "eth3d", tmp_path / "eth", "--from", tmp_path / "mine")
    wrong = run(*command, "--accept-license")
    assert wrong.exit_code in (1, 3) and "sha256" in wrong.stderr  # ours are not the published ones
    for archive in mine.glob("*training*"):
        archive.write_bytes(b"<!DOCTYPE html><html><title>Sign in</title></html>")
    assert "is a web page" in run(*command, "--part", "training").stderr


def test_kitti_archives_that_are_there(scene: SyntheticScene, tmp_path: Path) -> None:
    write_raw("kitti_raw", scene, tmp_path / "raw")
    (date,) = (path for path in (tmp_path / "raw").iterdir() if path.is_dir())
    calibration = {k: v for k, v in tree(tmp_path / "raw").items() if k.count("/") == 1}
    drive = {k: v for k, v in tree(tmp_path / "raw").items() if k not in calibration}
    mine = tmp_path / "mine"
    mine.mkdir()
    (name,) = (path.name for path in date.iterdir() if path.is_dir())
    (mine / f"{name}.zip").write_bytes(zipped(drive))
    (mine / f"{date.name}_calib.zip").write_bytes(zipped(calibration))
    before = {path: path.stat().st_mtime_ns for path in mine.iterdir()}
    with pytest.raises(TermsError, match="not accepted"):
        dd.download("kitti_raw", tmp_path / "kitti", from_folder=mine)
    accept(terms_of(dd.dataset_card("kitti_raw")))
    report = dd.download("kitti_raw", tmp_path / "kitti", from_folder=mine)
    assert report.ok and [r.status for r in report.results].count("missing") == 64
    assert {path: path.stat().st_mtime_ns for path in mine.iterdir()} == before
    converts("kitti_raw", tmp_path / "kitti", tmp_path / "out")
    strict = dd.download("kitti_raw", tmp_path / "kitti", from_folder=mine, parts=["calib"])
    assert len(strict.failed) == 4


def test_killed_and_run_again(sites: Sites, scene: SyntheticScene, tmp_path: Path) -> None:
    import os
    import signal
    import sys
    import time

    archive = dd.dataset_card("kitti_2015").archives[0]
    big = tmp_path / "big"
    (big / "training").mkdir(parents=True)
    for number in range(20):
        (big / f"training/{number}.bin").write_bytes(os.urandom(1 << 20))
    data = zipped(tree(big))
    sites.add(archive.url, data)
    root = tmp_path / "kitti"
    command = [
        sys.executable, "-m", "depthdata", "download", "kitti_2015", str(root), "--file",
        archive.name, "--mirror", sites.mirror, "--accept-license", "--json",
    ]  # fmt: skip
    slow = subprocess.Popen([*command, "--limit-rate", "4M"], stdout=subprocess.DEVNULL)
    part = root / "archives" / f"{archive.name}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_blocks * 512 > 2 << 20):
        assert time.monotonic() < deadline and slow.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes_fetched"] < len(data)
    for number in range(20):
        name = f"training/{number}.bin"
        assert (root / name).read_bytes() == (big / name).read_bytes()
