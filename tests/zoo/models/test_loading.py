"""Weights in several files: found together, each in its place, the first use remembered."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from depthdata.errors import FormatError, UsageError
from depthzoo.models.card import Card, Needs, WeightsFile
from depthzoo.models.loading import check_options, load_weights

URL = "https://example.org/two.zip"
CARD = Card(
    name="two/kitti",
    family="two",
    title="Two parts",
    licence="MIT",
    paper="https://example.org/paper",
    homepage="https://example.org",
    needs=Needs(),
    gives=("depth",),
    invariance="scale",
    weights=(
        WeightsFile("encoder.pth", URL, "two.zip", prefix="encoder."),
        WeightsFile("depth.pth", URL, "two.zip", prefix="decoder.", ignore=("old.*",)),
    ),
)


def network() -> torch.nn.Module:
    parts = {"encoder": torch.nn.Linear(2, 3), "decoder": torch.nn.Linear(3, 1)}
    return torch.nn.ModuleDict(parts)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "weights" / "two"
    folder.mkdir(parents=True)
    source = network()
    torch.save({"height": 192, **source["encoder"].state_dict()}, folder / "encoder.pth")
    decoder = {"old.w": torch.zeros(2), **source["decoder"].state_dict()}
    torch.save(decoder, folder / "depth.pth")
    torch.save(source.state_dict(), folder / "whole.pth")
    return folder


def is_filled(net: torch.nn.Module, folder: Path) -> bool:
    want = torch.load(folder / "whole.pth", weights_only=True)
    return all(torch.equal(value, want[key]) for key, value in net.state_dict().items())


def test_folder_folder_above_and_archive_give_the_same(folder, tmp_path):
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            file.write(path, f"two/{path.name}")
    digests = set()
    for place in (folder, folder.parent, archive):
        net = network()
        digests.add(load_weights(CARD, net, place))
        assert is_filled(net, folder)
    assert len(digests) == 1 and len(digests.pop()) == 64


def test_what_is_not_there_is_named(folder):
    with pytest.raises(UsageError, match=r"encoder\.pth, depth\.pth: .*download .*two\.zip"):
        load_weights(CARD, network(), None)
    shutil.copytree(folder, folder.parent / "other")
    with pytest.raises(UsageError, match="2 folders have weights of two/kitti: other, two"):
        load_weights(CARD, network(), folder.parent)
    (folder / "depth.pth").unlink()
    with pytest.raises(UsageError, match=r"two/kitti needs depth\.pth too"):
        load_weights(CARD, network(), folder)
    (folder / "encoder.pth").unlink()
    with pytest.raises(UsageError, match=r"found no encoder\.pth"):
        load_weights(CARD, network(), folder)


def test_a_key_too_many_or_too_few_is_refused(folder):
    torch.save({"weight": torch.zeros(1, 3)}, folder / "depth.pth")
    with pytest.raises(FormatError, match=r"depth\.pth.*1 missing \(bias\)"):
        load_weights(CARD, network(), folder)


def test_other_bytes_than_at_first_use_are_reported(folder, caplog):
    with caplog.at_level(logging.WARNING):
        load_weights(CARD, network(), folder)
        load_weights(CARD, network(), folder)
        assert not caplog.text
        torch.save(torch.nn.Linear(2, 3).state_dict(), folder / "encoder.pth")
        load_weights(CARD, network(), folder)
    assert "that was used first as encoder.pth" in caplog.text


def test_options_that_a_family_lacks_are_named():
    check_options(CARD, {"window": 3}, ("window",))
    with pytest.raises(UsageError, match="no option colour; it has window"):
        check_options(CARD, {"colour": 3}, ("window",))
