"""Compare a sequence file with the tree that Dynamo-Depth's preparation makes of the same source.

Nothing of the tree is in the sequence file as such: lidar depth is derived from the points by the
published recipe and must agree exactly, row by row; the small JPEGs are made anew with Pillow
(bicubic, quality 75) and may differ by two levels (0.2 on average) between versions of Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.codecs.kitti import read_calibration
from depthdata.codecs.prepared_images import KITTI_SIZE, bicubic_jpeg
from depthdata.comparison.difference import Difference
from depthdata.comparison.trees import array_difference, picture_difference
from depthdata.errors import FormatError, UsageError
from depthdata.lidar import eigen_depth_rows
from depthdata.sequence import Camera, Sequence, open_sequence

__all__ = ["depth_rows", "differences"]

_FOLDERS = {"left": "image_02", "right": "image_03"}
_CALIBRATION = ("calib_cam_to_cam.txt", "calib_imu_to_velo.txt", "calib_velo_to_cam.txt")


def differences(files: list[Path], tree: Path) -> Iterator[Difference]:
    """Yield what differs between sequence files and a prepared tree.

    Drives of the tree without a sequence file are named when several files are compared.
    """
    if not tree.is_dir():
        raise UsageError(f"{tree}: expected the folder of a prepared tree")
    compared = set()
    for path in files:
        with open_sequence(path) as sequence:
            if sequence.dataset != "kitti_raw":
                raise UsageError(
                    f"{path}: recipe dynamo_depth is known for kitti_raw, not {sequence.dataset}"
                )
            compared.add(sequence.name)
            folder = _drive(tree, sequence.name)
            if folder is None:
                yield Difference(sequence.name, f"is missing in {tree}")
            else:
                yield from _drive_differences(sequence, folder)
    if len(files) > 1:
        drives = {image.parent.name for image in tree.glob("*/*/image_0[23]")}
        for name in sorted(drives - compared):
            yield Difference(name, f"is in {tree} only")


def depth_rows(camera: Camera, t: int) -> npt.NDArray[np.float64]:
    """Return the prepared ``.npy`` of a frame: rows (row, column, velodyne x), float64."""
    stream = camera["depth"]
    return eigen_depth_rows(
        stream.points(t), stream.attrs["projection"], tuple(stream.attrs["eigen_size"])
    )


def _drive(tree: Path, name: str) -> Path | None:
    date = name.partition("_drive_")[0]
    candidates = (tree / date / name, tree / name, tree)
    return next((c for c in candidates if c.name == name and c.is_dir()), None)


def _drive_differences(sequence: Sequence, folder: Path) -> Iterator[Difference]:
    for name in _CALIBRATION:
        if not (folder / name).is_file():
            yield Difference(f"{sequence.name}/{name}", "is missing in the tree")
    for name, prepared in _FOLDERS.items():
        camera = sequence.cameras.get(name)
        where = f"{sequence.name}/{prepared}"
        if camera is None:
            if (folder / prepared).is_dir():
                yield Difference(where, f"is in the tree only: the file has no camera {name}")
            continue
        yield from _calibration(f"{where} calibration", camera, folder, int(prepared[-2:]))
        yield from _originals(where, sequence, camera, folder / prepared)
        yield from _smalls(where, sequence, camera, folder / prepared)
        yield from _depths(where, sequence, camera, folder / prepared)


def _calibration(where: str, camera: Camera, folder: Path, number: int) -> Iterator[Difference]:
    if not (folder / _CALIBRATION[0]).is_file():
        return
    try:
        matrix = read_calibration(folder / _CALIBRATION[0]).numbers(f"P_rect_{number:02d}", 3, 4)
    except FormatError as error:
        yield Difference(where, str(error))
        return
    message = array_difference(camera.intrinsics(0), matrix[:, :3], 1e-9)
    if message is not None:
        yield Difference(where, f"intrinsics: {message}")


def _originals(
    where: str, sequence: Sequence, camera: Camera, folder: Path
) -> Iterator[Difference]:
    for t, path, message in _matched(sequence, camera, "rgb", folder / "rgb/original", ".png"):
        if message is not None:
            yield Difference(f"{where}/rgb/original/{path.name}", message)
            continue
        blob, prepared = bytes(camera["rgb"].blob(t)), path.read_bytes()
        if blob != prepared:
            found = array_difference(decode_image(prepared), decode_image(blob))
            if found is not None:
                yield Difference(f"{where}/rgb/original/{path.name}", found)


def _smalls(where: str, sequence: Sequence, camera: Camera, folder: Path) -> Iterator[Difference]:
    for t, path, message in _matched(sequence, camera, "rgb", folder / "rgb/downsample", ".jpg"):
        if message is None:
            ours, prepared = (
                bicubic_jpeg(bytes(camera["rgb"].blob(t)), KITTI_SIZE),
                path.read_bytes(),
            )
            if ours != prepared:
                message = picture_difference(decode_image(prepared), decode_image(ours))
        if message is not None:
            yield Difference(f"{where}/rgb/downsample/{path.name}", message)


def _depths(where: str, sequence: Sequence, camera: Camera, folder: Path) -> Iterator[Difference]:
    for t, path, message in _matched(sequence, camera, "depth", folder / "depth", ".npy"):
        if message is None:
            prepared = np.load(path, allow_pickle=False)
            message = array_difference(prepared, depth_rows(camera, t))
        if message is not None:
            yield Difference(f"{where}/depth/{path.name}", message)


def _matched(
    sequence: Sequence, camera: Camera, stream: str, folder: Path, suffix: str
) -> Iterator[tuple[int, Path, str | None]]:
    """Yield (frame, file, None) for frames on both sides, with a message for those on one."""
    frames = camera[stream].frames.tolist() if stream in camera.streams else []
    ours = {sequence.frame_ids[t]: t for t in frames}
    theirs = {path.stem for path in folder.glob(f"*{suffix}")}
    for name in sorted({*ours, *theirs}):
        path = folder / f"{name}{suffix}"
        message = None
        if name not in theirs:
            message = "is missing in the tree"
        elif name not in ours:
            message = f"is in the tree only: the file has no {stream} of this frame"
        yield ours.get(name, -1), path, message
