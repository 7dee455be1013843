"""Sequence files with truth that is chosen, and models that spoil it in a way that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.models import Card, Needs
from depthzoo.prediction import Prediction

Array = np.ndarray[Any, Any]
K = np.array([[50.0, 0, 20], [0, 50.0, 12], [0, 0, 1]])
OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Camera axes (x right, y down, z forward) in those of a vehicle (x forward, y left, z up)."""


def png(height: int, width: int) -> bytes:
    import cv2

    done, data = cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))
    assert done
    return bytes(data)


def write_file(
    path: Path,
    frames: int,
    size: tuple[int, int] = (24, 40),
    *,
    dataset: str = "made",
    name: str | None = None,
    split: str | None = None,
    frame_ids: Sequence[str] | None = None,
    cameras: Sequence[str] = ("left", "right"),
    images: Sequence[str] = ("rgb",),
    streams: Mapping[str, Array | Mapping[int, Array]] | None = None,
    poses: Array | None = None,
    transform: Mapping[str, Any] | None = None,
    T_rig_cam: Array | None = None,
) -> Path:
    """Write plain images and the given streams of the first camera: all frames, or some of them."""
    with SequenceWriter(
        path, dataset=dataset, sequence=name or path.stem, split=split, licence="none",
        citation="", converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline(
            np.arange(frames) * 10**8, frame_ids or [f"{t:010d}" for t in range(frames)]
        )
        if len(cameras) > 1:
            writer.stereo_pair(cameras[0], cameras[1], baseline=0.5)
        for camera in cameras:
            cam = writer.camera(
                camera, height=size[0], width=size[1], intrinsics=K,
                T_world_cam=poses, transform=transform, T_rig_cam=T_rig_cam,
            )  # fmt: skip
            for stream in images:
                small = stream.rpartition("_")[2].split("x") if "x" in stream else size
                data = png(int(small[0]), int(small[1]))
                cam.encoded(stream, [data] * frames, [len(data)] * frames, encoding="png")
            for stream, given in (streams or {}).items() if camera == cameras[0] else ():
                values = given if isinstance(given, Mapping) else dict(enumerate(given))
                whole = stream.startswith("masks/") or stream in ("semantics", "instances")
                facts: dict[str, Any] = {"dtype": "u1"} if whole else {"missing": "nan"}
                cam.dense(stream, values.values(), frame_index=[*values], **facts)
    return path


def street(root: Path, seeds: Iterable[int] = (1, 2), frames: int = 5, **facts: Any) -> Path:
    """Write synthetic streets with everything in them."""
    for seed in seeds:
        scene = SyntheticScene(
            seed=seed, frames=frames, height=48, width=160, lidar_rows=24, lidar_steps=600
        )
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0, **facts)
    return root


def stream_of(path: Path, stream: str, frame: int, camera: str = "left") -> Array:
    with open_sequence(path) as seq:
        return np.asarray(seq.cameras[camera][stream][frame])


class Spoiler:
    """A model that knows the truth and spoils it.

    Parameters
    ----------
    folder : Path
        Of the sequence files, each named by its sequence.
    make : callable
        (file, frame) -> array (H,W) of what is predicted.
    gives : str
        ``"disparity"``, ``"depth"`` or ``"motion_mask"``.
    """

    weights_sha256: str | None = None

    def __init__(
        self,
        folder: Path,
        make: Callable[[Path, int], Array],
        gives: str = "disparity",
        invariance: Any = None,
        *,
        name: str = "spoiler",
        views: tuple[str, ...] = ("left",),
        offsets: tuple[int, ...] = (0,),
        stop_after: int | None = None,
    ) -> None:
        self.folder, self.make, self.gives, self.stop_after = folder, make, gives, stop_after
        self.invariance = invariance or {"disparity": "disparity"}.get(gives, "metric")
        self.needs = Needs(views=views, offsets=offsets)
        self.card = Card(
            name, name, "Spoiler", "none", "", "", self.needs, (gives,), self.invariance
        )
        self.seen: list[tuple[str, int]] = []

    def predict(self, sample: Any) -> Prediction:
        where = sample["index"]
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append((where["sequence"], where["frame"]))
        values = self.make(self.folder / f"{where['sequence']}.h5", where["frame"])
        count = len(sample["rgb"])
        return Prediction(**{self.gives: np.stack([values] * count)}, invariance=self.invariance)


class VideoSpoiler(Spoiler):
    """The same, given a video piece by piece; it says how many of its frames are alive."""

    def stream(self, samples: Iterable[Any]) -> Iterator[Prediction]:
        for n, sample in enumerate(samples):
            found = self.predict(sample)
            found.meta["frames"] = (n,)
            yield found


class Traveller:
    """A model that knows the path of the camera and spoils the motion of each step.

    Parameters
    ----------
    spoil : callable
        True motion (4, 4) and its number -> the predicted one.
    """

    weights_sha256: str | None = None

    def __init__(
        self,
        folder: Path,
        spoil: Callable[[Array, int], Array],
        invariance: Any = "scale",
        *,
        stop_after: int | None = None,
    ) -> None:
        self.folder, self.spoil, self.invariance = folder, spoil, invariance
        self.needs = Needs(views=())
        self.card = Card(
            "traveller", "traveller", "Traveller", "none", "", "", self.needs, ("pose",), invariance
        )
        self.stop_after = stop_after
        self.seen: list[tuple[str, int]] = []

    def predict(self, sample: Any) -> Prediction:
        where, count = sample["index"], len(sample["timestamps"])
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append((where["sequence"], where["frame"]))
        with open_sequence(self.folder / f"{where['sequence']}.h5") as seq:
            true = seq.cameras[where["camera"]].poses
        poses = [np.eye(4)]
        for t in range(where["frame"], where["frame"] + count - 1):
            poses.append(poses[-1] @ self.spoil(np.linalg.inv(true[t]) @ true[t + 1], t))
        return Prediction(pose=np.stack(poses), invariance=self.invariance)


def times(factor: float) -> Callable[[Array, int], Array]:
    """Spoil the length of each motion."""

    def spoil(motion: Array, _: int) -> Array:
        motion = motion.copy()
        motion[:3, 3] *= factor
        return motion

    return spoil


def poses_along(steps: Array) -> Array:
    """Poses (N+1, 4, 4) that move by (N, 3), looking ahead."""
    poses = np.tile(np.eye(4), (len(steps) + 1, 1, 1))
    poses[1:, :3, 3] = np.cumsum(steps, 0)
    return poses


class SentMaps(Spoiler):
    """Models that can be sent to another process: of frames, videos, masks and paths."""

    protocol = "stereo/epe"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, shifted)


class SentVideo(VideoSpoiler):
    protocol = "stereo/video"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, shifted)


class SentMasks(Spoiler):
    protocol = "motion/segmentation"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ramp, "motion_mask")


class SentPaths(Traveller):
    protocol = "odometry/trajectory"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, shortened)


def shifted(path: Path, frame: int) -> Array:
    disparity = stream_of(path, "disparity", frame)
    return disparity + 0.1 * frame + np.arange(disparity.shape[1]) / 100


def ramp(path: Path, frame: int) -> Array:
    """Probability that grows from left to right."""
    mask = stream_of(path, "masks/moving", frame)
    return 0.9 * mask + 0.1 * np.arange(mask.shape[1]) / mask.shape[1]


def shortened(motion: Array, t: int) -> Array:
    return times(0.9 + 0.01 * t)(motion, t)
