"""A rectified pair against itself and against depth: arrays and numbers only.

The disparity found in the images (semi-global matching) is compared with the one that depth
predicts. When they disagree the comparison is made again as if the images were swapped, or one
frame early or late: what fits names the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = [
    "DEPTH_DISPLACED",
    "HYPOTHESES",
    "TELLING_SHARE",
    "Agreement",
    "Hypothesis",
    "best_hypothesis",
    "other_time_share",
    "try_all",
]

Floats = npt.NDArray[np.float64]

TELLING_PX, TELLING_POINTS = 1.0, 200
TELLING_SHARE = 0.65  # truth: KITTI up to 0.39, synthetic 0.31; displaced: synthetic 0.69 to 0.9
TELLING_GAIN = 0.01  # of all points; displaced: median 0.07
LEAST_SCORE = 0.3  # what fits so badly explains nothing (KITTI: 0.41 to 0.84)
BETTER_BY, BETTER_TIMES = 0.1, 1.2  # KITTI: truth 0.8, one frame off 0.25 to 0.74, swapped 0.0


@dataclass(frozen=True)
class Agreement:
    """How the disparity found in the images agrees with the one that depth predicts.

    Parameters
    ----------
    expected : float64, (n,)
        Disparity that depth predicts at a point, pixels.
    found : float32, (n,)
        Disparity found in the images there; NaN where none was found.
    """

    expected: Floats
    found: npt.NDArray[np.float32]

    @classmethod
    def of(cls, disparity: npt.NDArray[np.float32], points: Floats, expected: Floats) -> Agreement:
        """Compare a disparity map (H, W) with what is expected at points (n, 3)."""
        rows, columns = (np.rint(points[:, i]).astype(int) for i in (1, 0))
        return cls(expected, disparity[rows, columns])

    @classmethod
    def joined(cls, parts: list[Agreement]) -> Agreement:
        """Join the points of several frames."""
        return cls(
            np.concatenate([part.expected for part in parts]),
            np.concatenate([part.found for part in parts]),
        )

    @cached_property
    def error(self) -> Floats:
        """Return ``|expected - found|`` (n,), pixels; NaN where nothing was found."""
        return np.asarray(np.abs(self.expected - self.found))

    @property
    def scale(self) -> tuple[float, float]:
        """Return the median of found / expected, and the median deviation from it, relative."""
        with np.errstate(invalid="ignore", divide="ignore"):
            near = (self.found > 2) & (self.expected > 0)
            ratio = self.found[near] / self.expected[near]
        if not ratio.size:
            return float("nan"), float("nan")
        middle = float(np.median(ratio))
        return middle, float(np.median(np.abs(ratio / middle - 1)))

    @property
    def count(self) -> int:
        """Return the number of points where the images gave a disparity."""
        return int(np.isfinite(self.error).sum())

    @property
    def median(self) -> float:
        """Return the median error in pixels of the points that were found."""
        return float(np.nanmedian(self.error)) if self.count else float("nan")

    def share(self, limit: float) -> float:
        """Share below `limit` pixels, of the points that were found."""
        return float((self.error < limit).sum() / self.count) if self.count else 0.0

    @property
    def score(self) -> float:
        """Share of ALL points that agree within a pixel: a point not found counts against."""
        return float((self.error < 1).mean()) if self.error.size else 0.0


@dataclass(frozen=True)
class Hypothesis:
    """Which images and depth to take instead of those of frame t.

    Parameters
    ----------
    message : str
        With ``{t}`` and ``{u}`` for the frame and the one it is displaced to.
    left, right, depth : int
        Frame offsets of the left image, the right image and the depth.
    swapped : bool
        Take the right image for the left one and the other way round.
    """

    message: str
    left: int = 0
    right: int = 0
    depth: int = 0
    swapped: bool = False

    @property
    def shift(self) -> int:
        """Return the frame offset it is about, 0 for none."""
        return next((s for s in (self.left, self.right, self.depth) if s), 0)

    @property
    def needs_depth(self) -> bool:
        """Tell whether it says nothing without depth: both images are of one time."""
        return self.left == self.right and not self.swapped


HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis("left and right look swapped", swapped=True),
    *(
        hypothesis
        for s in (1, -1)
        for hypothesis in (
            Hypothesis("both images of frame {t} are of the time of frame {u}", depth=s),
            Hypothesis(
                "depth and images of frame {t} are not of one time: depth fits images of frame {u}",
                left=s,
                right=s,
            ),
            Hypothesis("right image of frame {t} is of the time of frame {u}", left=s, depth=s),
            Hypothesis("left image of frame {t} is of the time of frame {u}", right=s, depth=s),
        )
    ),
)


DEPTH_DISPLACED = tuple(h for h in HYPOTHESES if h.left and h.right)


def best_hypothesis(
    now: float, scores: Mapping[Hypothesis, float]
) -> tuple[Hypothesis, float] | None:
    """Return the hypothesis that fits clearly better than what the file says, with its score.

    Parameters
    ----------
    now : float
        Score of the file as it is, 0 to 1.
    scores : Mapping
        Score of each hypothesis that could be tried.

    Examples
    --------
    >>> swapped = HYPOTHESES[0]
    >>> best_hypothesis(0.1, {swapped: 0.8})[1], best_hypothesis(0.75, {swapped: 0.8})
    (0.8, None)
    """
    if not scores:
        return None
    best = max(scores, key=lambda hypothesis: scores[hypothesis])
    score = scores[best]
    if score < max(LEAST_SCORE, now + BETTER_BY, BETTER_TIMES * now):
        return None
    return best, score


def other_time_share(
    expected: Floats, own: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> float | None:
    """Share of the telling points whose depth agrees better with the images of another time.

    Telling are the points at which the disparities of the two times differ by more than a pixel
    and one of them is what depth predicts: outlines, for on streets most disparities hardly change.

    Parameters
    ----------
    expected : float64, (n,)
        Disparity that depth predicts, pixels.
    own, other : float32, (n,)
        Disparity found at the points in the images of the depth's own and of the other time.

    Returns
    -------
    float or None
        0 to 1; None with fewer than 200 telling points, or when the other time does not clearly
        raise the share of all points that agree.
    """
    with np.errstate(invalid="ignore"):
        error, error_other = np.abs(expected - own), np.abs(expected - other)
        telling = np.abs(own - other) > TELLING_PX
        telling &= np.minimum(error, error_other) < TELLING_PX / 2
        gain = (error_other < TELLING_PX / 2).mean() - (error < TELLING_PX / 2).mean()
    if int(telling.sum()) < TELLING_POINTS or gain < TELLING_GAIN:
        return None
    return float((error_other < error)[telling].mean())


def try_all(
    score: Callable[[Hypothesis], float | None],
    *,
    only_depth: bool = False,
    with_depth: bool = True,
) -> dict[Hypothesis, float]:
    """Score every hypothesis that can be tried (`score` gives None when it cannot)."""
    tried = {}
    for hypothesis in HYPOTHESES:
        if (only_depth and not hypothesis.needs_depth) or (
            hypothesis.needs_depth and not with_depth
        ):
            continue
        value = score(hypothesis)
        if value is not None:
            tried[hypothesis] = value
    return tried
