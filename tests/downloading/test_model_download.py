"""`depthzoo download` puts weights where `depthzoo.load` finds them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from downloading.sites import Sites

import depthzoo as dz
from depthdata.errors import TermsError, UsageError
from depthzoo.cli import main
from depthzoo.models.downloads import downloaded, source_card


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPTHDATA_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEPTHDATA_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as running:
        yield running


def lite_mono(variant: str) -> dict[str, bytes]:
    """Return the files of an untrained Lite-Mono."""
    network = dz.networks.create("lite_mono", variant=variant, trained_width=640)
    files = {}
    for part in ("encoder", "depth"):
        data = io.BytesIO()
        torch.save(network.get_submodule(part).state_dict(), data)
        files[f"{part}.pth"] = data.getvalue()
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"lite-mono/{name}", content)
    return data.getvalue()


def test_a_share_of_several_files(sites: Sites, cache: Path) -> None:
    name = "lite_mono/base_640x192"
    with pytest.raises(UsageError, match=f"depthzoo download {name}"):
        dz.load(name)
    card = dz.model_card(name)
    data = zipped(lite_mono("base"))
    sites.add(f"{card.weights[0].url}/download", data)
    command = ("download", name, "--mirror", sites.mirror, "--json")
    refused = run(*command)
    assert refused.exit_code == 4 and "MIT" in refused.stderr and not cache.exists()
    done = run(*command, "--accept-license")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["bytes_fetched"] == len(data)
    model = dz.load(name)
    assert model.weights_sha256 == dz.load(name, weights=downloaded(card)).weights_sha256
    again = run(*command)
    assert json.loads(again.stdout)["bytes_fetched"] == 0 and json.loads(again.stdout)["there"] == 1


def test_files_that_are_there(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "deep"
    mine.mkdir(parents=True)
    for file, content in lite_mono("tiny").items():
        (mine / file).write_bytes(content)
    name = "lite_mono/tiny_640x192"  # published without a direct address
    with pytest.raises(TermsError):
        dz.download(name, from_folder=tmp_path / "mine")
    bare = dz.download(name, accept_license=True)
    assert not bare.ok and "--from" in bare.failed[0].message
    report = dz.download(name, from_folder=tmp_path / "mine")
    assert report.ok and [r.name for r in report.results] == ["encoder.pth", "depth.pth"]
    assert dz.load(name).weights_sha256
    with pytest.raises(UsageError):
        dz.load("lite_mono/small_640x192")  # files of one variant are not those of another


def test_an_archive_with_a_checksum(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "monodepth2/mono+stereo_640x192"
    card = dz.model_card(name)
    sites.add(card.weights[0].url, b"PK\x03\x04nothing")
    wrong = run("download", name, "--mirror", sites.mirror, "--accept-license")
    assert wrong.exit_code == 1 and "md5" in wrong.stderr and downloaded(card) is None
    right = hashlib.md5(b"PK\x03\x04nothing").hexdigest()
    changed = dataclasses.replace(
        card, weights=tuple(dataclasses.replace(w, archive_md5=right) for w in card.weights)
    )
    monkeypatch.setattr("depthzoo.models.model_card", lambda _: changed)
    assert dz.download(name, mirror=sites.mirror).ok
    assert downloaded(changed).name == "mono+stereo_640x192.zip"


def test_models_of_one_archive_fetch_it_once(sites: Sites) -> None:
    sites.add("https://www.dropbox.com/s/ftveifyqcomiwaq/models.zip", b"PK\x03\x04models")
    models = ("raft_stereo/sceneflow", "raft_stereo/eth3d")
    done = run("download", *models, "--mirror", sites.mirror, "--accept-license")
    assert done.exit_code == 0, done.output
    assert sites.total() == len(b"PK\x03\x04models")
    assert downloaded(dz.model_card(models[0])) == downloaded(dz.model_card(models[1]))


def test_places_do_not_mix() -> None:
    seen: dict[tuple[str, str, str], str | None] = {}
    for name in dz.list_models():
        card = dz.model_card(name)
        for archive in source_card(card).archives if card.weights else ():
            key = (card.family, archive.extract_to, archive.name)
            assert seen.setdefault(key, archive.url) == archive.url


def test_nothing_to_download() -> None:
    result = run("download", "sgbm", "--accept-license")
    assert result.exit_code == 2 and "needs no weights" in result.stderr
    assert run("download", "no_such/model").exit_code == 2
