"""Predictions of a model for whole sequences, one ``.npz`` file each."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import DepthdataError, UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.frames import build_sample, complete_windows, sequence_files
from depthzoo.evaluation.quantities import own_quantity, predicted_map

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.models import Model

__all__ = ["PredictedSequence", "predict_sequences"]

QUANTITIES = ("depth", "disparity")
PNG_SCALE = 256.0


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
    png16: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[PredictedSequence]:
    """Predict every frame of sequence files and write ``OUT/<sequence>.npz``.

    A file appears whole or not at all, and memory does not grow with the sequence. It holds
    ``depth`` (m) or ``disparity`` (px) (n,H,W) float32 with NaN where nothing is predicted,
    ``frames`` (n,) timeline indices, ``frame_ids`` (n,), ``intrinsics`` (n,3,3), ``baseline``
    (of a stereo pair, m) and ``facts``, JSON text: model, sequence, digest, invariance.

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
    job = _Job(model, Path(out), quantity, camera, limit, png16, overwrite)
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
            found = np.flatnonzero(complete_windows(seq, job.camera, job.model.needs))
            frames = tuple(found[: job.limit].tolist())
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
    model, camera = job.model, job.camera
    job.out.mkdir(parents=True, exist_ok=True)
    with open_sequence(plan.file) as seq, _spool(job.out) as spool:
        shape: tuple[int, ...] | None = None
        quantity, invariance = job.quantity or "", ""
        for n, frame in enumerate(plan.frames, start=1):
            prediction = model.predict(build_sample(seq, camera, frame, model.needs))
            quantity = job.quantity or quantity or own_quantity(prediction)
            invariance = prediction.invariance
            values = predicted_map(prediction, model.needs, quantity, seq, camera, frame)
            if shape is not None and values.shape != shape:
                raise UsageError(
                    f"{plan.file}: predictions differ in size, {shape} and then {values.shape}"
                )
            shape = values.shape
            spool.write(np.ascontiguousarray(values, "<f4").tobytes())
            if job.png16:
                _write_png16(job.out / seq.name / f"{seq.frame_ids[frame]}.png", values)
            step(n, seq.name)
        spool.seek(0)
        frames = list(plan.frames)
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
        _write_npz(plan.target, quantity, (len(frames), *(shape or ())), spool, small)


@contextmanager
def _spool(folder: Path) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile(dir=folder) as spool:
        yield spool  # type: ignore[misc]


def _write_npz(
    target: Path, name: str, shape: tuple[int, ...], data: BinaryIO, small: dict[str, Any]
) -> None:
    """Write the large array from a file and the small ones from memory, whole or not at all."""
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                shutil.copyfileobj(data, member, 1 << 20)
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
