"""Sequences as scenes of Middlebury stereo, evaluation set v3 and 2014; parts shared with ETH3D.

What came from Middlebury gets its own folder and names again. A frame of any other sequence with a
rectified pair, disparity and occlusion becomes a scene of ``MiddEval3/trainingF``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.middlebury import Calib, encode_calib, encode_mask
from depthdata.codecs.pfm import encode_pfm
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence

__all__ = ["Pair", "pairs", "write"]


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write sequences below `root`, the folder with ``MiddEval3`` and ``2014``.

    Raises
    ------
    UsageError
        A sequence without a pair of cameras, or with disparity but without ``masks/occluded``.
    """
    for sequence in sequences:
        for pair in pairs(sequence):
            part, scene = "trainingF", pair.name
            if sequence.dataset == "middlebury":
                part, _, scene = sequence.name.partition("_")
            if part == "2014":
                _write_2014(pair, root / part / scene)
            else:
                _write_evaluation(pair, root / "MiddEval3" / part / scene)


def _write_evaluation(pair: Pair, folder: Path) -> None:
    pair.write_pictures(folder, ("rgb", "rgb"), "im{view}.png")
    pair.write_calib(folder)
    pair.write_truth(folder, "disp{view}GT.pfm", "disp{view}GTy.pfm", "mask{view}nocc.png")


def _write_2014(pair: Pair, folder: Path) -> None:
    pair.write_pictures(folder, ("rgb", "rgb"), "im{view}.png")
    pair.write_pictures(folder, ("", "rgb_exposure"), "im1E.png")
    pair.write_pictures(folder, ("", "rgb_lighting"), "im1L.png")
    pair.write_calib(folder)
    pair.write_truth(folder, "disp{view}.pfm", "disp{view}y.pfm", None)


def pairs(sequence: Sequence) -> Iterator[Pair]:
    """Yield the rectified pair of every frame of a sequence.

    Raises
    ------
    UsageError
        There is no pair.
    """
    names: tuple[str, str] = ("left", "right")
    baseline: float | None = None
    if sequence.stereo_pairs:
        found = sequence.stereo_pairs[0]
        names = (found.left, found.right)
        baseline = found.baseline if found.baseline > 0 else None
    if not set(names) <= set(sequence.cameras):
        raise UsageError(
            f"{sequence.name}: expected a pair of cameras, found {', '.join(sequence.cameras)}"
        )
    views = sequence.cameras[names[0]], sequence.cameras[names[1]]
    for t, frame in enumerate(sequence.frame_ids):
        name = sequence.name if len(sequence) == 1 else f"{sequence.name}_{frame}"
        yield Pair(name, views, baseline, t)


@dataclass(frozen=True)
class Pair:
    """One frame of two cameras, written in the formats that Middlebury and ETH3D share.

    Parameters
    ----------
    name : str
        For the scene's folder.
    cameras : (Camera, Camera)
        Left, right.
    baseline : float or None
        Metres; None where the sequence has no calibration.
    t : int
        The frame.
    """

    name: str
    cameras: tuple[Camera, Camera]
    baseline: float | None
    t: int

    def write_pictures(self, folder: Path, streams: tuple[str, str], name: str) -> None:
        """Write a picture stream of each view, the source's own bytes where they are PNG."""
        for view, (camera, stream) in enumerate(zip(self.cameras, streams, strict=True)):
            if self._has(camera, stream):
                blob = bytes(camera[stream].blob(self.t))
                if camera[stream].attrs["encoding"] != "png":
                    blob = encode_png(decode_image(blob))
                _write(folder / name.format(view=view), blob)

    def write_calib(self, folder: Path) -> None:
        """Write ``calib.txt``; nothing where the sequence says that it is unknown."""
        if self.baseline is None:
            return
        left = self.cameras[0]
        cam0, cam1 = (camera.intrinsics(self.t) for camera in self.cameras)
        own: dict[str, Any] = dict(left.transform.get("calib", {}))
        baseline = own.pop("baseline", round(self.baseline * 1000, 9))
        doffs = own.pop("doffs", round(float(cam1[0, 2] - cam0[0, 2]), 9))
        facts = own or {"ndisp": left.width}
        calib = Calib(cam0, cam1, baseline, doffs, left.width, left.height, facts)
        _write(folder / "calib.txt", encode_calib(calib))

    def write_truth(
        self, folder: Path, disparity: str, disparity_y: str | None, mask: str | None
    ) -> None:
        """Write disparities (NaN becomes +inf) and masks of the views that have them."""
        for view, camera in enumerate(self.cameras):
            for stream, name in (("disparity", disparity), ("disparity_y", disparity_y)):
                if name is not None and self._has(camera, stream):
                    values = np.asarray(camera[stream][self.t], np.float32)
                    stored = np.where(np.isnan(values), np.float32(np.inf), values)
                    _write(folder / name.format(view=view), encode_pfm(stored))
            if mask is None or not self._has(camera, "disparity"):
                continue
            if self._has(camera, "masks/occluded"):
                occluded = camera["masks/occluded"].raw(self.t)
                unknown = np.isnan(camera["disparity"][self.t])
                if camera["masks/occluded"].missing is None:  # known everywhere, unlike disparity
                    occluded = np.where(unknown, 255, occluded)
                _write(folder / mask.format(view=view), encode_mask(occluded.astype(np.uint8)))
            elif view == 0:
                raise UsageError(
                    f"{self.name}: camera {camera.name} has disparity but no masks/occluded; "
                    f"{mask.format(view=view)} needs it"
                )

    def _has(self, camera: Camera, stream: str) -> bool:
        known: tuple[str, ...] = camera.streams
        if "masks/occluded" in known:  # without it, disparity that follows from depth is no truth
            known += camera.derived
        return stream in known and bool(camera[stream].present[self.t])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
