"""Small trees in Dynamic Replica's layout, and sequence files from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthdata.codecs.annotation_writer import AnnotationWriter
from depthdata.codecs.frame_annotations import annotated_objects
from depthdata.conversion import convert
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.synthetic import SyntheticScene, write_raw

HEIGHT, WIDTH = 8, 12

Values = list[dict[str, Any]]


def tiny(root: Path, sequence: str = "tiny", **options: Any) -> Path:
    """Write two frames of 8 x 12 pixels; without trajectories, which need PyTorch."""
    scene = SyntheticScene(seed=2, frames=2, height=HEIGHT, width=WIDTH)
    write_raw("dynamic_replica", scene, root, **{"sequence": sequence, "tracks": 0, **options})
    return root


def converted(root: Path, out: Path) -> dict[str, Sequence]:
    """Convert a tree; every sequence must be whole."""
    report = convert("dynamic_replica", root, out, jobs=1, overwrite=True)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return {result.sequence: open_sequence(result.path) for result in report.results}


def annotation(root: Path) -> Path:
    return root / "test" / "frame_annotations_test.jgz"


def change(root: Path, edit: Callable[[Values], Values | None]) -> None:
    """Let `edit` change the frame objects of the test split, or return others."""
    values = [item.value for item in annotated_objects(annotation(root))]
    changed = edit(values)
    with AnnotationWriter(annotation(root)) as annotations:
        for value in values if changed is None else changed:
            annotations.add(value)
