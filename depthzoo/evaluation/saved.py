"""The Eigen protocol on saved predictions: ``predictions.npy`` beside a list of KITTI raw images.

This is the form in which monocular depth papers hand predictions from their network to their
evaluator, so numbers of any code base can be checked without running it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthdata.codecs.images import image_size
from depthdata.codecs.kitti import read_calibration, read_velodyne
from depthdata.errors import SourceError, UsageError
from depthdata.lidar import eigen_depth_map
from depthzoo.evaluation.protocols import get_protocol
from depthzoo.evaluation.scoring import Score, score

__all__ = ["SavedResult", "camera_projection", "eigen_truth", "evaluate_saved", "format_insta_dm"]

_PROTOCOL = "kitti_raw/eigen@1"
_PRINTED = ("abs_rel", "sq_rel", "rms", "log_rms", "a1", "a2", "a3")


@dataclass(frozen=True)
class SavedResult:
    """Scores of saved predictions.

    Parameters
    ----------
    images : tuple of str
        The list's entries that were evaluated, in order.
    scores : tuple of Score
        One for each of them.
    skipped : tuple of str
        Entries whose image is missing on disk.
    """

    images: tuple[str, ...]
    scores: tuple[Score, ...]
    skipped: tuple[str, ...]

    def table(self) -> NDArray[np.float64]:
        """Return (images, 7) values in the order abs_rel, sq_rel, rmse, rmse_log, a1, a2, a3."""
        names = get_protocol(_PROTOCOL).metrics
        return np.array([[s.values[n] for n in names] for s in self.scores]).reshape(-1, len(names))


def read_image_list(path: str | Path) -> list[str]:
    """Return the first word of each line that is not empty."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def eigen_truth(root: str | Path, image: str) -> NDArray[np.float32]:
    """Return the Eigen ground truth of an image of a KITTI raw tree.

    Parameters
    ----------
    root : path
        Folder of the dates.
    image : str
        ``DATE/DRIVE/image_02/data/FRAME.png`` relative to `root`.

    Returns
    -------
    (h,w) float32
        Lidar x in metres at the size of the PNG; 0 where there is none.
    """
    date, drive, _, _, file = Path(image).parts
    scan = read_velodyne(Path(root, date, drive, "velodyne_points", "data", file[:10] + ".bin"))
    height, width = image_size(Path(root, image).read_bytes())[:2]
    projection = camera_projection(root, image)
    return eigen_depth_map(scan, projection, (height, width), value="sensor_x").astype(np.float32)


def camera_projection(root: str | Path, image: str) -> NDArray[np.float64]:
    """Return the (3,4) matrix that takes a lidar point to (u z, v z, z) of an image's camera."""
    date, _, camera, *_ = Path(image).parts
    cam_to_cam = read_calibration(Path(root, date, "calib_cam_to_cam.txt"))
    velo_to_cam = read_calibration(Path(root, date, "calib_velo_to_cam.txt"))
    rectify, velo = np.eye(4), np.eye(4)
    rectify[:3, :3] = cam_to_cam.numbers("R_rect_00", 3, 3)
    velo[:3, :3] = velo_to_cam.numbers("R", 3, 3)
    velo[:3, 3] = velo_to_cam.numbers("T", 3)
    projection: NDArray[np.float64] = (
        cam_to_cam.numbers(f"P_rect_{camera[-2:]}", 3, 4) @ rectify @ velo
    )
    return projection


def evaluate_saved(
    root: str | Path,
    images: Iterable[str],
    predictions: Sequence[NDArray[np.floating]] | NDArray[np.floating],
    *,
    skip_missing: bool = False,
) -> SavedResult:
    """Evaluate saved depth maps under ``kitti_raw/eigen``.

    Parameters
    ----------
    root : path
        KITTI raw: the folder of the dates.
    images : iterable of str
        Image paths relative to `root`, in the predictions' order (see `read_image_list`).
    predictions : (N,H,W) float
        Depth up to scale; one for each image of the list, or one for each that exists on disk.
    skip_missing : bool
        Leave out images that are missing on disk; by default they are an error. (The reference
        skips them and keeps their predictions, which then belong to the wrong images; here each
        prediction stays with its image.)
    """
    names = list(images)
    exists = [Path(root, name).is_file() for name in names]
    skipped = tuple(n for n, there in zip(names, exists, strict=True) if not there)
    if skipped and not skip_missing:
        raise SourceError(
            f"{root}: {len(skipped)} of {len(names)} images are missing, such as {skipped[0]}; "
            "extract the drive again or skip missing ones",
            incomplete=True,
        )
    present = [n for n, there in zip(names, exists, strict=True) if there]
    if len(predictions) == len(names):
        given = [p for p, there in zip(predictions, exists, strict=True) if there]
    elif len(predictions) == len(present):
        given = list(predictions)
    else:
        raise UsageError(
            f"{len(predictions)} predictions for {len(names)} images, {len(present)} of which "
            "exist; give one for each image of the list or one for each that exists"
        )
    protocol = get_protocol(_PROTOCOL)
    scores = []
    for name, prediction in zip(present, given, strict=True):
        truth = eigen_truth(root, name)
        known = np.where(truth > 0, truth, np.float32(np.nan))
        scores.append(score(protocol, np.asarray(prediction), known, "scale"))
    return SavedResult(tuple(present), tuple(scores), skipped)


def format_insta_dm(per_image: NDArray[np.floating]) -> str:
    """Return the two lines that Insta-DM's evaluator prints.

    Parameters
    ----------
    per_image : (N,7) float
        abs_rel, sq_rel, rmse, rmse_log, a1, a2, a3 of each image; the mean is taken in float32.

    Examples
    --------
    >>> print(format_insta_dm(np.full((2, 7), 0.5)).splitlines()[1][:22])
        0.5000,     0.5000
    """
    stored = np.ascontiguousarray(np.asarray(per_image).T, np.float32)
    means = stored.mean(axis=1)
    names = ", ".join(f"{name:>10}" for name in _PRINTED)
    return names + "\n" + ", ".join(f"{value:10.4f}" for value in means)
