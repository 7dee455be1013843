"""One scene of KITTI's stereo benchmarks into a sequence file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.codecs.kitti import MISSING_TIME
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.kitti_stereo_calibration import SceneCalibration
from depthdata.sources.kitti_stereo_tree import Benchmark
from depthdata.sources.kitti_stereo_truth import TruthFiles
from depthdata.sources.unknown import UNKNOWN_INTRINSICS, nominal_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["write"]

Frames = Mapping[str, str]


def write(benchmark: Benchmark, spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a scene; see `depthdata.sources.kitti_2015.write`."""
    try:
        _write(benchmark, spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(benchmark: Benchmark, spec: SequenceSpec, writer: SequenceWriter) -> None:
    root, scene = Path(spec.root), spec.files["scene"]
    images: Mapping[str, Frames] = spec.files["images"]
    truth: Mapping[str, Frames] = spec.files["truth"]
    _check_complete(benchmark, spec)
    frames = sorted(set().union(*images.values()))
    position = {frame: t for t, frame in enumerate(frames)}
    pictures = {
        camera: Pictures.of([root / found[frame] for frame in sorted(found)])
        for camera, found in images.items()
    }
    calibration = _calibration(benchmark, spec, images)
    _check_sizes(benchmark, pictures, calibration)

    writer.timeline(np.full(len(frames), MISSING_TIME), [f"{scene}_{frame}" for frame in frames])
    targets: dict[str, CameraWriter] = {}
    for camera in images:
        height, width, _ = pictures[camera].size
        targets[camera] = writer.camera(
            camera,
            height=height,
            width=width,
            transform={
                "source_camera": benchmark.images[camera],
                **_facts(calibration, camera, first=not targets),
            },
            **_matrices(calibration, camera, height, width),
        )
        index = [position[frame] for frame in sorted(images[camera])]
        pictures[camera].write(targets[camera], frame_index=index)
    for left, right in benchmark.pairs:
        if left in images:
            baseline = None if calibration is None else calibration.baseline(left, right)
            writer.stereo_pair(left, right, baseline)
    if truth:
        paths = {
            folder: {position[frame]: root / name for frame, name in found.items()}
            for folder, found in truth.items()
        }
        TruthFiles(paths, pictures[benchmark.truth].size[:2]).write(
            benchmark, targets[benchmark.truth]
        )


def _check_complete(benchmark: Benchmark, spec: SequenceSpec) -> None:
    """Every left image has its right one; every ground truth its image, flow the next one too."""
    images, truth, scene = spec.files["images"], spec.files["truth"], spec.files["scene"]

    def need(camera: str, frame: str, why: str) -> None:
        if frame not in images.get(camera, ()):
            path = f"{spec.root}/{benchmark.images[camera]}/{scene}_{frame}.png"
            raise SourceError(
                f"{path} is missing, {why}; unpack {benchmark.archive} again", incomplete=True
            )

    for left, right in benchmark.pairs:
        for camera, other in ((left, right), (right, left)):
            for frame, name in images.get(camera, {}).items():
                need(other, frame, f"the other image of {name}")
    for folder, found in truth.items():
        for frame, name in found.items():
            need(benchmark.truth, frame, f"the image that {name} is the ground truth of")
            if folder in (benchmark.flow.all, benchmark.flow.seen):
                need(benchmark.truth, f"{int(frame) + 1:02d}", f"the image that {name} leads to")


def _calibration(
    benchmark: Benchmark, spec: SequenceSpec, images: Mapping[str, Frames]
) -> SceneCalibration | None:
    texts: Mapping[str, str] = spec.files["texts"]
    if benchmark.calibration[0] not in texts:
        return None
    paths = {folder: Path(spec.root) / name for folder, name in texts.items()}
    return SceneCalibration.read(
        paths, {camera: number for camera, number in benchmark.numbers.items() if camera in images}
    )


def _check_sizes(
    benchmark: Benchmark,
    pictures: Mapping[str, Pictures],
    calibration: SceneCalibration | None,
) -> None:
    """Both views of a pair have one size, that of the calibration."""
    for left, right in benchmark.pairs:
        if left not in pictures:
            continue
        a, b = pictures[left].size, pictures[right].size
        if a[:2] != b[:2]:
            raise SourceError(
                f"{pictures[right].paths[0]}: expected {a.width}x{a.height} pixels like "
                f"{benchmark.images[left]}, found {b.width}x{b.height}; take the published images"
            )
        expected = None if calibration is None else calibration.size
        if calibration is not None and expected is not None and a[:2] != expected:
            raise SourceError(
                f"{pictures[left].paths[0]} has {a.width}x{a.height} pixels but "
                f"{calibration.path} is for {expected[1]}x{expected[0]}; take the published images"
            )


def _matrices(
    calibration: SceneCalibration | None, camera: str, height: int, width: int
) -> dict[str, Any]:
    if calibration is None:
        return {"intrinsics": nominal_intrinsics(height, width)}
    return {
        "intrinsics": calibration.intrinsics(camera),
        "T_rig_cam": calibration.T_rig_cam[camera],
    }


def _facts(calibration: SceneCalibration | None, camera: str, *, first: bool) -> dict[str, Any]:
    if calibration is None:
        return dict(UNKNOWN_INTRINSICS)
    return {
        "rig": calibration.rig,
        "projection": calibration.projections[camera].tolist(),
        **({"calibration": dict(calibration.texts)} if first else {}),
    }
