"""Files of a raw tree: fingerprints, bytes, and pictures that enter a sequence as they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from depthdata.codecs.images import image_size
from depthdata.errors import FormatError, SourceError

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter

__all__ = [
    "PictureSize",
    "Pictures",
    "fingerprint_files",
    "picture_size",
    "read_bytes",
    "write_made",
]

_WHOLE = 1 << 16
_BLOCK = 1 << 12
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"


def fingerprint_files(root: str | os.PathLike[str], names: Iterable[str]) -> str:
    """Return a digest of files below `root`: their names, sizes and contents.

    Files up to 64 KiB count whole, larger ones by three blocks of 4 KiB: start, middle and end.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    import xxhash

    digest = xxhash.xxh3_128()
    for name in names:
        path = Path(root) / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(f"{name}\0{size}\0".encode())
                if size <= _WHOLE:
                    digest.update(file.read())
                    continue
                for start in (0, (size - _BLOCK) // 2, size - _BLOCK):
                    digest.update(os.pread(file.fileno(), _BLOCK, start))
        except OSError as error:
            raise _unreadable(path, error) from error
    return f"xxh3:{digest.hexdigest()}"


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a source file.

    Raises
    ------
    SourceError
        It cannot be read; `incomplete` where it is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


class PictureSize(NamedTuple):
    """Height, width in pixels, and 1 (grey) or more channels."""

    height: int
    width: int
    channels: int


def picture_size(path: Path, blob: bytes) -> PictureSize:
    """Return the size of a picture that is whole and is what its file name says.

    Raises
    ------
    SourceError
        Another kind of file, cut off, or not of 8 bits.
    """
    expected = "png" if path.suffix.lower() == ".png" else "jpeg"
    try:
        height, width, channels, depth, encoding = image_size(blob)
    except FormatError as error:
        start = blob[:16].decode("latin-1")
        raise SourceError(
            f"{path} is no {expected.upper()} image (it starts with {start!r}): {error}"
        ) from error
    if encoding != expected or depth != 8:
        raise SourceError(
            f"{path}: expected an 8-bit {expected.upper()}, found a {depth}-bit {encoding.upper()}"
        )
    end = _PNG_END if encoding == "png" else _JPEG_END
    if end not in blob[-1024:]:
        raise SourceError(
            f"{path} is cut: {len(blob)} bytes without the end of a {encoding.upper()}; "
            "extract it again"
        )
    return PictureSize(height, width, channels)


@dataclass(frozen=True)
class Pictures:
    """The picture files of one stream, one a frame, all of one size and kind.

    Parameters
    ----------
    paths : tuple of Path
        At least one, PNG or JPEG.
    size : PictureSize
        Of the first; `write` refuses any that differs.
    """

    paths: tuple[Path, ...]
    size: PictureSize

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Pictures:
        """Look at the first of some files."""
        return cls(tuple(paths), picture_size(paths[0], read_bytes(paths[0])))

    def write(
        self,
        camera: CameraWriter,
        name: str = "rgb",
        frame_index: Sequence[int] | None = None,
        **facts: Any,
    ) -> None:
        """Copy the files into the stream `name` of a camera, byte for byte.

        Raises
        ------
        SourceError
            A file is missing, damaged, or unlike the first: one line that names it.
        """
        camera.encoded(
            name,
            self._blobs(),
            np.array([_file_size(path) for path in self.paths], dtype=np.int64),
            encoding="png" if self.paths[0].suffix.lower() == ".png" else "jpeg",
            channels=1 if self.size.channels <= 2 else 3,
            frame_index=None if frame_index is None else np.array(frame_index, dtype=np.int64),
            **facts,
        )

    def _blobs(self) -> Iterator[bytes]:
        first, size = self.paths[0], self.size
        for path in self.paths:
            blob = read_bytes(path)
            found = picture_size(path, blob)
            if not _alike(found, size) or path.suffix != first.suffix:
                raise SourceError(
                    f"{path}: expected an image like {first.name}, {size.width}x{size.height} with "
                    f"{size.channels} channel(s), found {found.width}x{found.height} with "
                    f"{found.channels}; a camera's images are all alike"
                )
            yield blob


def _alike(a: PictureSize, b: PictureSize) -> bool:
    """Whether two pictures decode to one shape; some sources have an alpha here and there."""
    return a[:2] == b[:2] and (a.channels > 2) == (b.channels > 2)


def write_made(camera: CameraWriter, name: str, blobs: Iterable[bytes], **facts: Any) -> None:
    """Write pictures that are made on the way (a preset's small images): sizes are known last.

    They wait in a temporary file, so that one is in memory at a time.

    Parameters
    ----------
    camera : CameraWriter
    name : str
        Of the stream, for example ``rgb_192x640``.
    blobs : iterable of bytes
        JPEG or PNG files, one a frame.
    **facts
        Of `CameraWriter.encoded`: ``encoding``, ``frame_index``, ``derived_from`` ...
    """
    with tempfile.TemporaryFile() as file:
        sizes = [file.write(blob) for blob in blobs]
        file.seek(0)
        camera.encoded(name, (file.read(size) for size in sizes), sizes, **facts)


def _file_size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if not size:
        raise SourceError(f"{path} is empty (0 bytes); extract it again")
    return size


def _unreadable(path: Path, error: OSError) -> SourceError:
    missing = isinstance(error, FileNotFoundError)
    return SourceError(f"{path} cannot be read: {error.strerror or error}", incomplete=missing)
