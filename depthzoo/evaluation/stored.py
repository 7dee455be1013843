"""Predictions that were made elsewhere, in the place of a model: a folder of maps, masks or paths.

Layouts, DIR being the folder (a subfolder or file of the camera's name may stand below the
sequence or above it)::

    DIR/<sequence>/<frame id>.npy          one map a file: .npy .npz .png .pfm
    DIR/<sequence>.npz                     all maps of a sequence: .npz .npy .h5
    DIR/<sequence>.txt                     a path: 12 numbers a line (KITTI) or 8 (TUM), or arrays
    DIR/<frame id>.png                     where frame ids differ in all sequences
    FILE.npy                               all maps, in the order in which a split lists the frames
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.stored_files import (
    MAPS,
    QUANTITIES,
    STACKS,
    Stack,
    open_stack,
    read_map,
)
from depthzoo.evaluation.stored_paths import PATHS, read_path
from depthzoo.models.card import Card, Needs
from depthzoo.prediction import PERMITTED, Prediction

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.evaluation.frames import Task
    from depthzoo.evaluation.protocols import Protocol

__all__ = ["StoredPredictions"]

_OF_KIND = {"trajectory": "pose", "motion": "motion_mask"}
_OPEN = 8
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class _Found:
    """Where the predictions of a sequence are: a stack, or a file for each frame."""

    stack: Stack | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    shared: bool = False

    def place(self, frame: int, frame_id: str) -> tuple[Path, int] | None:
        """Return file and number in it, or None where there is none."""
        if self.stack is not None:
            number = self.stack.number(frame, frame_id)
            return None if number is None else (self.stack.path, number)
        file = self.files.get(frame_id)
        if file is None and frame_id.isdecimal():
            file = self.files.get(f"{int(frame_id)}#")
        return None if file is None else (file, 0)


class _AsStored(Prediction):
    """A prediction in the precision of its file, of which only the pixels looked at are read."""

    def __post_init__(self) -> None:
        """Take the arrays as they are."""


class StoredPredictions:
    """Stands for a model that was run elsewhere: `predict` looks its result up.

    Parameters
    ----------
    folder : path
        Folder of predictions, or a file of all of them; layouts as the module says.
    quantity : str, optional
        ``"depth"`` (m), ``"disparity"`` (px of the stored image, left minus right),
        ``"inverse_depth"`` (1/m), ``"motion_mask"`` (probability) or ``"pose"`` (camera to world).
        Files of `depthzoo predict` say it themselves, and so does a protocol of masks or paths.
    invariance : str, optional
        ``"metric"``, ``"disparity"`` (pixels of a pair), ``"scale"`` (up to one factor) or
        ``"affine"``; required where the files do not say it.
    name : str, optional
        What results call the model; by default what the files say, else the folder's name. With
        the name of a known model its training data and published numbers are compared, too.
    png_scale : float, optional
        What the numbers of a PNG are divided by: 256 for maps, 255 or 65535 for masks.
    missing : str
        ``"error"``: every frame needs a prediction; ``"skip"``: frames without one are counted as
        pixels without prediction (coverage).

    Examples
    --------
    >>> model = StoredPredictions(".", quantity="depth", invariance="scale", name="theirs")
    >>> model.card.name, model.needs.views
    ('theirs', ())
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        quantity: str | None = None,
        invariance: str | None = None,
        name: str | None = None,
        png_scale: float | None = None,
        missing: str = "error",
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.exists():
            raise UsageError(f"{folder}: no such folder of predictions")
        if quantity is not None and quantity not in QUANTITIES:
            raise UsageError(f"quantity is one of {', '.join(QUANTITIES)}; found {quantity!r}")
        if invariance is not None and invariance not in PERMITTED:
            raise UsageError(f"invariance is one of {', '.join(PERMITTED)}; found {invariance!r}")
        if missing not in ("error", "skip"):
            raise UsageError(f"missing is error or skip; found {missing!r}")
        if png_scale is not None and not png_scale > 0:
            raise UsageError(f"png_scale is a positive number; found {png_scale}")
        self.quantity, self.invariance = quantity, invariance
        self.png_scale, self.missing = png_scale, missing
        self.needs = Needs(views=())
        self.weights_sha256: str | None = None
        self.fingerprint = ""
        self._named = name is not None
        self.card = self._card(name or self.folder.resolve().stem, invariance or "metric")
        self._rows: dict[tuple[str, str, int], int] | None = None
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._cache: OrderedDict[tuple[str, str], _Found] = OrderedDict()
        self._whole: dict[tuple[str, str], tuple[int, int]] = {}

    def _card(self, name: str, invariance: str) -> Card:
        return Card(
            name=name,
            family="stored",
            title=f"Predictions from {self.folder.name}",
            licence="",
            paper="",
            homepage="",
            needs=self.needs,
            gives=(self.quantity or "depth",),
            invariance=invariance,
        )

    @property
    def options(self) -> dict[str, Any]:
        """What a result says of where the predictions come from."""
        return {
            "predictions": self.folder.name,
            "quantity": self.quantity,
            "png_scale": self.png_scale,
            "missing": self.missing,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def check(self, protocol: Protocol, tasks: Iterable[Task]) -> None:
        """Find the predictions of all frames before the first is measured.

        Raises
        ------
        UsageError
            A frame has no prediction (unless they may be missing), or what the predictions are is
            not known.
        """
        several = list(tasks)
        of_kind = _OF_KIND.get(protocol.kind)
        if of_kind is not None:
            if self.quantity not in (None, of_kind):
                raise UsageError(
                    f"{protocol.id} measures {of_kind}; predictions are said to be {self.quantity}"
                )
            self.quantity = of_kind
        if self.folder.is_file() and protocol.kind != "trajectory":
            self._number(several)
        facts, lost, used = [], [], set[tuple[str, int]]()
        places: dict[Path, tuple[int, int]] = {}
        total = 0
        for task in several:
            with open_sequence(task.path) as seq:
                self._aliases[seq.name] = tuple(
                    dict.fromkeys((f"{seq.split}/{seq.name}", seq.name, task.path.stem))
                )
                if protocol.kind == "trajectory":
                    path = self._path_file(seq.name, task.camera)
                    facts.append(_path_facts(path))
                    places[path] = _stamp(path)
                    continue
                if protocol.prepare:
                    cam = seq.cameras[task.camera]
                    self._whole[seq.name, task.camera] = (cam.height, cam.width)
                found = self._find(seq.name, task.camera)
                if found.stack is not None:
                    facts.append(found.stack.facts)
                for frame in task.frames:
                    place = self._place(found, seq.name, task.camera, frame, seq.frame_ids[frame])
                    total += 1
                    if place is None:
                        lost.append(f"{seq.name}/{seq.frame_ids[frame]}")
                        continue
                    if found.shared and (str(place[0]), place[1]) in used:
                        raise UsageError(
                            f"{place[0]} would serve several sequences; store predictions as "
                            f"{self.folder}/<sequence>/{place[0].name}"
                        )
                    used.add((str(place[0]), place[1]))
                    if place[0] not in places:
                        places[place[0]] = _stamp(place[0])
        if lost and (self.missing == "error" or len(lost) == total):
            shown = ", ".join(lost[:_SHOWN]) + (" ..." if len(lost) > _SHOWN else "")
            raise UsageError(
                f"{self.folder}: {len(lost)} of {total} frames have no prediction: {shown}; "
                f"expected {self.folder}/<sequence>/<frame id> with {', '.join(MAPS)}, or "
                f"{self.folder}/<sequence> with {', '.join(STACKS)}"
                + ("" if len(lost) == total else "; or let them be missing (--missing skip)")
            )
        self._settle(facts)
        text = "\n".join(f"{p} {size} {at}" for p, (size, at) in sorted(places.items()))
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def _settle(self, facts: list[Mapping[str, Any]]) -> None:
        """Take what the files say of themselves, where the caller did not say it."""
        for name in ("quantity", "invariance"):
            stated = {str(one[name]) for one in facts if name in one}
            if name == "quantity":
                stated &= {"depth", "disparity", "inverse_depth"}
            if getattr(self, name) is None and len(stated) > 1:
                raise UsageError(
                    f"{self.folder}: files differ in {name} ({', '.join(sorted(stated))}); "
                    "evaluate them separately"
                )
            if getattr(self, name) is None and stated:
                setattr(self, name, stated.pop())
        if self.invariance is None and self.quantity == "motion_mask":
            self.invariance = "metric"  # masks have no scale: every alignment is none
        for name, choices in (("quantity", QUANTITIES[:3]), ("invariance", tuple(PERMITTED))):
            if getattr(self, name) is None:
                raise UsageError(
                    f"{self.folder}: the files do not say the predictions' {name}; give --{name} "
                    f"({', '.join(choices)})"
                )
            if name == "invariance" and getattr(self, name) not in PERMITTED:
                raise UsageError(f"{self.folder}: unknown invariance {self.invariance!r}")
        if self.quantity == "disparity" and self.invariance in ("scale", "affine"):
            raise UsageError(
                "quantity 'disparity' is pixels of a rectified pair (invariance disparity); for "
                f"one over depth up to {self.invariance!r} give quantity inverse_depth"
            )
        models = {str(one["model"]) for one in facts if "model" in one}
        digests = {one.get("weights_sha256") for one in facts}
        name = models.pop() if len(models) == 1 and not self._named else self.card.name
        if len(digests) == 1:
            self.weights_sha256 = digests.pop()
        self.card = dataclasses.replace(
            self._card(name, str(self.invariance)), gives=(str(self.quantity),)
        )

    def _number(self, tasks: list[Task]) -> None:
        """Say which map of a file of all of them belongs to which frame."""
        self._rows = {}
        for task in tasks:
            with open_sequence(task.path) as seq:
                for frame, order in zip(task.frames, task.order, strict=True):
                    self._rows[seq.name, task.camera, frame] = order
        stack = open_stack(self.folder, self.quantity)
        if len(stack) != len(self._rows):
            raise UsageError(
                f"{self.folder}: {len(stack)} predictions for {len(self._rows)} frames; a single "
                "file holds one for each evaluated frame, in the order of the split"
            )

    def _place(
        self, found: _Found, sequence: str, camera: str, frame: int, frame_id: str
    ) -> tuple[Path, int] | None:
        if self._rows is not None:
            return self.folder, self._rows[sequence, camera, frame]
        return found.place(frame, str(frame_id))

    def _find(self, sequence: str, camera: str) -> _Found:
        key = (sequence, camera)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if self.folder.is_file():
            found = _Found(open_stack(self.folder, self.quantity))
        else:
            found = self._search(sequence, camera)
        self._cache[key] = found
        if len(self._cache) > _OPEN:
            self._cache.popitem(last=False)
        return found

    def _bases(self, sequence: str, camera: str) -> list[Path]:
        names = self._aliases.get(sequence, (sequence,))
        return [
            self.folder / part
            for name in names
            for part in (f"{name}/{camera}", f"{camera}/{name}", name)
        ]

    def _search(self, sequence: str, camera: str) -> _Found:
        for base in self._bases(sequence, camera):
            for kind in STACKS:
                file = base.with_name(base.name + kind)
                if file.is_file():
                    return _Found(_as_stack(open_stack(file, self.quantity)))
            files = _files(base)
            if files:
                return _Found(files=files)
            for kind in (".png", ".pfm"):  # of a sequence of one frame
                file = base.with_name(base.name + kind)
                if file.is_file():
                    return _Found(_one_map(file))
        return _Found(files=_files(self.folder), shared=True)

    def predict(self, sample: Mapping[str, Any]) -> Prediction:
        """Return the stored prediction of the frame that ``sample["index"]`` names.

        A frame without one gives a single NaN, (1, 1, 1).
        """
        index = sample["index"]
        sequence, camera, frame = index["sequence"], index["camera"], int(index["frame"])
        found = self._find(sequence, camera)
        place = self._place(found, sequence, camera, frame, str(index["frame_id"]))
        quantity = str(self.quantity)
        if place is None:
            values: NDArray[Any] = np.full((1, 1), np.nan, np.float32)
        elif found.stack is not None and found.stack.name != "map":
            values = _plane(found.stack, place[1])
        else:
            values = read_map(place[0], quantity, self.png_scale)
        if values.shape == self._whole.get((sequence, camera)):
            raise UsageError(
                f"{place and place[0]}: a prediction of the whole image {values.shape}; this "
                "protocol cuts the images, so predictions are of the part that it names"
            )
        if quantity == "inverse_depth":
            quantity, values = "depth", _inverse(values)
        given: dict[str, Any] = {quantity: values[None], "invariance": self.invariance}
        return _AsStored(**given)

    def poses_of(
        self, seq: Sequence, camera: str, frames: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], str]:
        """Return the stored poses (N,4,4) of frames, camera to world, and their invariance."""
        path = self._path_file(seq.name, camera)
        return read_path(path, seq, frames), str(self.invariance)

    def _path_file(self, sequence: str, camera: str) -> Path:
        if self.folder.is_file():
            return self.folder
        for base in self._bases(sequence, camera):
            for stem in (base, base / "poses", base / "trajectory"):
                for kind in PATHS:
                    file = stem.with_name(stem.name + kind)
                    if file.is_file():
                        return file
        raise UsageError(
            f"{self.folder}: no path of {sequence}; expected {self.folder}/{sequence} with "
            f"{', '.join(PATHS)}"
        )


