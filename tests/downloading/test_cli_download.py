"""The commands download, cite and doctor as they are used from a shell."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from downloading.sites import Sites
from support import ROOT

import depthdata as dd
from depthdata.cli import main
from depthdata.cli.download import parse_rate
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHDATA_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("DEPTHDATA_MIRROR", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as running:
        yield running


def archive_of(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


# ---------------------------------------------------------------- download


def sintel(sites: Sites, count: int = 3) -> None:
    for archive in dd.dataset_card("sintel").archives[:count]:
        sites.add(archive.url, archive_of(**{f"{archive.parts[0]}.txt": b"x" * 1000}))


def test_partly_failed_then_the_rest(sites: Sites, tmp_path: Path) -> None:
    sintel(sites, 2)
    command = ("download", "sintel", tmp_path, "--accept-license", "--mirror", sites.mirror)
    partly = run(*command, "--json")
    assert partly.exit_code == 3
    report = json.loads(partly.stdout)
    assert (report["ok"], report["failed"]) == (2, 1)
    assert "MPI-Sintel-complete.zip: HTTP 404" in partly.stderr
    assert (tmp_path / "stereo" / "stereo.txt").read_bytes() == b"x" * 1000
    before = sites.total()
    sintel(sites)
    whole = run(*command, "-j", 1, "--connections", 1)
    assert whole.exit_code == 0 and "1 ok" in whole.stdout, whole.output
    archive = (tmp_path / "archives" / "MPI-Sintel-complete.zip").read_bytes()
    assert sites.total() - before == len(archive)
    assert "depthdata convert sintel" in whole.stderr


def test_left_packed_then_unpacked(sites: Sites, tmp_path: Path) -> None:
    sintel(sites)
    command = ("download", "sintel", tmp_path, "--accept-license", "--mirror", sites.mirror)
    packed = (*command, "--part", "flow", "--archives", tmp_path / "elsewhere")
    assert run(*packed, "--no-extract").exit_code == 0
    assert [p.name for p in (tmp_path / "elsewhere").glob("*.zip")] == ["MPI-Sintel-complete.zip"]
    assert not (tmp_path / "flow").exists()
    before = sites.total()
    assert run(*packed).exit_code == 0 and (tmp_path / "flow" / "flow.txt").exists()
    assert run(*packed, "--delete-archives").exit_code == 0
    assert not list((tmp_path / "elsewhere").glob("*.zip")) and sites.total() == before
    (tmp_path / "flow" / "flow.txt").unlink()  # what is lost is fetched again
    assert run(*packed).exit_code == 0 and (tmp_path / "flow" / "flow.txt").exists()
    assert sites.total() > before


def test_a_damaged_archive_is_named(sites: Sites, tmp_path: Path) -> None:
    sites.add(dd.dataset_card("sintel").archives[0].url, b"PK\x03\x04" + b"x" * 100)
    command = ("download", "sintel", tmp_path, "--part", "stereo", "--mirror", sites.mirror)
    failed = run(*command, "--accept-license")
    assert failed.exit_code == 1 and "remove the archive, fetch it again" in failed.stderr
    sites.add(dd.dataset_card("sintel").archives[0].url, b"<!DOCTYPE html><title>Moved</title>")
    (tmp_path / "archives" / "MPI-Sintel-stereo-training-20150305.zip").unlink()
    failed = run(*command)
    assert failed.exit_code == 1 and "web page" in failed.stderr
    assert "Traceback" not in failed.output


def test_archives_that_overlap(tmp_path: Path) -> None:
    """KITTI's images bring a calib.txt of four lines, its calibration one of five."""
    mine = tmp_path / "mine"
    mine.mkdir()
    calib = "dataset/sequences/00/calib.txt"
    color = archive_of(**{calib: b"four", "dataset/sequences/00/times.txt": b"0"})
    (mine / "data_odometry_color.zip").write_bytes(color)
    (mine / "data_odometry_calib.zip").write_bytes(archive_of(**{calib: b"five"}))
    for _ in range(2):
        done = run("download", "kitti_odometry", tmp_path / "k", "--from", mine, "--accept-license")
        assert done.exit_code == 0, done.output
        assert (tmp_path / "k" / "sequences/00/calib.txt").read_bytes() == b"five"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--limit-rate", "fast"], 2, "500k"),
        (["--limit-rate", "0"], 2, "500k"),
        (["--part", "no_such"], 2, "stereo, depth, flow"),
        (["--file", "no_such"], 2, "MPI-Sintel"),
        (["--link", "somewhere"], 2, "NAME=ADDRESS"),
        (["--mirror", "{no}"], 2, "expected an address"),
        (["--from", "no_such"], 2, "no_such"),
        (["--from", ".", "--delete-archives"], 2, "of a folder of yours"),
        (["--no-extract", "--delete-archives"], 2, "stay packed"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("download", "sintel", "root", "--accept-license", *options)
    assert result.exit_code == code and said in result.stderr, result.output
    assert "Traceback" not in result.output and not (tmp_path / "root").exists()


def test_nothing_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    command = ("download", "sintel", tmp_path / "s", "--from", tmp_path / "mine")
    result = run(*command, "--accept-license")
    assert result.exit_code == 1 and "not in" in result.stderr


def test_rates() -> None:
    context, parameter = click.Context(main), click.Option(["--limit-rate"])
    found = [parse_rate(context, parameter, text) for text in ("500k", "1.5M", "2 GB/s", "900")]
    assert found == [5e5, 1.5e6, 2e9, 900]


# ---------------------------------------------------------------- cite


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cited")
    scene = SyntheticScene(seed=1, frames=2, height=32, width=96, objects=1)
    write_sequence(scene, folder / "street.h5", tracks=0, lidar=False)
    write_raw("eth3d", scene, folder / "raw")
    assert dd.convert("eth3d", folder / "raw", folder / "out", jobs=1).ok
    return folder


def test_cite_of_sequence_files(files: Path) -> None:
    text = run("cite", files / "out", files / "street.h5").stdout
    assert "@inproceedings{Schoeps2017CVPR" in text and "CC BY-NC-SA 4.0" in text
    assert "https://www.eth3d.net" in text and "% dataset synthetic" in text
    cited = json.loads(run("cite", files / "out", "--json").stdout)
    assert [c["name"] for c in cited] == ["eth3d"]
    assert len(cited[0]["used_by"]) == len(list((files / "out").glob("*.h5")))


def test_cite_of_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    declared = config["options.entry_points"]["depthdata.citations"].strip()
    name, _, value = (part.strip() for part in declared.partition("="))
    point = EntryPoint(name, value, "depthdata.citations")
    monkeypatch.setattr("depthdata.cli.cite.entry_points", lambda group: [point])
    path = tmp_path / "result.json"
    result = {
        "model": {"name": "raft_stereo/eth3d"},
        "data": [{"dataset": "sintel", "sequence": "a"}, {"dataset": "sintel", "sequence": "b"}],
    }
    path.write_text(json.dumps(result))
    text = run("cite", path).stdout
    assert text.count("@inproceedings{Butler:ECCV:2012") == 1
    assert "arXiv:2109.07547" in text and "% model raft_stereo/eth3d: RAFT-Stereo, ETH3D" in text
    path.write_text(json.dumps({**result, "model": {"name": "somebody/else"}}))
    assert "% model somebody/else" in run("cite", path).stdout


def test_cite_reads_what_evaluate_writes(files: Path, tmp_path: Path) -> None:
    from depthzoo.cli import main as zoo

    path = tmp_path / "result.json"
    command = ["evaluate", "sgbm", str(files / "out"), "--protocol", "stereo/eth3d", "--json"]
    done = CliRunner().invoke(zoo, command)
    assert done.exit_code == 0, done.output
    path.write_text(done.stdout)
    assert "Schoeps2017CVPR" in run("cite", path).stdout


@pytest.mark.parametrize("content", ["{", "{}", "[3]", "not a file of ours"])
def test_cite_of_something_else(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    result = run("cite", path)
    assert result.exit_code in (1, 2) and "x.json" in result.stderr
    assert "Traceback" not in result.output


# ---------------------------------------------------------------- doctor


def findings(*arguments: object) -> dict[str, dict[str, str]]:
    result = run("doctor", "--json", *arguments)
    return {f["what"]: f for f in json.loads(result.stdout)["findings"]}


def test_doctor_of_a_good_environment(tmp_path: Path) -> None:
    result = run("doctor", tmp_path)
    assert result.exit_code == 0, result.output
    assert "all that is needed is here" in result.stdout
    found = findings(tmp_path, tmp_path / "not" / "yet")
    assert found["packages"]["status"] == found["hdf5 zstd"]["status"] == "ok"
    assert str(tmp_path / "not" / "yet") in found["disk"]["message"]
    assert found["login cityscapes"]["status"] == "note"


def test_doctor_looks_at_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine www.cityscapes-dataset.com login ada password s3cret\n")
    netrc.chmod(0o644)
    assert "chmod 600" in findings()["netrc"]["message"]
    netrc.chmod(0o600)
    found = findings()
    assert found["netrc"]["status"] == found["login cityscapes"]["status"] == "ok"
    assert "s3cret" not in json.dumps(found)
    netrc.write_text("machine\n")
    assert findings()["netrc"]["status"] == "warn"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no.json"))
    assert "no.json" in findings()["google"]["message"]


def test_doctor_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "no.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@proxy:3128")
    monkeypatch.setenv("DEPTHDATA_MIRROR", "nonsense")
    result = run("doctor")
    assert result.exit_code == 1 and "no.pem" in result.stdout and "s3cret" not in result.stdout
    found = findings()
    assert found["mirror"]["status"] == "FAIL" and found["proxy"]["status"] == "ok"
