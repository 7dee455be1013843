"""Terms are shown, accepted once, and asked for again when they change."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import depthdata as dd
from depthdata.cli import main
from depthdata.downloading.terms import Terms, accept, accepted, config_folder, require, terms_of
from depthdata.errors import TermsError

TERMS = Terms("dataset/x", "X", "CC BY 4.0", "https://example.org/terms")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPTHDATA_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_remembered_by_text(config: Path) -> None:
    assert not accepted(TERMS)
    with pytest.raises(TermsError, match="--accept-license"):
        require(TERMS, accept_license=False)
    assert not config.exists()
    require(TERMS, accept_license=True)
    require(TERMS, accept_license=False)
    record = json.loads((config / "terms.json").read_text())
    assert record["dataset/x"] == {"sha256": TERMS.digest, "text": TERMS.text}
    changed = dataclasses.replace(TERMS, licence="CC BY-NC 4.0")
    assert not accepted(changed) and accepted(TERMS)
    accept(changed)
    assert accepted(changed) and not accepted(TERMS)


def test_each_has_its_own(config: Path) -> None:
    accept(terms_of(dd.dataset_card("sintel")))
    assert accepted(terms_of(dd.dataset_card("sintel")))
    assert not accepted(terms_of(dd.dataset_card("eth3d")))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"dataset/x": 3}', b"\xff"])
def test_a_damaged_record_accepts_nothing(config: Path, content: bytes) -> None:
    config.mkdir()
    (config / "terms.json").write_bytes(content)
    assert not accepted(TERMS)
    accept(TERMS)
    assert accepted(TERMS)


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEPTHDATA_CONFIG", str(tmp_path / "file" / "config"))
    with pytest.raises(TermsError, match="DEPTHDATA_CONFIG"):
        accept(TERMS)


def test_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEPTHDATA_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert config_folder() == tmp_path / "xdg" / "depthdata"


def test_nobody_to_ask_is_exit_4(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["download", "waymo", str(tmp_path / "root")])
    assert done.exit_code == 4
    assert "Waymo Dataset License Agreement" in done.stderr and "https://waymo.com" in done.stderr
    assert "Traceback" not in done.output and not (tmp_path / "root").exists()


@pytest.mark.parametrize(("answer", "code"), [("n\n", 4), ("y\n", 1)])
def test_somebody_is_asked(
    answer: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depthdata.cli.download._is_interactive", lambda: True)
    command = ["download", "dynamic_replica", str(tmp_path / "root"), "--part", "real"]
    done = CliRunner().invoke(main, command, input=answer)
    assert done.exit_code == code, done.output  # accepted: then the addresses are missing
    assert accepted(terms_of(dd.dataset_card("dynamic_replica"))) == (code == 1)
