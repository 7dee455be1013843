"""A small sequence file with every kind of stream, and the truth that went into it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.codecs.images import encode_png
from depthdata.sequence import Points, SequenceWriter

FRAMES, HEIGHT, WIDTH = 4, 24, 40
MASK_FRAMES = [1, 3]


@dataclass
class Truth:
    """What `write_clip` writes; the same every time."""

    times: Any = field(default_factory=lambda: np.arange(FRAMES) * 100_000_000)
    names: list[str] = field(default_factory=lambda: [f"{i:010d}" for i in range(FRAMES)])
    images: dict[str, list[Any]] = field(default_factory=dict)
    blobs: dict[str, list[bytes]] = field(default_factory=dict)
    disparity: Any = None
    depth16: Any = None
    flow: Any = None
    moving: Any = None
    lidar: list[Points] = field(default_factory=list)
    pixels: list[Points] = field(default_factory=list)
    poses: Any = None
    tracks: tuple[Any, Any, Any] = ()  # type: ignore[assignment]
    objects: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        shape = (FRAMES, HEIGHT, WIDTH)
        for camera in ("left", "right"):
            images = [rng.integers(0, 255, (*shape[1:], 3), np.uint8) for _ in range(FRAMES)]
            self.images[camera] = images
            self.blobs[camera] = [encode_png(image) for image in images]
        self.disparity = rng.random(shape, np.float32) * 50
        self.disparity[rng.random(shape) < 0.2] = np.nan
        self.depth16 = rng.integers(0, 65536, shape, np.uint16)
        self.flow = rng.standard_normal((FRAMES - 1, 2, HEIGHT, WIDTH)).astype(np.float32)
        self.moving = rng.integers(0, 2, (len(MASK_FRAMES), *shape[1:]), np.uint8)
        for count in (300, 0, 7, 1000):
            x, y = rng.random((2, count)).astype(np.float32) * [[WIDTH], [HEIGHT]] - 0.5
            value, sensor = rng.random(count) * 80, rng.random((count, 3))
            self.lidar.append(
                Points(
                    kind="subpixel",
                    x=x.astype(np.float32),
                    y=y.astype(np.float32),
                    value=value.astype(np.float32),
                    sensor=sensor.astype(np.float32),
                )
            )
            row, col = (y + 0.5).astype(np.uint16), (x + 0.5).astype(np.uint16)
            self.pixels.append(Points(kind="pixel", row=row, col=col, value=value.astype("f4")))
        self.poses = np.tile(np.eye(4), (FRAMES, 1, 1))
        self.poses[:, 0, 3] = np.arange(FRAMES) / 3
        self.poses[2] = np.nan
        self.tracks = (
            rng.random((FRAMES, 5, 2)).astype(np.float32),
            rng.random((FRAMES, 5)) < 0.5,
            rng.random((FRAMES, 5, 3)).astype(np.float32),
        )
        self.objects = {
            "frame": np.array([0, 0, 3]),
            "id": np.array([7, 8, 7]),
            "category": ["car", "Fußgänger", "car"],
            "T_world_box": np.tile(np.eye(4), (3, 1, 1)),
            "size": rng.random((3, 3)),
            "velocity": np.full((3, 3), np.nan),
            "moving": np.array([True, False, True]),
        }


def write_clip(path: Path, profile: Any = "default") -> Truth:
    """Write the clip, return what is in it."""
    truth = Truth()
    with SequenceWriter(
        path,
        dataset="toy",
        sequence="clip",
        split="train",
        licence="CC0-1.0",
        citation="Nobody, Some clip, 2024",
        converter="toy 1",
        source_fingerprint="xxh3:0123",
        profile=profile,
        attrs={"rig": {"cameras": 2}, "rate": 10.0},
    ) as writer:
        writer.timeline(truth.times, truth.names)
        writer.stereo_pair("left", "right", baseline=0.54)
        for name in ("left", "right"):
            camera = writer.camera(
                name,
                height=HEIGHT,
                width=WIDTH,
                intrinsics=[[30, 0, 19.5], [0, 30, 11.5], [0, 0, 1]],
                T_world_cam=truth.poses,
                T_rig_cam=np.eye(4),
                transform={"crop": [0, 1]},
            )
            blobs = truth.blobs[name]
            camera.encoded("rgb", blobs, [len(blob) for blob in blobs], encoding="png")
            camera.points("depth", truth.lidar, provenance="lidar", projection=np.eye(3, 4))
        left = writer._cameras["left"]
        left.dense("disparity", truth.disparity, missing="nan")
        left.dense("depth_png", truth.depth16, dtype="u2", scale=1 / 256, missing=0, unit="m")
        left.dense("flow_forward", truth.flow, frame_index=range(FRAMES - 1))
        left.dense("masks/moving", truth.moving, dtype="u1", frame_index=MASK_FRAMES)
        left.points("depth_pixels", truth.pixels)
        writer.tracks("left", *truth.tracks)
        writer.objects(**truth.objects)
    return truth


@pytest.fixture(scope="session")
def clip_writer() -> Callable[..., Truth]:
    """`write_clip` itself."""
    return write_clip


@pytest.fixture(scope="session", params=["default", "portable"])
def clip(request: Any, tmp_path_factory: Any) -> Iterator[tuple[Path, Truth]]:
    """(path, truth) of a clip in each profile; do not change the file."""
    path = tmp_path_factory.mktemp("clip") / f"{request.param}.h5"
    yield path, write_clip(path, request.param)


@pytest.fixture
def clip_path(tmp_path: Path) -> Path:
    """A clip of one's own, to damage."""
    path = tmp_path / "clip.h5"
    write_clip(path)
    return path


if __name__ == "__main__":
    write_clip(Path(sys.argv[1]), sys.argv[2])
