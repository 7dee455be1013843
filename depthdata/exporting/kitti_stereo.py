"""Sequence files back into the folders of KITTI's stereo benchmarks, 2012 and 2015."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.codecs.images import encode_png
from depthdata.codecs.kitti_stereo import encode_disparity, encode_flow
from depthdata.errors import UsageError
from depthdata.sources.kitti_2012 import BENCHMARK as KITTI_2012
from depthdata.sources.kitti_2015 import BENCHMARK as KITTI_2015
from depthdata.sources.kitti_stereo_tree import PARTS, Benchmark, TruthFolders
from depthdata.sources.kitti_stereo_truth import flow_levels, seen_disparity, seen_flow

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence

__all__ = ["write"]

_BENCHMARKS = {benchmark.dataset: benchmark for benchmark in (KITTI_2012, KITTI_2015)}
_NAME = re.compile(rf"({'|'.join(PARTS)})_(\d{{6}})")


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write scenes: images and calibration byte for byte, ground truth value for value.

    Parameters
    ----------
    sequences : iterable of Sequence
        Converted from ``kitti_2012`` or ``kitti_2015``.
    root : Path
        The folder of ``training`` and ``testing``.

    Raises
    ------
    UsageError
        A sequence of another dataset, or one whose images are no PNG.
    """
    for sequence in sequences:
        benchmark = _BENCHMARKS.get(sequence.dataset)
        name = _NAME.fullmatch(sequence.name)
        if benchmark is None or name is None:
            raise UsageError(
                f"{sequence.path}: expected a scene of {' or '.join(sorted(_BENCHMARKS))} called "
                f"training_<six digits> or testing_..., found {sequence.name} of {sequence.dataset}"
            )
        _Scene(benchmark, sequence, root / name[1]).write(name[2])


class _Scene:
    """One sequence and the folder of its part."""

    def __init__(self, benchmark: Benchmark, sequence: Sequence, part: Path) -> None:
        self.benchmark, self.sequence, self.part = benchmark, sequence, part

    def write(self, number: str) -> None:
        for name, folder in self.benchmark.images.items():
            if name in self.sequence.cameras:
                self._images(self.sequence.cameras[name], folder)
        for camera in self.sequence.cameras.values():
            for folder, text in camera.transform.get("calibration", {}).items():
                self._save(folder, f"{number}.txt", text.encode("latin-1"))
        if self.benchmark.truth in self.sequence.cameras:
            self._truth(self.sequence.cameras[self.benchmark.truth])

    def _images(self, camera: Camera, folder: str) -> None:
        stream = camera["rgb"]
        if stream.attrs.get("encoding") != "png":
            raise UsageError(
                f"{self.sequence.path}: the images of camera {camera.name} are "
                f"{stream.attrs.get('encoding')}; the layout has PNG only"
            )
        for t in stream.frames.tolist():
            self._save(folder, f"{self.sequence.frame_ids[t]}.png", stream.blob(t))

    def _truth(self, camera: Camera) -> None:
        for folders in self.benchmark.disparities:
            self._disparity(camera, folders)
        self._flow(camera, self.benchmark.flow)
        if self.benchmark.instances is not None and "instances" in camera.streams:
            stream = camera["instances"]
            for t in stream.frames.tolist():
                self._map(self.benchmark.instances, t, encode_png(stream.raw(t)))

    def _disparity(self, camera: Camera, folders: TruthFolders) -> None:
        second = f"{folders.stream}_noc"
        for name, folder in ((folders.stream, folders.all), (second, folders.seen)):
            if name in camera.streams:
                for t in camera[name].frames.tolist():
                    self._map(folder, t, encode_disparity(camera[name].raw(t)))
        if folders.mask in camera.streams and second not in camera.streams:
            mask = camera[folders.mask]
            for t in mask.frames.tolist():
                levels = seen_disparity(camera[folders.stream].raw(t), mask.raw(t))
                self._map(folders.seen, t, encode_disparity(levels))

    def _flow(self, camera: Camera, folders: TruthFolders) -> None:
        second = f"{folders.stream}_noc"
        for name, folder in ((folders.stream, folders.all), (second, folders.seen)):
            if name in camera.streams:
                valid = camera[f"{name}_valid"]
                for t in camera[name].frames.tolist():
                    levels = flow_levels(camera[name].raw(t), valid.raw(t))
                    self._map(folder, t, encode_flow(levels))
        if folders.mask in camera.streams and second not in camera.streams:
            whole, mask = camera[folders.stream], camera[folders.mask]
            dx, dy = mask.attrs["empty_level"]
            for t in mask.frames.tolist():
                levels = flow_levels(whole.raw(t), camera[f"{folders.stream}_valid"].raw(t))
                self._map(folders.seen, t, encode_flow(seen_flow(levels, mask.raw(t), (dx, dy))))

    def _map(self, folder: str, t: int, data: bytes) -> None:
        self._save(folder, f"{self.sequence.frame_ids[t]}.png", data)

    def _save(self, folder: str, name: str, data: bytes | memoryview) -> None:
        path = self.part / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
