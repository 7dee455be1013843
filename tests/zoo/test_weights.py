"""Weights files: what is read, what is refused, what is kept."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from depthdata.errors import DepthdataError, FormatError, UsageError
from depthzoo.weights import cache_folder, compare_keys, load_checkpoint, load_state


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Bomb:
    """Runs a call when it is unpickled in the ordinary way."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def one_line(caught) -> str:
    message = str(caught.value)
    assert isinstance(caught.value, DepthdataError)
    assert "\n" not in message and len(message) < 400
    return message


LAYOUTS = {
    "bare": lambda state: state,
    "data-parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "nested": lambda state: {"state_dict": state, "epoch": 3, "name": "x"},
    "nested data-parallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
    "nested twice": lambda s: {"model": {"state_dict": s, "arch": "x"}, "total_steps": 7},
    "with the size": lambda s: {"height": 192, **s, "use_stereo": False},
    "with its loss": lambda s: {"1.scale": torch.ones(1), **{f"0.{k}": v for k, v in s.items()}},
}


EXTRA = {
    "nested": {"epoch": 3, "name": "x"},
    "nested twice": {"arch": "x", "total_steps": 7},
    "with the size": {"height": 192, "use_stereo": False},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_state(tmp_path, layout, zipped):
    layer = torch.nn.Linear(3, 2)
    path = tmp_path / "w.pth"
    torch.save(LAYOUTS[layout](layer.state_dict()), path, _use_new_zipfile_serialization=zipped)
    checkpoint = load_checkpoint(path)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.extra == EXTRA.get(layout, {})
    assert load_checkpoint(path).extra == checkpoint.extra  # out of the cache
    other = torch.nn.Linear(3, 2)
    assert load_state(other, checkpoint.state).ok
    assert torch.equal(other.weight, layer.weight)


def test_a_prefix_of_some_keys_only_is_part_of_their_names(tmp_path):
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "w.pth")
    assert set(load_checkpoint(tmp_path / "w.pth").state) == {"module.a", "b"}


@pytest.mark.parametrize("how", ["raw", "zip", "legacy", "nested", "disguised"])
def test_a_file_that_runs_code_is_refused_and_nothing_runs(tmp_path, how):
    target, path = tmp_path / "owned", tmp_path / "w.pth"
    content = {"w": torch.zeros(2), "bomb": Bomb(target)}
    if how == "raw":
        path.write_bytes(pickle.dumps(Bomb(target)))
    elif how == "nested":
        torch.save({"state_dict": {"w": torch.zeros(2)}, "args": Bomb(target)}, path)
    else:
        path = path.with_suffix(".safetensors" if how == "disguised" else ".pth")
        torch.save(content, path, _use_new_zipfile_serialization=how != "legacy")
    with pytest.raises(FormatError) as caught:
        load_checkpoint(path)
    assert "refused, nothing was run" in one_line(caught)
    assert not target.exists()
    with path.open("rb") as file:  # the ordinary way
        pickle.load(file) if how == "raw" else torch.load(file, weights_only=False)
    assert target.exists(), "the file is harmless: this test shows nothing"


def test_the_allow_list_is_for_one_file(tmp_path):
    path = tmp_path / "w.pth"
    content = {"state_dict": {"w": torch.zeros(2)}, "args": argparse.Namespace(lr=1)}
    torch.save(content, path)
    with pytest.raises(FormatError, match=r"argparse\.Namespace"):
        load_checkpoint(path)
    allowed = load_checkpoint(path, allow=[argparse.Namespace], cache=False)
    assert allowed.extra == {"args": None}
    inert = load_checkpoint(path, allow=["argparse.Namespace"], cache=False)
    assert inert.extra == {"args": None} and set(inert.state) == {"w"}
    with pytest.raises(FormatError, match=r"argparse\.Namespace"):
        load_checkpoint(path)


def test_a_name_that_is_allowed_never_runs_what_bears_it(tmp_path):
    target, path = tmp_path / "owned", tmp_path / "w.pth"
    torch.save({"state_dict": {"w": torch.zeros(2)}, "args": Bomb(target)}, path)
    names = [f"{module}.open" for module in ("io", "_io", "builtins")]
    assert load_checkpoint(path, allow=names).extra == {"args": None}
    assert not target.exists()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 9, 200, 0.5, 0.99])
def test_a_cut_file_is_named_in_one_line(tmp_path, kind, keep):
    path = tmp_path / "w.pth"
    state = {"w": torch.zeros(3000)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(FormatError) as caught:
        load_checkpoint(path)
    assert str(path) in one_line(caught)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "mapping of tensors expected, found list"),
        ({"w": torch.zeros(1), "n": [4]}, "1 entries are no tensors (n)"),
        ({"n": 4}, "1 entries are no tensors (n)"),
        ({}, "mapping of tensors expected"),
    ],
)
def test_content_that_is_no_state_dict_is_refused(tmp_path, content, said):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(FormatError) as caught:
        load_checkpoint(tmp_path / "w.pth")
    assert said in one_line(caught)