def _files(folder: Path) -> dict[str, Path]:
    """Return the maps of a folder by frame name; of numbers also by number."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    numbers: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in MAPS and not path.name.startswith("."):
            if path.stem in found:
                raise UsageError(
                    f"{path} and {found[path.stem].name} are predictions of the same frame; leave "
                    "one of them"
                )
            found[path.stem] = path
            if path.stem.isdecimal():
                numbers.setdefault(f"{int(path.stem)}#", []).append(path)
    return found | {key: paths[0] for key, paths in numbers.items() if len(paths) == 1}


def _as_stack(stack: Stack) -> Stack:
    """Return the stack; a single map stands for a sequence of one frame."""
    if len(stack.shape) != 2:
        return stack

    def whole(number: int) -> NDArray[Any]:
        return np.stack([stack.read(row) for row in range(stack.shape[0])])

    return Stack(stack.path, stack.name, (1, *stack.shape), whole, facts=stack.facts)


def _one_map(file: Path) -> Stack:
    return Stack(file, "map", (1,), lambda n: np.empty((0, 0)))


def _plane(stack: Stack, number: int) -> NDArray[Any]:
    values = np.asarray(stack.read(number))
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2:
        raise UsageError(
            f"{stack.path}: expected maps (n, H, W), found {stack.name or 'an array'} {stack.shape}"
        )
    return values


def _inverse(values: NDArray[Any]) -> NDArray[Any]:
    """Return one over positive values, NaN elsewhere."""
    inverse = np.full(values.shape, np.nan, np.result_type(values.dtype, np.float32))
    with np.errstate(invalid="ignore"):
        np.divide(1, values, out=inverse, where=np.asarray(values > 0), casting="same_kind")
    return inverse


def _path_facts(path: Path) -> Mapping[str, Any]:
    return open_stack(path, "pose").facts if path.suffix in (".npz", ".h5") else {}


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
