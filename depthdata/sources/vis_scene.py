"""One scene of Insta-DM's prepared sets into a sequence file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.flo import read_flo
from depthdata.codecs.kitti_depth import read_intrinsics
from depthdata.codecs.npy import read_npy
from depthdata.errors import FormatError, SourceError
from depthdata.instance_masks import OVERLAPS, pack_masks
from depthdata.sequence.points import Points
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["PREPARED_SIZE", "write"]

Array = npt.NDArray[Any]
Size = tuple[int, int]

PREPARED_SIZE = (256, 832)
"""Height and width of the published images."""

_CITY_SIZE = (1024, 2048)
_CITY_RESIZED = (342, 832)
_DRIVE = re.compile(r"(\d{4}_\d{2}_\d{2}_drive_\d{4}_sync)_(0[23])")
_CITY = re.compile(r"([A-Za-z-]+)_(\d{6})_(\d{6})_([01])")


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a scene; see `depthdata.sources.kitti_vis.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    _check_complete(spec)
    root, scene = Path(spec.root), spec.files["scene"]
    paths = {
        kind: [root / kind / scene / name for name in names]
        for kind, names in spec.files["kinds"].items()
    }
    pictures = Pictures.of(paths["image"])
    size = pictures.size[:2]
    frames = [path.stem for path in paths["image"]]

    writer.timeline(np.full(len(frames), MISSING_TIME), frames)
    camera = writer.camera(
        spec.files["camera"],
        height=size[0],
        width=size[1],
        intrinsics=_intrinsics(root / "image" / scene / "cam.txt", size),
        transform=_transform(spec, size),
    )
    pictures.write(camera)
    _write_flow(camera, "flow_forward", paths["flow_f"], range(len(frames) - 1), size)
    _write_flow(camera, "flow_backward", paths["flow_b"], range(1, len(frames)), size)
    _write_masks(camera, paths["segmentation"], size)
    if spec.files["depth"]:
        position = {name: t for t, name in enumerate(frames)}
        names = spec.files["depth"]
        camera.dense(
            "depth",
            (_depth(root / "image" / scene / name, size) for name in names),
            dtype="float32",
            frame_index=[position[Path(name).stem] for name in names],
            unit="m",
            missing=0,
            provenance="image/SCENE/FRAME.npy: velodyne, camera z, the nearest of a pixel",
        )


def _check_complete(spec: SequenceSpec) -> None:
    """Every frame has its masks, every two neighbours a flow in both directions, and K is there."""
    scene, kinds = spec.files["scene"], spec.files["kinds"]
    images = [Path(name).stem for name in kinds["image"]]
    where = f"{spec.root}/image/{scene}"
    if not images:
        raise SourceError(
            f"{where}: no image FRAME.jpg, but other files of the scene are there; unpack the "
            "images again",
            incomplete=True,
        )
    if not spec.files["texts"]:
        raise SourceError(f"{where}/cam.txt is missing; unpack the images again", incomplete=True)
    masks = [Path(name).stem for name in kinds["segmentation"]]
    _check_same(f"{spec.root}/segmentation/{scene}", ".npy", masks, images)
    for kind in ("flow_f", "flow_b"):
        flows = [Path(name).stem for name in kinds[kind]]
        folder = f"{spec.root}/{kind}/{scene}"
        if set(flows) <= set(images):  # named after frames: then it can be told which one is gone
            later = images[-1] in flows and images[0] not in flows
            expected = images[1:] if later else images[:-1]
            _check_same(folder, ".flo", flows, expected)
        elif len(flows) != len(images) - 1:
            raise SourceError(
                f"{folder}: expected {len(images) - 1} flows between {len(images)} images, found "
                f"{len(flows)}; unpack them again",
                incomplete=len(flows) < len(images) - 1,
            )
    beyond = sorted({Path(name).stem for name in spec.files["depth"]} - set(images))
    if beyond:
        raise SourceError(
            f"{where}/{beyond[0]}.npy: depth without an image; unpack the images again",
            incomplete=True,
        )


def _check_same(folder: str, suffix: str, found: Sequence[str], expected: Sequence[str]) -> None:
    missing = [name for name in expected if name not in set(found)]
    if missing:
        raise SourceError(
            f"{folder}/{missing[0]}{suffix} is missing, and {len(missing) - 1} more of the "
            f"{len(expected)} that the images need; unpack them again",
            incomplete=True,
        )
    beyond = [name for name in found if name not in set(expected)]
    if beyond:
        raise SourceError(
            f"{folder}/{beyond[0]}{suffix}: there is no image for it, and {len(found)} files for "
            f"{len(expected)}; the folders do not belong together, unpack them again"
        )


def _intrinsics(path: Path, size: Size) -> npt.NDArray[np.float64]:
    K = read_intrinsics(path)
    height, width = size
    if not (0 < K[0, 2] < width and 0 < K[1, 2] < height):
        raise SourceError(
            f"{path}: the principal point {K[0, 2]:g}, {K[1, 2]:g} is outside the images of "
            f"{width}x{height}; take images and cam.txt of one set"
        )
    return K


def _transform(spec: SequenceSpec, size: Size) -> dict[str, Any]:
    """Return which frames of the source the images were made of, as far as the name tells."""
    facts: dict[str, Any] = {"lists": list(spec.files["lists"])}
    drive, city = _DRIVE.fullmatch(spec.name), _CITY.fullmatch(spec.name)
    if size != PREPARED_SIZE:
        return facts
    if spec.dataset == "kitti_vis" and drive:
        source = {
            "dataset": "kitti_raw",
            "sequence": drive[1],
            "source_camera": f"image_{drive[2]}",
        }
        return {**facts, **source, "resized_to": list(PREPARED_SIZE)}
    if spec.dataset == "cityscapes_vis" and city:
        return {
            **facts,
            "dataset": "cityscapes",
            "sequence": f"{city[1]}_{city[2]}",
            "run_from_frame": int(city[3]),
            "phase": int(city[4]),
            "source_size": list(_CITY_SIZE),
            "resized_to": list(_CITY_RESIZED),
            "crop": [0, 0, PREPARED_SIZE[1], PREPARED_SIZE[0]],
        }
    return facts


def _write_flow(
    camera: CameraWriter, name: str, paths: list[Path], frames: Sequence[int], size: Size
) -> None:
    if paths:
        camera.dense(
            name,
            (_flow(path, size) for path in paths),
            dtype="float32",
            frame_index=list(frames),
            unit="px",
            missing="nan",
            provenance=f"{paths[0].parent.parent.name}: estimated by PWC-Net",
            files=[path.name for path in paths],
        )


def _write_masks(camera: CameraWriter, paths: list[Path], size: Size) -> None:
    """Write the numbers of the masks, and which pixels belong to further ones."""
    counts: list[int] = []  # filled on the way; facts are written after the frames
    provenance = "segmentation: by PANet; numbers of one frame have nothing to do with the next's"
    overlaps = camera.open_points(
        OVERLAPS,
        unit="",
        provenance=provenance,
        quantity="instance id",
        meaning="numbers of further masks that cover a pixel of instances",
    )

    def labels() -> Iterator[npt.NDArray[np.uint16]]:
        for path in paths:
            packed = pack_masks(_stack(path, size)[1:])
            counts.append(packed.count)
            overlaps.add(
                Points(
                    kind="pixel",
                    row=packed.row,
                    col=packed.col,
                    value=packed.number.astype(np.float32),
                )
            )
            yield packed.labels

    camera.dense(
        "instances",
        labels(),
        dtype="u2",
        background=0,
        counts=counts,
        provenance=provenance,
    )


def _flow(path: Path, size: Size) -> Array:
    flow = read_flo(path)
    _check_size(path, flow.shape[:2], size)
    return np.moveaxis(flow, -1, 0)


def _depth(path: Path, size: Size) -> Array:
    depth = read_npy(path)
    if depth.dtype.kind != "f" or depth.ndim != 2:
        raise SourceError(f"{path}: expected depth (H, W) of floats, found {_what(depth)}")
    _check_size(path, depth.shape, size)
    if depth.dtype.itemsize > 4 and (depth.astype(np.float32) != depth).any():
        raise SourceError(f"{path}: expected float32 depth, found {depth.dtype} that needs more")
    if not (depth >= 0).all():
        raise SourceError(f"{path}: expected metres, 0 where there is none, found {depth.min()}")
    return depth


def _stack(path: Path, size: Size) -> Array:
    """Return a segmentation, checked: (1 + N, H, W) of 0 and 1, the first channel empty."""
    stack = read_npy(path)
    if stack.ndim != 3 or not len(stack):
        raise SourceError(
            f"{path}: expected masks (1 + N, H, W), the first one empty, found {_what(stack)}"
        )
    _check_size(path, stack.shape[1:], size)
    if not ((stack == 0) | (stack == 1)).all():
        raise SourceError(
            f"{path}: expected masks of 0 and 1, found {stack.min()} to {stack.max()}; take the "
            "published file"
        )
    if stack[0].any():
        raise SourceError(
            f"{path}: expected an empty first channel (background), found "
            f"{np.count_nonzero(stack[0])} pixels in it; take the published file"
        )
    return stack


def _check_size(path: Path, found: Sequence[int], size: Size) -> None:
    if tuple(found) != size:
        raise SourceError(
            f"{path}: expected {size[1]}x{size[0]} pixels like the images, found "
            f"{found[1]}x{found[0]}; take files of one size"
        )


def _what(array: Array) -> str:
    return f"{array.dtype} {array.shape}"
