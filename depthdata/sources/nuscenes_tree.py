"""Folders of nuScenes into scenes: what the tables say of each, as plain data of its own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.nuscenes_tables import CHANNELS, LIDAR, NuscenesTables, read_tables
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import fingerprint_files
from depthdata.sources.nuscenes import CARD
from depthdata.sources.nuscenes_data import FRONT, Boxes, Channel, Scene

__all__ = ["fingerprint", "sequences"]

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_ORDER = ("v1.0-trainval", "v1.0-test", "v1.0-mini")  # mini repeats scenes of trainval


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes; see `depthdata.sources.nuscenes.sequences`."""
    folder = Path(root).resolve()
    found: dict[str, SequenceSpec] = {}
    for tables in _table_folders(folder):
        try:
            specs = _Reader(tables).specs()
        except FormatError as error:
            raise SourceError(str(error)) from error
        for spec in specs:
            found.setdefault(spec.name, spec)
    return sorted(found.values(), key=lambda spec: spec.name)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of a scene; see `depthdata.sources.nuscenes.fingerprint`."""
    import xxhash

    files = spec.files
    if "problem" in files:
        return f"xxh3:{xxhash.xxh3_128_hexdigest(files['problem'].encode())}"
    scene: Scene = files["scene"]
    names = [name for channel in scene.channels.values() for name in channel.files]
    contents = fingerprint_files(spec.root, [*names, *scene.panoptic.values()])
    rows = pickle.dumps(_plain(scene), protocol=4)
    return f"xxh3:{xxhash.xxh3_128_hexdigest(contents.encode() + rows)}"


def _plain(value: object) -> object:
    """Return nested lists of bytes and texts: equal data gives equal bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Channel | Boxes | Scene):
        return _plain(vars(value))
    if isinstance(value, dict):
        return [(str(key), _plain(inner)) for key, inner in value.items()]
    return repr(value)


def _table_folders(folder: Path) -> list[Path]:
    if folder.name.startswith("v1.0-") and (folder / "scene.json").is_file():
        return [folder]
    found = [f for f in folder.glob("v1.0-*") if f.is_dir() and any(f.glob("*.json"))]
    if found:
        known = {name: k for k, name in enumerate(_ORDER)}
        return sorted(found, key=lambda f: (known.get(f.name, -1), f.name))
    hint = ""
    if (folder / "sample_data.json").is_file():
        hint = "; the tables lie in this folder itself: give the folder above and call it v1.0-..."
    elif archives := [*folder.glob("v1.0-*.t*gz"), *folder.glob("v1.0-*.tar*")]:
        hint = f"; unpack {min(archives).name} first"
    raise SourceError(
        f"{folder}: no nuScenes tables found; expected a folder v1.0-mini, v1.0-trainval or "
        f"v1.0-test with scene.json, sample_data.json ... beside samples and sweeps{hint}"
    )


class _InconsistentError(Exception):
    """The tables contradict each other within one scene."""


