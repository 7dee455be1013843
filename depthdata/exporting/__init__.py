"""Sequence files back into the raw layout of a source dataset, for programs that read only that."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = ["LAYOUTS", "export"]

LAYOUTS: dict[str, str] = {
    "kitti_2012": "depthdata.exporting.kitti_stereo",
    "kitti_2015": "depthdata.exporting.kitti_stereo",
    "dynamic_replica": "depthdata.exporting.dynamic_replica",
    "eth3d": "depthdata.exporting.eth3d",
    "middlebury": "depthdata.exporting.middlebury",
    "sceneflow": "depthdata.exporting.sceneflow",
    "sintel": "depthdata.exporting.sintel",
}
"""Name of the source dataset -> module with ``write(sequences, root)``."""

Progress = Callable[[int, int, str], None]


def export(
    files: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    layout: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write sequence files as a source dataset publishes its data.

    What the file took over byte for byte (images) comes back byte for byte; depth, disparity, flow
    and masks come back value for value in the source's own encoding. Converting the result again
    gives a file with the same content.

    Parameters
    ----------
    files : path or iterable of paths
        Sequence files, or folders of them.
    out : path
        Folder to create; empty if it is there. It appears when all of it is written.
    layout : str, optional
        One of `LAYOUTS`; the dataset that the files were converted from where it is left out.
    progress : callable, optional
        Called with (number done, total, sequence name).

    Returns
    -------
    Path
        `out`, the folder that ``depthdata convert`` would take.

    Raises
    ------
    UsageError
        No such layout, files of several datasets, or a stream that the layout needs is missing.
    """
    out, paths = Path(out), _files(files)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already; name a new folder or an empty one")
    name = layout or _dataset(paths)
    if name not in LAYOUTS:
        raise UsageError(
            f"no layout {name!r} to export to; there are {', '.join(sorted(LAYOUTS))}; "
            "name one with layout="
        )
    part = out.with_name(f"{out.name}.part-{os.getpid()}")
    part.mkdir(parents=True)
    try:
        import_module(LAYOUTS[name]).write(_opened(paths, progress), part)
        if out.exists():
            out.rmdir()
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return out


def _files(files: str | Path | Iterable[str | Path]) -> list[Path]:
    named = [files] if isinstance(files, (str, Path)) else list(files)
    found: list[Path] = []
    for path in map(Path, named):
        inside = sorted(path.rglob("*.h5")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path}: no sequence file (*.h5) in this folder")
        found += inside
    if not found:
        raise UsageError("no sequence file is named")
    return found


def _dataset(paths: list[Path]) -> str:
    from depthdata.sequence import open_sequence

    names = set()
    for path in paths:
        with open_sequence(path) as sequence:
            names.add(sequence.dataset)
    if len(names) > 1:
        raise UsageError(
            f"files of several datasets ({', '.join(sorted(names))}); export them one by one"
        )
    return names.pop()


def _opened(paths: list[Path], progress: Progress | None) -> Iterator[Sequence]:
    from depthdata.sequence import open_sequence

    for done, path in enumerate(paths, start=1):
        with open_sequence(path) as sequence:
            yield sequence
            if progress is not None:
                progress(done, len(paths), sequence.name)
