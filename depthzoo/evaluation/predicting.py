"""Predictions of a model for whole sequences, one ``.npz`` file each."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import DepthdataError, UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.frames import sequence_files
from depthzoo.evaluation.pieces import FramePrediction, predictable_frames, predicted_frames
from depthzoo.evaluation.quantities import own_quantity, predicted_map
from depthzoo.models.card import Needs
from depthzoo.prediction import Prediction

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.models import Model

__all__ = ["PredictedSequence", "predict_sequences"]

QUANTITIES = ("depth", "disparity")
PNG_SCALE = 256.0
_ALONE = Needs()
_FURTHER = ("motion_mask", "flow", "uncertainty", "pose")


@dataclass(frozen=True)
class PredictedSequence:
    """What became of one sequence file.

    Parameters
    ----------
    sequence, status : str
        Status is ``"predicted"``, ``"skipped"`` (already there), ``"planned"`` or ``"failed"``.
    path : Path
        The ``.npz`` file.
    frames : int
        Frames in it.
    message : str
        Why it failed.
    """

    sequence: str
    status: str
    path: Path
    frames: int = 0
    message: str = ""


def predict_sequences(
    model: Model,
    data: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    quantity: str | None = None,
    camera: str = "left",
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    png16: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[PredictedSequence]:
    """Predict every frame of sequence files and write ``OUT/<sequence>.npz``.

    A file appears whole or not at all, and memory does not grow with the sequence. It holds
    ``depth`` (m) or ``disparity`` (px) (n,H,W) float32 with NaN where nothing is predicted,
    ``frames`` (n,) timeline indices, ``frame_ids`` (n,), ``intrinsics`` (n,3,3), ``baseline``
    (of a stereo pair, m) and ``facts``, JSON text: model, sequence, digest, invariance. What else
    the model gives lies beside: ``motion_mask`` and ``uncertainty`` (n,H,W), ``flow`` (n,2,H,W)
    float32, ``pose`` (n,4,4) float64 in the axes of the first frame (NaN after a gap).
    `StoredPredictions` reads all of it. A model that takes videos is given each sequence as one.

    Parameters
    ----------
    model : Model
        See `depthzoo.load`.
    data : path or list of paths
        Sequence files or folders of them.
    out : path
        Folder for the results.
    quantity : str, optional
        ``"depth"`` or ``"disparity"``; by default what the model gives.
    camera : str
        The camera to predict for.
    limit : int, optional
        At most this many frames of each sequence.
    options : mapping, optional
        Those that the model was loaded with: files made with other ones are not taken for the same.
    png16 : bool
        Also write ``OUT/<sequence>/<frame>.png``: value * 256 as uint16, 0 = none (KITTI's form).
    overwrite : bool
        Replace files of another model or of other data. A file of the same is skipped in any case
        unless this is set.
    dry_run : bool
        Only say what would be done.
    progress : callable, optional
        ``(done, total, sequence)`` after each frame.

    Returns
    -------
    list of PredictedSequence
        One for each file; a sequence that fails does not stop the others.
    """
    if quantity is not None and quantity not in QUANTITIES:
        raise UsageError(f"quantity must be depth or disparity, found {quantity!r}")
    kept = json.loads(json.dumps(dict(options or {}), default=str)) or None
    job = _Job(model, Path(out), quantity, camera, limit, kept, png16, overwrite)
    files = sequence_files(data)
    plans = [_plan(job, file) for file in files]
    total, done = sum(len(p.frames) for p in plans if p.todo), 0
    results = []
    for plan in plans:
        if not plan.todo or dry_run:
            status = "planned" if plan.todo else plan.status
            results.append(
                PredictedSequence(plan.name, status, plan.target, len(plan.frames), plan.message)
            )
            continue
        before = done

        def step(n: int, name: str, before: int = before) -> None:
            if progress is not None:
                progress(before + n, total, name)

        try:
            _predict(job, plan, step)
        except DepthdataError as error:
            results.append(PredictedSequence(plan.name, "failed", plan.target, 0, str(error)))
        else:
            results.append(PredictedSequence(plan.name, "predicted", plan.target, len(plan.frames)))
        done += len(plan.frames)
    return results


@dataclass(frozen=True)
class _Job:
    model: Any
    out: Path
    quantity: str | None
    camera: str
    limit: int | None
    options: Any
    png16: bool
    overwrite: bool

    def facts(self, seq: Sequence) -> dict[str, Any]:
        return {
            "model": self.model.card.name,
            "weights_sha256": getattr(self.model, "weights_sha256", None),
            "sequence": seq.name,
            "dataset": seq.dataset,
            "digest": seq.digest,
            "camera": self.camera,
            "asked": self.quantity,
            "limit": self.limit,
            "options": self.options,
        }


@dataclass(frozen=True)
class _SequencePlan:
    file: Path
    name: str
    target: Path
    frames: tuple[int, ...]
    status: str = "planned"
    message: str = ""

    @property
    def todo(self) -> bool:
        return self.status == "planned"


def _plan(job: _Job, file: Path) -> _SequencePlan:
    try:
        with open_sequence(file) as seq:
            target = job.out / f"{seq.name}.npz"
            frames = tuple(predictable_frames(job.model, seq, job.camera)[: job.limit])
            if not frames:
                raise UsageError(f"{file}: no frame has all images that the model needs")
            if target.exists() and not job.overwrite:
                if not _same(target, job.facts(seq)):
                    raise UsageError(
                        f"{target} exists and is of another model or other data; choose another "
                        "folder or --overwrite"
                    )
                return _SequencePlan(file, seq.name, target, frames, "skipped")
            return _SequencePlan(file, seq.name, target, frames)
    except DepthdataError as error:
        target = job.out / f"{file.stem}.npz"
        return _SequencePlan(file, file.stem, target, (), "failed", str(error))


def _same(target: Path, facts: dict[str, Any]) -> bool:
    try:
        with np.load(target, allow_pickle=False) as stored:
            found = json.loads(str(stored["facts"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
    return all(found.get(key) == value for key, value in facts.items())


def _predict(job: _Job, plan: _SequencePlan, step: Callable[[int, str], None]) -> None:
    camera = job.camera
    job.out.mkdir(parents=True, exist_ok=True)
    with open_sequence(plan.file) as seq, ExitStack() as stack:
        spools: dict[str, _Spool] = {}
        quantity, invariance = job.quantity or "", ""
        frames: list[int] = []
        for found in predicted_frames(job.model, seq, camera, list(plan.frames)):
            quantity = job.quantity or quantity or own_quantity(found.prediction)
            invariance = found.prediction.invariance
            parts = {quantity: _map(found, quantity, seq, camera), **_further(found)}
            for name in parts:
                if name not in spools:
                    file = stack.enter_context(tempfile.TemporaryFile(dir=job.out))
                    spools[name] = _Spool(file, f"{plan.file}: {name}")  # type: ignore[arg-type]
            for name, spool in spools.items():
                spool.add(parts.get(name), len(frames))
            frames.append(found.frame)
            if job.png16:
                path = job.out / seq.name / f"{seq.frame_ids[found.frame]}.png"
                _write_png16(path, parts[quantity])
            step(len(frames), seq.name)
        if sorted(frames) != list(plan.frames):
            raise UsageError(
                f"{plan.file}: the model predicted {len(set(frames))} of {len(plan.frames)} frames"
                + (", some of them twice" if len(set(frames)) != len(frames) else "")
                + "; leave out reference_windows"
            )
        small: dict[str, Any] = {
            "frames": np.array(frames, "<i8"),
            "frame_ids": np.array([str(seq.frame_ids[t]) for t in frames]),
            "intrinsics": np.stack([seq.cameras[camera].intrinsics(t) for t in frames]),
            "facts": np.array(json.dumps(
                {**job.facts(seq), "quantity": quantity, "invariance": invariance})),
        }  # fmt: skip
        for pair in seq.stereo_pairs:
            if pair.left == camera:
                small["baseline"] = np.float64(pair.baseline)
        _write_npz(plan.target, spools, small)


def _map(found: FramePrediction, quantity: str, seq: Sequence, camera: str) -> NDArray[Any]:
    """Return the depth or disparity of a frame."""
    own = getattr(found.prediction, quantity)
    if own is not None:
        return np.asarray(own[found.at], "<f4")
    other = getattr(found.prediction, _other(quantity))
    if other is None:
        raise UsageError(f"the model predicts no {quantity}, nor what it could be computed from")
    given: dict[str, Any] = {_other(quantity): other[found.at][None]}
    given["invariance"] = found.prediction.invariance
    values = predicted_map(Prediction(**given), _ALONE, quantity, seq, camera, found.frame)
    return np.asarray(values, "<f4")


def _other(quantity: str) -> str:
    return "disparity" if quantity == "depth" else "depth"


def _further(found: FramePrediction) -> dict[str, NDArray[Any]]:
    """Return what a model gives beside depth or disparity."""
    parts: dict[str, NDArray[Any]] = {}
    for name in _FURTHER:
        if getattr(found.prediction, name) is None:
            continue
        if name != "pose":
            parts[name] = np.asarray(getattr(found.prediction, name)[found.at], "<f4")
        elif found.pose is not None:
            # after a gap nobody knows where the camera is in the axes of the first frame
            lost = np.full((4, 4), np.nan)
            parts[name] = np.asarray(lost if found.run else found.pose, "<f8")
    return parts


@dataclass
class _Spool:
    """Arrays of one size, one after the other, in a file."""

    file: BinaryIO
    what: str
    shape: tuple[int, ...] | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("<f4"))
    count: int = 0

    def add(self, values: NDArray[Any] | None, number: int) -> None:
        """Write the values of a frame; NaN for it, and for those before, where there are none."""
        if values is not None:
            if self.shape not in (None, values.shape):
                raise UsageError(
                    f"{self.what}: predictions differ in size, {self.shape} and then {values.shape}"
                )
            self.shape, self.dtype = values.shape, values.dtype
        assert self.shape is not None
        while self.count < number:
            self._write(np.full(self.shape, np.nan, self.dtype))
        self._write(np.full(self.shape, np.nan, self.dtype) if values is None else values)

    def _write(self, values: NDArray[Any]) -> None:
        self.file.write(np.ascontiguousarray(values).tobytes())
        self.count += 1


def _write_npz(target: Path, spools: Mapping[str, _Spool], small: dict[str, Any]) -> None:
    """Write the large arrays from files and the small ones from memory, whole or not at all."""
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, spool in spools.items():
                shape = (spool.count, *(spool.shape or ()))
                header = {"descr": spool.dtype.str, "fortran_order": False, "shape": shape}
                spool.file.seek(0)
                with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(spool.file, member, 1 << 20)
            for key, value in small.items():
                with archive.open(_member(f"{key}.npy"), "w") as member:
                    np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # no clock: same input, same bytes


def _write_png16(path: Path, values: NDArray[np.floating]) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    scaled = np.nan_to_num(values * PNG_SCALE, nan=0.0, posinf=0.0, neginf=0.0)
    image = np.clip(np.rint(scaled), 0, 65535).astype(np.uint16)
    part = path.with_name(f".{path.stem}.part-{os.getpid()}.png")
    try:
        if not cv2.imwrite(str(part), image):
            raise UsageError(f"{path}: cannot be written; check the folder and the disk")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