class _Reader:
    """Cuts the tables of one version into scenes."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._root = folder, folder.parent
        self._tables: NuscenesTables = read_tables(folder)
        records, samples = self._tables.records, self._tables.samples
        self._next = records.next.tolist()
        self._prev = records.prev.tolist()
        self._key_record = np.full((len(CHANNELS), len(samples.tokens)), -1, np.int32)
        rows = np.flatnonzero(records.key)[::-1]  # the first of several is written last
        self._key_record[records.channel[rows], records.sample[rows]] = rows
        self._number = np.full(len(samples.tokens), -1, np.int32)  # of a sample within its scene
        self._absent = tuple(
            f"{part}/{channel}"
            for channel in CHANNELS
            for part in ("samples", "sweeps")
            if not (self._root / part / channel).is_dir()
        )
        notes = self._tables.annotations
        self._box_order = np.argsort(notes.sample, kind="stable")
        self._box_sample = notes.sample[self._box_order]
        self._velocity = self._velocities()

    def specs(self) -> list[SequenceSpec]:
        """Return a spec of every scene; one that contradicts itself fails when it is written."""
        return [self._spec(k) for k in range(len(self._tables.scenes.names))]

    def _spec(self, k: int) -> SequenceSpec:
        name = self._tables.scenes.names[k]
        files: dict[str, object]
        try:
            files = {"scene": self._scene(k)}
        except _InconsistentError as error:
            files = {"problem": f"{self._folder}: {name}: {error}; unpack the metadata again"}
        return SequenceSpec(
            dataset=CARD.name,
            name=name,
            root=str(self._root),
            split=self._folder.name.removeprefix("v1.0-"),
            files=files,
        )

    def _scene(self, k: int) -> Scene:
        tables = self._tables
        samples = self._samples_of(k)
        self._number[samples] = np.arange(len(samples))
        channels, left_out = {}, []
        for number, channel in enumerate(CHANNELS):
            if f"samples/{channel}" in self._absent and channel != FRONT:
                if (self._key_record[number, samples] >= 0).any():
                    left_out.append(f"samples/{channel}")
                continue
            found = self._channel(number, samples)
            if channel == FRONT:
                self._check_key_frames(found, samples)
            if f"sweeps/{channel}" in self._absent and channel != FRONT:
                if not found.key.all():
                    left_out.append(f"sweeps/{channel}")
                found = found.chosen(np.flatnonzero(found.key))
            if len(found):
                channels[channel] = found
        return Scene(
            version=self._folder.name,
            token=tables.scenes.tokens[k].decode(),
            description=tables.scenes.descriptions[k],
            log=tables.scenes.logs[k],
            channels=channels,
            left_out=tuple(left_out),
            sample_tokens=tables.samples.tokens[samples],
            boxes=self._boxes(samples),
            categories=tuple(tables.categories),
            category_index=tables.category_index,
            attribute_names=tuple(tables.attributes),
            visibilities=tuple(tables.visibilities),
            panoptic=self._panoptic(samples) if LIDAR in channels else {},
            has_panoptic=tables.has_panoptic,
        )

    def _samples_of(self, k: int) -> Ints:
        scenes, samples = self._tables.scenes, self._tables.samples
        chain: list[int] = []
        at, before = int(scenes.first[k]), -1
        while at >= 0:
            if samples.prev[at] != before or len(chain) > len(samples.tokens):
                raise _InconsistentError(
                    f"sample {_text(samples.tokens[at])}: prev and next disagree"
                )
            chain.append(at)
            before, at = at, int(samples.next[at])
        if len(chain) != scenes.count[k]:
            raise _InconsistentError(
                f"nbr_samples is {scenes.count[k]}, but {len(chain)} samples follow each other"
            )
        if chain[-1] != scenes.last[k]:
            raise _InconsistentError(
                f"last_sample_token is {_text(samples.tokens[scenes.last[k]])}, but the last "
                f"sample is {_text(samples.tokens[chain[-1]])}"
            )
        if (samples.scene[chain] != k).any():
            raise _InconsistentError("a sample of the scene says that it belongs to another")
        return np.array(chain, np.int32)

    def _channel(self, number: int, samples: Ints) -> Channel:
        """Follow the records of a channel from its first key frame on."""
        records, calibrations = self._tables.records, self._tables.calibrations
        keys = self._key_record[number, samples]
        start = keys[keys >= 0]
        chain: list[int] = []
        at, before = (int(start[0]) if start.size else -1), -1
        while at >= 0:
            if (before >= 0 and self._prev[at] != before) or len(chain) > len(records.tokens):
                raise _InconsistentError(
                    f"sample_data {_text(records.tokens[at])}: prev and next disagree"
                )
            if records.channel[at] != number:
                raise _InconsistentError(
                    f"sample_data {_text(records.tokens[at])} follows one of {CHANNELS[number]} "
                    "but is of another channel"
                )
            chain.append(at)
            before, at = at, self._next[at]
        rows = np.array(chain, np.int64)
        sample = self._number[records.sample[rows]]
        outside = np.flatnonzero(
            self._tables.samples.scene[records.sample[rows]]
            != (self._tables.samples.scene[samples[0]])
        )
        if outside.size:
            token = _text(records.tokens[rows[outside[0]]])
            raise _InconsistentError(f"sample_data {token} belongs to a sample of another scene")
        timestamp = records.timestamp[rows]
        if (np.diff(timestamp) <= 0).any():
            k = int(np.flatnonzero(np.diff(timestamp) <= 0)[0]) + 1
            token = _text(records.tokens[rows[k]])
            raise _InconsistentError(f"sample_data {token} is not later than the one before it")
        used, calibration = np.unique(records.calibration[rows], return_inverse=True)
        sizes = {(int(h), int(w)) for h, w in records.size[rows]}
        if len(sizes) > 1:
            raise _InconsistentError(f"{CHANNELS[number]} has images of {len(sizes)} sizes")
        return Channel(
            joined="\n".join(records.files[k] for k in chain),
            tokens=records.tokens[rows],
            timestamp=timestamp,
            key=records.key[rows],
            sample=sample,
            pose=records.pose[rows],
            calibration=calibration.astype(np.int32),
            mounts=calibrations.pose[used],
            intrinsics=calibrations.intrinsics[used],
            size=sizes.pop() if sizes else (0, 0),
        )

    def _check_key_frames(self, front: Channel, samples: Ints) -> None:
        if not len(front):
            raise _InconsistentError(f"there is no key frame of {FRONT}")
        found = front.sample[front.key]
        if not np.array_equal(found, np.arange(len(samples))):
            raise _InconsistentError(
                f"expected a key frame of {FRONT} for each of {len(samples)} samples in their "
                f"order, found {len(found)} for {found.tolist()[:8]}"
            )

    def _boxes(self, samples: Ints) -> Boxes:
        notes = self._tables.annotations
        low = np.searchsorted(self._box_sample, samples, side="left")
        high = np.searchsorted(self._box_sample, samples, side="right")
        parts = [self._box_order[a:b] for a, b in zip(low, high, strict=True)]
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        instances, first, inverse = np.unique(
            notes.instance[rows], return_index=True, return_inverse=True
        )
        order = np.argsort(first)  # by first appearance
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order))
        return Boxes(
            sample=self._number[notes.sample[rows]],
            instance=rank[inverse],
            category=self._tables.instance_category[notes.instance[rows]],
            visibility=notes.visibility[rows],
            attributes=notes.attributes[rows],
            pose=notes.pose[rows],
            size=notes.size[rows],
            velocity=self._velocity[rows],
            lidar_points=notes.lidar_points[rows],
            radar_points=notes.radar_points[rows],
            tokens=notes.tokens[rows],
            instance_tokens=self._tables.instance_tokens[instances[order]],
        )

    def _velocities(self) -> Floats:
        """Metres per second of all boxes: from the box before to the box after.

        NaN where there is neither, or where they are more than 1.5 s a step apart, as the devkit
        has it.
        """
        notes, samples = self._tables.annotations, self._tables.samples
        own = np.arange(len(notes.tokens))
        before = np.where(notes.prev >= 0, notes.prev, own)
        after = np.where(notes.next >= 0, notes.next, own)
        times = samples.timestamp[notes.sample] if len(own) else np.zeros(0, np.int64)
        seconds = 1e-6 * (times[after] - times[before])
        longest = np.where((before != own) & (after != own), 3.0, 1.5)
        place = notes.pose[:, 4:]
        with np.errstate(divide="ignore", invalid="ignore"):
            velocity: Floats = (place[after] - place[before]) / seconds[:, None]
        velocity[(seconds <= 0) | (seconds > longest)] = np.nan
        return velocity

    def _panoptic(self, samples: Ints) -> dict[int, str]:
        records = self._key_record[CHANNELS.index(LIDAR), samples]
        files = self._tables.panoptic
        return {k: files[int(r)] for k, r in enumerate(records) if int(r) in files}


def _text(token: np.bytes_) -> str:
    return token.decode()
