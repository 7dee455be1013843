"""Sequences of MPI Sintel back into its folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthdata.comparison.sequences import differences
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.exporting import export
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=3, frames=3, height=36, width=64)


@pytest.mark.parametrize(
    ("sets", "test"),
    [(("stereo", "depth", "flow"), False), (("stereo",), False), (("flow",), True)],
)
def test_every_set_comes_back(scene, tmp_path, sets, test):
    write_raw("sintel", scene, tmp_path / "raw", sets=sets, test=test)
    first = convert("sintel", tmp_path / "raw", tmp_path / "first", jobs=1)
    assert first.ok, first.failed
    export(tmp_path / "first", tmp_path / "exported")
    before, after = _files(tmp_path / "raw"), _files(tmp_path / "exported")
    # left images of the flow set are the same as those of the stereo set, and are not kept twice
    left_out = {name for name in before if name not in after}
    assert all(name.startswith("flow/training/") and name.endswith(".png") for name in left_out)
    assert not left_out or "stereo" in sets
    assert {name: before[name] for name in after} == after
    again = convert("sintel", tmp_path / "exported", tmp_path / "again", jobs=1)
    assert again.ok, again.failed
    for a, b in zip(first.results, again.results, strict=True):
        assert not list(differences(a.path, b.path))
        with open_sequence(a.path) as one, open_sequence(b.path) as other:
            assert one.digest == other.digest


def test_another_dataset_has_no_place_there(scene, tmp_path):
    write_sequence(scene, tmp_path / "street.h5")
    with pytest.raises(UsageError, match=r"expected a sequence of sintel"):
        export(tmp_path / "street.h5", tmp_path / "out", layout="sintel")
    assert not (tmp_path / "out").exists()
