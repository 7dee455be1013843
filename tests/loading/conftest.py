"""Small sequence files whose content is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from depthdata import geometry
from depthdata.codecs.images import encode_png
from depthdata.sequence import Points, SequenceWriter
from depthdata.sequence.camera_writer import CameraWriter

HEIGHT, WIDTH, BASELINE, STEP = 24, 40, 0.5, 100_000_000
INTRINSICS = np.array([[30.0, 0, 17.0], [0, 32.0, 13.0], [0, 0, 1]])
DEPTH_FRAMES = (0, 2, 3, 5)


def pose(t: int, camera: str = "left") -> np.ndarray:
    """Forward motion with a little yaw."""
    T = geometry.rigid_transform(
        geometry.rotation_from_euler(0.0, 0.01 * t, 0.0), [0.05 * t, 0.0, 0.3 * t]
    )
    shift = np.eye(4)
    shift[0, 3] = BASELINE if camera == "right" else 0.0
    return T @ shift


def plane_depth(t: int, camera: str = "left") -> np.ndarray:
    """Depth of the plane x + 2 y + 4 z = 60 of the world."""
    T = pose(t, camera)
    grid = geometry.pixel_grid(HEIGHT, WIDTH)
    rays = geometry.backproject(INTRINSICS, grid, np.ones((HEIGHT, WIDTH)))
    normal, distance = np.array([1.0, 2.0, 4.0]), 60.0
    return (distance - normal @ T[:3, 3]) / (rays @ (T[:3, :3].T @ normal))


def image(t: int, camera: str = "left") -> np.ndarray:
    """Random colours that depend on frame and camera."""
    rng = np.random.default_rng((t, camera == "right"))
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def write_plane(
    path: Path,
    *,
    frames: int = 8,
    cameras: Sequence[str] = ("left", "right"),
    dataset: str = "plane",
    split: str | None = None,
    frame_ids: Sequence[str] | None = None,
    times: np.ndarray | None = None,
    rgb_frames: Sequence[int] | None = None,
    sparse: bool = False,
    rgb: bool = True,
    more: Callable[[CameraWriter], None] | None = None,
) -> Path:
    """Write a sequence of a moving pair over a plane; depth is there in `DEPTH_FRAMES` only."""
    times = np.arange(frames, dtype=np.int64) * STEP if times is None else times
    with SequenceWriter(
        path,
        dataset=dataset,
        sequence=path.stem,
        split=split,
        licence="CC0",
        citation="none",
        converter="test 1",
        source_fingerprint="xxh3:0000000000000000",
    ) as writer:
        writer.timeline(times, list(frame_ids or [f"{t:010d}" for t in range(frames)]))
        if {"left", "right"} <= set(cameras):
            writer.stereo_pair("left", "right", baseline=BASELINE)
        for name in cameras:
            camera = writer.camera(
                name,
                height=HEIGHT,
                width=WIDTH,
                intrinsics=INTRINSICS,
                T_world_cam=np.stack([pose(t, name) for t in range(frames)]),
            )
            shown = list(rgb_frames) if rgb_frames is not None else list(range(frames))
            blobs = [encode_png(image(t, name)) for t in shown]
            index = np.array(shown, dtype=np.int64) if rgb_frames is not None else None
            if rgb:
                sizes = [len(b) for b in blobs]
                camera.encoded("rgb", blobs, sizes, encoding="png", frame_index=index)
            some = np.array([t for t in DEPTH_FRAMES if t < frames], dtype=np.int64)
            if sparse:
                camera.points("depth", [points(t, name) for t in some], frame_index=some)
            else:
                maps = [plane_depth(t, name).astype(np.float32) for t in some]
                for depth in maps:
                    depth[0, 0] = np.nan
                camera.dense("depth", maps, frame_index=some, unit="m")
            disparity = [
                (INTRINSICS[0, 0] * BASELINE / plane_depth(t, name)).astype(np.float32)
                for t in range(frames)
            ]
            camera.dense("disparity", disparity, unit="px")
            T_next = [
                geometry.se3_inverse(pose(t + 1, name)) @ pose(t, name) for t in range(frames)
            ]
            flow = [
                geometry.rigid_flow(plane_depth(t, name), INTRINSICS, T_next[t]).astype(np.float32)
                for t in range(frames)
            ]
            camera.dense("flow_forward", flow, unit="px")
            moving = [np.full((HEIGHT, WIDTH), t % 2, np.uint8) for t in range(frames)]
            camera.dense("masks/moving", moving, dtype="uint8", missing=None)
            if more is not None:
                more(camera)
    return path


def points(t: int, camera: str) -> Points:
    """Every second pixel of the plane, and one behind it that loses."""
    depth = plane_depth(t, camera)
    y, x = np.mgrid[0:HEIGHT:2, 0:WIDTH:2]
    x, y = x.ravel(), y.ravel()
    value = depth[y, x]
    x, y = np.append(x, x[3]), np.append(y, y[3])
    value = np.append(value, value[3] + 5)
    return Points(
        kind="subpixel",
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        value=value.astype(np.float32),
    )


@pytest.fixture
def plane(tmp_path: Path) -> Callable[..., Path]:
    """Write a sequence into the test's folder: plane("name", ...) -> path."""

    def make(name: str = "plane_0", **options: object) -> Path:
        return write_plane(tmp_path / f"{name}.h5", **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def shown() -> Callable[..., np.ndarray]:
    """Return the image of a frame: shown(t, camera="left") -> (H, W, 3) uint8."""
    return image
