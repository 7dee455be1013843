"""Synthetic scenes in the layouts of KITTI's stereo benchmarks, for tests to convert and break."""

from __future__ import annotations

import shutil
from pathlib import Path

from depthdata.conversion import convert
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.synthetic import SyntheticScene, write_raw

HEIGHT, WIDTH = 24, 80


def small_scene(seed: int = 7, frames: int = 2) -> SyntheticScene:
    return SyntheticScene(seed=seed, frames=frames, height=HEIGHT, width=WIDTH)


def small_tree(dataset: str, root: Path, **options) -> Path:
    """A training scene 000002 and a testing scene 000001; return the root."""
    write_raw(dataset, small_scene(), root, number=2, **options)
    write_raw(dataset, small_scene(8), root, number=1, part="testing")
    return root


def converted(dataset: str, raw: Path, out: Path) -> dict[str, Sequence]:
    """Convert everything; return the sequences by name."""
    report = convert(dataset, raw, out, jobs=1)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return {result.sequence: open_sequence(result.path) for result in report.results}


def failure(dataset: str, raw: Path, *, incomplete: bool) -> str:
    """Message of the training scene, which must fail while the testing scene goes on."""
    out = raw.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    failed, good = sorted(
        convert(dataset, raw, out, jobs=1).results, key=lambda result: result.status != "failed"
    )
    assert (failed.status, good.status) == ("failed", "converted"), failed
    assert failed.path is None and "\n" not in failed.message
    assert [path.name for path in out.glob("*.h5*")] == [f"{good.sequence}.h5"]
    skipping = convert(dataset, raw, out, jobs=1, skip_incomplete=True).results
    found = {result.sequence: result.status for result in skipping}
    assert found[failed.sequence] == ("skipped" if incomplete else "failed")
    return failed.message
