"""Ground truth files of KITTI's stereo benchmarks as streams, so that every value comes back.

Each quantity is published twice: of all pixels (occ), and of those that are seen in the other
image, too (noc). One stream and one mask hold both, unless the two files differ where both have
values; then the second one is stored as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image, image_size
from depthdata.codecs.kitti_stereo import (
    DISPARITY_SCALE,
    FLOW_SCALE,
    FLOW_ZERO,
    read_disparity_levels,
    read_flow_levels,
)
from depthdata.errors import FormatError, SourceError
from depthdata.sources.files import read_bytes
from depthdata.sources.kitti_stereo_tree import Benchmark, TruthFolders

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter

__all__ = ["NO_TRUTH", "TruthFiles", "flow_levels", "seen_disparity", "seen_flow"]

Levels = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.uint8]
A = TypeVar("A", bound=npt.NDArray[Any])

NO_TRUTH = 255
"""Value of a mask where the source says nothing."""


@dataclass(frozen=True)
class TruthFiles:
    """The ground truth files of a scene.

    Parameters
    ----------
    paths : mapping
        Folder -> index of the frame -> file. The benchmarks have one frame with truth, so the
        arrays of one quantity are held at once.
    size : (height, width)
        Of the images.
    """

    paths: Mapping[str, Mapping[int, Path]]
    size: tuple[int, int]

    def write(self, benchmark: Benchmark, camera: CameraWriter) -> None:
        """Write all that is there into the streams of a camera.

        Raises
        ------
        FormatError, SourceError
            A file is damaged, of another kind, or of another size than the images.
        """
        for files in benchmark.disparities:
            self._disparity(files, camera)
        self._flow(benchmark.flow, camera)
        if benchmark.instances is not None:
            self._instances(benchmark.instances, camera)

    def _disparity(self, files: TruthFolders, camera: CameraWriter) -> None:
        whole = self._read(files.all, read_disparity_levels)
        seen = self._read(files.seen, read_disparity_levels)
        if whole:
            _write_disparity(camera, files.stream, whole, files.all)
        if not seen:
            return
        masks = {t: _mask(whole[t] > 0, seen[t] > 0) for t in seen if t in whole}
        if masks:
            _write_mask(camera, files.mask, masks, files)
        if any(
            t not in masks or not np.array_equal(seen_disparity(whole[t], masks[t]), seen[t])
            for t in seen
        ):
            _write_disparity(camera, f"{files.stream}_noc", seen, files.seen)

    def _flow(self, files: TruthFolders, camera: CameraWriter) -> None:
        whole = self._read(files.all, read_flow_levels)
        seen = self._read(files.seen, read_flow_levels)
        if whole:
            _write_flow(camera, files.stream, whole, files.all)
        if not seen:
            return
        masks = {t: _mask(whole[t][..., 2] > 0, seen[t][..., 2] > 0) for t in seen if t in whole}
        empty = _empty_level(seen)
        if masks:
            _write_mask(camera, files.mask, masks, files, empty_level=list(empty))
        if any(
            t not in masks or not np.array_equal(seen_flow(whole[t], masks[t], empty), seen[t])
            for t in seen
        ):
            _write_flow(camera, f"{files.stream}_noc", seen, files.seen)

    def _instances(self, folder: str, camera: CameraWriter) -> None:
        maps = self._read(folder, _read_map)
        if not maps:
            return
        index = list(maps)
        camera.dense(
            "instances",
            maps.values(),
            dtype=np.result_type(*maps.values()),
            frame_index=index,
            provenance=folder,
        )
        camera.dense(
            "masks/foreground",
            ((found > 0).astype(np.uint8) for found in maps.values()),
            dtype="u1",
            frame_index=index,
            provenance=f"{folder} above 0",
        )

    def _read(self, folder: str, read: Callable[[Path], A]) -> dict[int, A]:
        arrays = {}
        for t, path in sorted(self.paths.get(folder, {}).items()):
            array = arrays[t] = read(path)
            if array.shape[:2] != self.size:
                (height, width), (h, w) = self.size, array.shape[:2]
                raise SourceError(
                    f"{path}: expected {width}x{height} pixels like its image, found {w}x{h}; "
                    "take the published file"
                )
        return arrays


def seen_disparity(whole: Levels, mask: Mask) -> Levels:
    """Return the levels of the pixels that the other view sees (mask 0), 0 elsewhere.

    Examples
    --------
    >>> seen_disparity(np.array([5, 6, 0], np.uint16), np.array([0, 1, 255], np.uint8))
    array([5, 0, 0], dtype=uint16)
    """
    return np.where(mask == 0, whole, np.uint16(0))


def seen_flow(whole: Levels, mask: Mask, empty: tuple[int, int]) -> Levels:
    """Return flow levels (H, W, 3) of the pixels with mask 0; `empty` and not valid elsewhere."""
    return np.where((mask == 0)[..., None], whole, np.array([*empty, 0], np.uint16))


def flow_levels(stored: npt.NDArray[np.int16], valid: Mask) -> Levels:
    """Return flow levels (H, W, 3) of what `_write_flow` stores: (2, H, W) and (H, W)."""
    levels = (stored.astype(np.int32) + FLOW_ZERO).astype(np.uint16)
    return np.dstack([*levels, valid.astype(np.uint16)])


def _mask(whole: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]) -> Mask:
    return np.where(whole, ~seen, NO_TRUTH).astype(np.uint8)


def _empty_level(seen: Mapping[int, Levels]) -> tuple[int, int]:
    """Return the levels of dx and dy where a pixel is not valid; KITTI's are no displacement."""
    for levels in seen.values():
        empty = levels[levels[..., 2] == 0]
        if len(empty):
            return int(empty[0, 0]), int(empty[0, 1])
    return FLOW_ZERO, FLOW_ZERO


def _write_disparity(
    camera: CameraWriter, name: str, levels: Mapping[int, Levels], folder: str
) -> None:
    camera.dense(
        name,
        levels.values(),
        dtype="u2",
        frame_index=list(levels),
        unit="px",
        scale=DISPARITY_SCALE,
        missing=0,
        provenance=folder,
        quantity="disparity",
    )


def _write_flow(camera: CameraWriter, name: str, levels: Mapping[int, Levels], folder: str) -> None:
    index = list(levels)
    camera.dense(
        name,
        ((np.moveaxis(a[..., :2], -1, 0) ^ FLOW_ZERO).view(np.int16) for a in levels.values()),
        dtype="i2",
        frame_index=index,
        unit="px",
        scale=FLOW_SCALE,
        provenance=folder,
        quantity="flow",
    )
    camera.dense(
        f"{name}_valid",
        (a[..., 2].astype(np.uint8) for a in levels.values()),
        dtype="u1",
        frame_index=index,
        provenance=folder,
    )


def _write_mask(
    camera: CameraWriter,
    name: str,
    masks: Mapping[int, Mask],
    files: TruthFolders,
    **facts: Any,
) -> None:
    camera.dense(
        name,
        masks.values(),
        dtype="u1",
        frame_index=list(masks),
        missing=NO_TRUTH,
        provenance=f"{files.all} without {files.seen}",
        **facts,
    )


def _read_map(path: Path) -> npt.NDArray[np.uint8 | np.uint16]:
    """Read an instance map: a grey PNG."""
    data = read_bytes(path)
    try:
        info = image_size(data)
        if info.encoding != "png" or info.channels != 1:
            raise FormatError(
                f"expected a grey PNG, found {info.encoding.upper()} with {info.channels} channels"
            )
        image: npt.NDArray[np.uint8 | np.uint16] = decode_image(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return image