def test_other_files_and_no_file_are_refused(tmp_path):
    (tmp_path / "w.pth").write_text("<html>Sign in to download</html>")
    with pytest.raises(FormatError, match="neither a PyTorch nor a safetensors file"):
        load_checkpoint(tmp_path / "w.pth")
    with pytest.raises(UsageError, match="no weights file"):
        load_checkpoint(tmp_path / "none.pth")


def test_the_digest_is_checked_before_the_file_is_opened(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "owned")))
    with pytest.raises(FormatError, match="SHA-256 expected abc123, found"):
        load_checkpoint(path, sha256="abc123")
    torch.save({"w": torch.zeros(1)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_checkpoint(path, sha256=digest[:12]).sha256 == digest


def test_safetensors_are_read_directly(tmp_path, own_cache):
    save_file({"module.w": torch.ones(3)}, tmp_path / "w.safetensors")
    checkpoint = load_checkpoint(tmp_path / "w.safetensors")
    assert checkpoint.state["w"].eq(1).all()
    assert not own_cache.exists()


def test_a_pickle_is_read_once(tmp_path, own_cache, monkeypatch):
    shared = torch.arange(4.0)
    path = tmp_path / "w.pth"
    torch.save({"module.a": shared, "module.b": shared, "module.c": shared[::2]}, path)
    first = load_checkpoint(path)
    kept = own_cache / "weights" / f"{first.sha256}.safetensors"
    assert set(load_file(kept)) == {"a", "b", "c"}
    monkeypatch.setattr(torch, "load", None)
    again = load_checkpoint(path)
    assert again.cached and not first.cached
    assert all(torch.equal(again.state[k], first.state[k]) for k in "abc")


def test_a_damaged_cache_is_written_anew(tmp_path, own_cache):
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(3)}, path)
    digest = load_checkpoint(path).sha256
    kept = own_cache / "weights" / f"{digest}.safetensors"
    kept.write_bytes(kept.read_bytes()[:-4])
    assert load_checkpoint(path).state["w"].eq(1).all()
    assert load_file(kept)["w"].eq(1).all()
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path, own_cache, caplog):
    own_cache.write_text("a file is in the way")
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pth")
    assert load_checkpoint(tmp_path / "w.pth").state["w"].eq(1).all()
    assert "not cached" in caplog.text


def test_the_cache_has_the_platforms_place_unless_named(monkeypatch, own_cache):
    assert cache_folder() == own_cache
    monkeypatch.delenv("DEPTHZOO_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/depthzoo")


@pytest.mark.parametrize("place", ["archive", "folder"])
def test_the_file_is_found_in_the_archive_or_folder_around_it(tmp_path, place):
    inner = tmp_path / "models" / "a.pth"
    inner.parent.mkdir()
    torch.save({"w": torch.ones(3)}, inner)
    around = tmp_path / "models"
    if place == "archive":
        around = tmp_path / "models.zip"
        with zipfile.ZipFile(around, "w") as archive:
            archive.write(inner, "models/a.pth")
    found = load_checkpoint(around, member="a.pth")
    assert found.sha256 == hashlib.sha256(inner.read_bytes()).hexdigest()
    assert load_checkpoint(inner, member="other.pth").state.keys() == {"w"}
    with pytest.raises(UsageError, match=r"b\.pth"):
        load_checkpoint(around, member="b.pth")


def test_differences_are_listed_by_key_and_the_network_is_left_alone():
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.clone()
    state = {"weight": torch.zeros(2, 4), **{f"extra{i}": torch.zeros(1) for i in range(5)}}
    with pytest.raises(FormatError) as caught:
        load_state(layer, state, source="w.pth")
    message = one_line(caught)
    assert "w.pth does not fit Linear" in message
    assert "1 missing (bias)" in message
    assert "5 unexpected (extra0, extra1, extra2, ...)" in message
    assert "1 shape (weight: file 2x4, network 2x3)" in message
    assert torch.equal(layer.weight, before)


def test_ignored_keys_may_be_left_over_or_missing():
    layer = torch.nn.Linear(3, 2)
    state = {"weight": torch.zeros(2, 3), "loss.scale": torch.zeros(1)}
    report = compare_keys(layer, state, ignore=["loss.*", "bias"])
    assert report.ok and set(report.ignored) == {"loss.scale", "bias"}
    load_state(layer, state, ignore=["loss.*", "bias"])
    assert layer.weight.eq(0).all()
