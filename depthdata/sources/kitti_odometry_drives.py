"""Which drive of KITTI raw each odometry sequence was cut from, and KITTI's depth maps by it."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from depthdata.errors import SourceError

__all__ = ["DRIVES", "SEQUENCES", "Drive", "annotated_depth", "copy_annotated_depth"]

SEQUENCES = tuple(f"{number:02d}" for number in range(22))
"""Names of the sequences; 00 to 10 have ground truth poses."""


class Drive(NamedTuple):
    """Part of a raw drive: frame numbers `first` to `last`, both included, become 0, 1, 2 ..."""

    name: str
    first: int
    last: int


DRIVES = {
    "00": Drive("2011_10_03_drive_0027", 0, 4540),
    "01": Drive("2011_10_03_drive_0042", 0, 1100),
    "02": Drive("2011_10_03_drive_0034", 0, 4660),
    "03": Drive("2011_09_26_drive_0067", 0, 800),
    "04": Drive("2011_09_30_drive_0016", 0, 270),
    "05": Drive("2011_09_30_drive_0018", 0, 2760),
    "06": Drive("2011_09_30_drive_0020", 0, 1100),
    "07": Drive("2011_09_30_drive_0027", 0, 1100),
    "08": Drive("2011_09_30_drive_0028", 1100, 5170),
    "09": Drive("2011_09_30_drive_0033", 0, 1590),
    "10": Drive("2011_09_30_drive_0034", 0, 1200),
}
"""Sequence -> drive, from the odometry development kit. KITTI does not publish the drive of 03."""

_BY_DRIVE = {drive.name: sequence for sequence, drive in DRIVES.items()}
_MEMBER = re.compile(
    r"(?:train|val)/(\d{4}_\d\d_\d\d_drive_\d{4})_sync/proj_depth/groundtruth/"
    r"image_0([23])/\d{4}(\d{6})\.png"
)


def annotated_depth(root: Path, sequence: str) -> dict[str, dict[int, str]]:
    """Find the depth maps of a sequence in an unpacked ``data_depth_annotated``.

    Parameters
    ----------
    root : Path
        A folder with ``train`` and ``val``, or one with a folder ``data_depth_annotated`` of them.
    sequence : str
        ``"00"`` ... ``"21"``.

    Returns
    -------
    dict
        ``left`` and ``right`` -> frame of the odometry sequence -> path relative to `root`; what
        is beyond the sequence is left out. Empty where there is nothing.
    """
    found: dict[str, dict[int, str]] = {}
    if sequence not in DRIVES:
        return found
    drive = DRIVES[sequence]
    for top in ("", "data_depth_annotated/"):
        for part in ("train", "val"):
            for camera, number in (("left", 2), ("right", 3)):
                folder = f"{top}{part}/{drive.name}_sync/proj_depth/groundtruth/image_0{number}"
                if (root / folder).is_dir():
                    for path in sorted((root / folder).glob("??????????.png")):
                        if path.stem.isdecimal() and drive.first <= int(path.stem) <= drive.last:
                            frame = int(path.stem) - drive.first
                            found.setdefault(camera, {})[frame] = f"{folder}/{path.name}"
    return found


def copy_annotated_depth(source: Path, root: Path) -> list[Path]:
    """Copy KITTI's annotated depth to where the odometry layout of MonoRec has it.

    The bytes become ``sequences/<NN>/image_depth_annotated/<frame>.png``, for camera 02 and the
    drives of sequences 00 to 10; what is there is replaced. Frames before the sequence are left
    out; those behind its end are copied too, as the published script does.

    Parameters
    ----------
    source : Path
        ``data_depth_annotated.zip``, or the folder that it unpacks to (with ``train``, ``val``).
    root : Path
        Of the odometry dataset: the folder of ``sequences``.

    Returns
    -------
    list of Path
        The files written, in the order of `source`.

    Raises
    ------
    SourceError
        `source` is neither, or is damaged; or holds no map of an odometry sequence.
    """
    written = []
    for name, data in _members(source):
        match = _MEMBER.fullmatch(name)
        sequence = _BY_DRIVE.get(match[1]) if match else None
        if match is None or sequence is None or match[2] != "2":
            continue
        frame = int(match[3]) - DRIVES[sequence].first
        if frame < 0:
            continue
        target = root / "sequences" / sequence / "image_depth_annotated" / f"{frame:06d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".png.part")
        part.write_bytes(data())
        part.replace(target)
        written.append(target)
    if not written:
        raise SourceError(
            f"{source}: no depth map of sequences 00 to 10; expected "
            "train|val/<drive>_sync/proj_depth/groundtruth/image_02/<frame>.png inside, as in "
            "data_depth_annotated.zip"
        )
    return written


def _members(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if source.is_dir():
        for path in sorted(source.glob("*/*/proj_depth/groundtruth/image_0?/*.png")):
            yield path.relative_to(source).as_posix(), path.read_bytes
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                yield info.filename, partial(archive.read, info)
    except FileNotFoundError:
        raise SourceError(f"{source} is missing", incomplete=True) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{source} is no whole archive: {error}; download it again") from error
