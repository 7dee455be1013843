"""Archives of every kind for the tests, honest ones and others."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "7z")
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
TREE = {
    "scene/left/000000.png": bytes(range(256)) * 40,
    "scene/left/000001.png": bytes(reversed(range(256))) * 400,
    "scene/übung/nothing.txt": b"",
    "scene/calib.txt": b"P0: 1 0 0 0\n",
    "readme": b"x" * 100_000,
}


def build(path: Path, kind: str, tree: Mapping[str, bytes] = TREE) -> Path:
    """Write an archive with these files."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in tree.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    elif kind == "7z":
        import py7zr

        with py7zr.SevenZipFile(path, "w") as archive:
            for name, data in tree.items():
                archive.writestr(data, name)
    else:
        path.write_bytes(compressed(tar(*((entry(name), tree[name]) for name in tree)), kind))
    return path


def compressed(data: bytes, kind: str) -> bytes:
    """Compress bytes as the last suffix says; those of a plain tar stay."""
    form = kind.rpartition(".")[2]
    return PACKERS[form](data) if form in PACKERS else data


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Return an entry of a tar archive."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, 0o6777
    return found


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive with these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, without the state of downloads."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".depthdata" not in path.relative_to(folder).parts
    }
