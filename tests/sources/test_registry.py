"""Names of the sources, and sources of other packages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from depthdata import sources
from depthdata.codecs.images import encode_png
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthdata.sources import Card, SequenceSpec, dataset_card, get, list_datasets


def test_every_source_has_a_whole_card():
    for name in list_datasets():
        source, card = get(name), dataset_card(name)
        assert card.name == name
        assert card.title and card.licence and card.citation and card.homepage and card.terms_url
        assert isinstance(source.VERSION, int)
        urls = [archive.url for archive in card.archives if archive.url is not None]
        assert all(url.startswith(("https://", "gs://")) for url in urls)


def test_unknown_name():
    with pytest.raises(UsageError, match="kitti_raw"):
        get("kitty")


def test_card_can_be_read_without_numpy():
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from depthdata.sources import dataset_card, list_datasets\n"
        "cards = [dataset_card(name) for name in list_datasets()]\n"
        "assert cards; print({'numpy', 'h5py', 'cv2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_source_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a third party's entry point has to offer, and no more."""

    def write(spec, writer):
        blob = encode_png(np.zeros((2, 3, 3), np.uint8))
        writer.timeline(np.array([0]), ["0"])
        camera = writer.camera("front", height=2, width=3, intrinsics=np.eye(3))
        camera.encoded("rgb", [blob], [len(blob)], encoding="png")

    theirs = SimpleNamespace(
        CARD=replace(
            dataset_card("kitti_raw"), name="theirs", title="Theirs", archives=(), splits=("a",)
        ),
        VERSION=4,
        sequences=lambda root: [SequenceSpec("theirs", "one", str(root), split="a")],
        fingerprint=lambda spec: "fixed",
        write=write,
    )
    point = SimpleNamespace(name="theirs", load=lambda: theirs)
    monkeypatch.setattr(sources, "entry_points", lambda group: [point])
    assert "theirs" in list_datasets() and isinstance(dataset_card("theirs"), Card)
    (result,) = convert("theirs", tmp_path, tmp_path / "out", jobs=1, split="a").results
    with open_sequence(result.path) as sequence:
        assert sequence.converter == "depthdata theirs 4" and sequence.split == "a"
        assert sequence.cameras["front"]["rgb"][0].shape == (2, 3, 3)
