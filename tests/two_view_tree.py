"""Scenes of Middlebury and ETH3D, a few pixels wide, written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depthdata.codecs.images import encode_png
from depthdata.codecs.pfm import encode_pfm
from depthdata.sequence import Camera

HEIGHT, WIDTH = 6, 9
FOCAL, CENTRE, DOFFS, BASELINE_MM = 8.5, (3.25, 2.5), 1.75, 193.001

CALIB = (
    f"cam0=[{FOCAL} 0 {CENTRE[0]}; 0 {FOCAL} {CENTRE[1]}; 0 0 1]\n"
    f"cam1=[{FOCAL} 0 {CENTRE[0] + DOFFS}; 0 {FOCAL} {CENTRE[1]}; 0 0 1]\n"
    f"doffs={DOFFS}\nbaseline={BASELINE_MM}\nwidth={{width}}\nheight={{height}}\nndisp=10\n"
)
LONG = "isint=0\nvmin=1\nvmax=9\ndyavg=0.1\ndymax=0.25\n"
POSES = (
    "0 0.8 0 0.6 0 1.5 -2.25 3 4 im0.png\n\n"
    "1 0.8 0 0.6 0 1.306999 -2.25 3 4 im1.png\n1 2 -1 3 4 -1\n"
)
LENS = "# one camera\n4 PINHOLE {width} {height} 8.5 8.5 3.25 2.5\n"


def picture(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH), channels: int = 3) -> bytes:
    """A PNG of noise."""
    shape = size if channels == 1 else (*size, channels)
    return encode_png(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def disparity(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Disparities of 1 to 9 px, one in five unknown (+inf)."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 9, size).astype(np.float32)
    values[rng.random(size) < 0.2] = np.inf
    return values


def write_pfm(path: Path, values: np.ndarray, scale: bytes = b"-0.003922") -> None:
    """A PFM whose header has the scale of the published files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind, size, _, rest = encode_pfm(values).split(b"\n", 3)
    path.write_bytes(b"\n".join([kind, size, scale, rest]))


def write_mask(path: Path, values: np.ndarray, seed: int = 0) -> None:
    """A mask of 255 and 128 where disparity is known, 0 where not."""
    seen = np.random.default_rng(seed).random(values.shape) < 0.7
    path.write_bytes(
        encode_png(np.where(np.isinf(values), 0, np.where(seen, 255, 128)).astype(np.uint8))
    )


def write_evaluation(
    folder: Path, seed: int = 0, truth: bool = True, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Path:
    """A scene of MiddEval3."""
    folder.mkdir(parents=True)
    height, width = size
    (folder / "calib.txt").write_text(CALIB.format(height=height, width=width) + LONG)
    for view in (0, 1):
        (folder / f"im{view}.png").write_bytes(picture(seed + view, size))
        if truth:
            values = disparity(seed + view, size)
            write_pfm(folder / f"disp{view}GT.pfm", values)
            write_pfm(folder / f"disp{view}GTy.pfm", values / 8 - np.float32(0.5))
            write_mask(folder / f"mask{view}nocc.png", values, seed)
    return folder


def write_2014(folder: Path, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """A scene of 2014."""
    folder.mkdir(parents=True)
    height, width = size
    (folder / "calib.txt").write_text(CALIB.format(height=height, width=width) + LONG)
    for k, name in enumerate(("im0", "im1", "im1E", "im1L")):
        (folder / f"{name}.png").write_bytes(picture(seed + k, size))
    for view in (0, 1):
        write_pfm(folder / f"disp{view}.pfm", disparity(seed + view, size))
    return folder


def write_eth3d(
    root: Path,
    name: str = "yard_1l",
    seed: int = 0,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    channels: int = 3,
) -> Path:
    """A training scene of ETH3D with poses: the principal points do not differ."""
    folder, truth = root / "two_view_training" / name, root / "two_view_training_gt" / name
    folder.mkdir(parents=True)
    truth.mkdir(parents=True)
    height, width = size
    calib = CALIB.format(height=height, width=width).replace("5.0", "3.25")
    (folder / "calib.txt").write_text(calib.replace("doffs=1.75", "doffs=0"))
    (folder / "cameras.txt").write_text(LENS.format(height=height, width=width))
    (folder / "images.txt").write_text(POSES)
    for view in (0, 1):
        (folder / f"im{view}.png").write_bytes(picture(seed + view, size, channels))
    values = disparity(seed, size)
    write_pfm(truth / "disp0GT.pfm", values, b"-1")
    write_mask(truth / "mask0nocc.png", values, seed)
    return folder


def warp_gain(camera: Camera, other: Camera, sign: int, off: float = 0.0) -> float:
    """How much of the difference of two images is left when disparity (+ `off`) moves one.

    Of pixels that both see; `sign` is 1 where `camera` is the left one.
    """
    rows, columns = np.nonzero(camera["masks/occluded"][0] == 0)
    there = columns - sign * (camera["disparity"][0][rows, columns] + off)
    inside = (there >= 0) & (there <= camera.width - 1)
    rows, columns, there = rows[inside], columns[inside], there[inside]
    mine, theirs = camera.rgb[0].astype(np.float64), other.rgb[0].astype(np.float64)
    low = np.clip(np.floor(there).astype(int), 0, camera.width - 2)
    part = (there - low)[:, None]
    warped = theirs[rows, low] * (1 - part) + theirs[rows, low + 1] * part
    moved = np.abs(warped - mine[rows, columns]).mean()
    return float(moved / np.abs(theirs[rows, columns] - mine[rows, columns]).mean())
