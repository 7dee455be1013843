"""Compare sequence files, folders of them, prepared trees: by what they hold, not by their bytes.

>>> report = Comparison((Difference("a.h5", "frames: 3, but 4 in b.h5"),))
>>> report.equal, str(report.differences[0])
(False, 'a.h5: frames: 3, but 4 in b.h5')
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from depthdata.comparison.difference import Difference
from depthdata.errors import UsageError

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Parameters
    ----------
    differences : tuple of Difference
    """

    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(
    a: str | os.PathLike[str], b: str | os.PathLike[str], recipe: str | None = None
) -> Comparison:
    """Compare by decoded content.

    Parameters
    ----------
    a, b : path
        Two sequence files; two folders of sequence files, matched by file name; or, without any
        sequence file, two prepared trees, matched by path: images, ``.npy``, ``.npz``, JSON and
        text, with a tolerance per kind (see `depthdata.comparison.trees`).
    recipe : str, optional
        ``"dynamo_depth"``: `a` is a sequence file or a folder of them, `b` the tree that
        Dynamo-Depth's preparation made of the same source. Lidar depth is derived from the file by
        the published recipe and must agree exactly; the small JPEGs are made anew with Pillow.

    Returns
    -------
    Comparison
        Every difference, and every file that is on one side only.

    Raises
    ------
    UsageError
        `a` and `b` cannot be compared with each other.
    FormatError
        A sequence file is damaged.
    """
    a, b = Path(a), Path(b)
    for path in (a, b):
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    if recipe == "dynamo_depth":
        from depthdata.comparison import dynamo_depth

        return Comparison(tuple(dynamo_depth.differences(_sequence_files(a), b)))
    if recipe is not None:
        raise UsageError(f"no recipe is called {recipe!r}; there is dynamo_depth")
    if a.is_dir() != b.is_dir():
        raise UsageError(f"{a} and {b}: expected two files or two folders")
    if not a.is_dir():
        from depthdata.comparison import sequences

        return Comparison(tuple(sequences.differences(a, b)))
    return Comparison(tuple(_folders(a, b)))


def _sequence_files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*.h5")) if path.is_dir() else [path]
    if not found:
        raise UsageError(f"{path}: no sequence file (*.h5) in this folder")
    return found


def _folders(a: Path, b: Path) -> Iterator[Difference]:
    compare_files: Callable[[Path, Path], Iterator[Difference]]
    left, right = _files(a, ".h5"), _files(b, ".h5")
    if left or right:
        from depthdata.comparison.sequences import differences as compare_files
    else:
        from depthdata.comparison.trees import differences as compare_files

        left, right = _files(a), _files(b)
        if not left and not right:
            raise UsageError(f"{a} and {b}: no file in either folder")
    for name in sorted(left | right):
        if name not in right:
            yield Difference(name, f"is missing in {b}")
        elif name not in left:
            yield Difference(name, f"is missing in {a}")
        else:
            for difference in compare_files(a / name, b / name):
                yield Difference(f"{name} {difference.where}".strip(), difference.message)


def _files(root: Path, suffix: str = "") -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob(f"*{suffix}")
        if path.is_file() and ".h5.part-" not in path.name
    }
