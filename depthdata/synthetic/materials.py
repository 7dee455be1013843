"""Band-limited procedural texture, filtered exactly for the pixel that sees it.

A texture lives in the frame of its body, so it moves with the surface. Grain is a sum of plane
waves, each damped by the Gaussian pixel it is seen through; drawn shapes are box-filtered pulses.
So nothing aliases, and a surface looks the same from one frame to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Material", "Patch", "grain", "periodic_pulse", "pulse"]

Float32 = npt.NDArray[np.float32]

_PIXEL_SIGMA = 0.6  # pixels: the Gaussian through which a wave is seen
_OCTAVES, _PER_OCTAVE, _LONGEST = 9, 8, 9.0  # wavelengths 9 m ... 2.5 cm


@dataclass(frozen=True)
class Material:
    """Look of a surface.

    Parameters
    ----------
    kind : str
        Name of a painter in `depthdata.synthetic.painters`.
    colour : tuple of 3 floats
        Base colour, RGB in [0, 1].
    grain : float
        Contrast of the random texture relative to the colour.
    origin : tuple of 3 floats
        Where the texture starts in body coordinates; moves the random texture too.
    facts : dict of str to float
        What the painter wants to know (widths, periods, second colours).
    """

    kind: str
    colour: tuple[float, float, float]
    grain: float = 1.0
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Patch:
    """Pixels that see one face: local points (3, n), their derivatives by u and v, face normal."""

    p: Float32
    du: Float32
    dv: Float32
    normal: npt.NDArray[np.float64]

    def width(self, axis: int) -> Float32:
        """Extent of the pixel along a coordinate axis, metres, (n,)."""
        extent: Float32 = np.abs(self.du[axis]) + np.abs(self.dv[axis])
        floor: Float32 = np.maximum(extent, np.float32(1e-5))
        return floor


def _bank(seed: int, octaves: int, count: int, longest: float) -> tuple[Float32, Float32]:
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(octaves * count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = longest / 2.0 ** (np.repeat(np.arange(octaves), count) + rng.random(octaves * count))
    vectors = directions * (2 * np.pi / lengths)[:, None]
    return vectors.astype(np.float32), (2 * np.pi * rng.random(octaves * count)).astype(np.float32)


_FINE = _bank(11, _OCTAVES, _PER_OCTAVE, _LONGEST)
_BROAD = _bank(12, 3, 4, 12.0)


def _waves(bank: tuple[Float32, Float32], patch: Patch, offset: Float32) -> Float32:
    vectors, phases = bank
    damping = (vectors @ patch.du) ** 2
    damping += (vectors @ patch.dv) ** 2
    damping *= np.float32(-0.5 * _PIXEL_SIGMA**2)
    seen = damping.max(1) > -7.0
    if not seen.any():
        return np.zeros(patch.p.shape[1], np.float32)
    angle = vectors[seen] @ (patch.p + offset[:, None])
    angle += phases[seen, None]
    np.cos(angle, out=angle)
    damping = np.exp(damping[seen])
    damping *= angle
    total: Float32 = damping.sum(0)
    return total


def grain(patch: Patch, seed: npt.ArrayLike) -> tuple[Float32, Float32]:
    """Random texture with standard deviation about 1 near by: fine (all scales) and broad parts.

    `seed` (3,) shifts the pattern, so that two things of one kind differ.
    """
    offset = (np.asarray(seed, np.float64) * 0.37 % 61.0).astype(np.float32)
    fine = _waves(_FINE, patch, offset) * np.float32((2 / (_OCTAVES * _PER_OCTAVE)) ** 0.5)
    broad = _waves(_BROAD, patch, offset) * np.float32((2 / 12) ** 0.5)
    return fine, broad


def pulse(x: Float32, low: float, high: float, width: Float32) -> Float32:
    """Cover share of [low, high] in pixels of extent `width`: a box-filtered indicator.

    >>> pulse(np.float32([0, 1, 2]), 1, 5, np.float32([1, 1, 1]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    half = width / 2
    covered: Float32 = np.minimum(x + half, np.float32(high)) - np.maximum(
        x - half, np.float32(low)
    )
    share: Float32 = np.clip(covered / width, 0, 1).astype(np.float32)
    return share


def periodic_pulse(x: Float32, period: float, low: float, high: float, width: Float32) -> Float32:
    """Like `pulse`, repeated every `period`; 0 <= low < high <= period.

    >>> periodic_pulse(np.float32([1.5, 7.5]), 6, 1, 2, np.float32([0.1, 0.1])).round(3)
    array([1., 1.], dtype=float32)
    """

    def integral(a: Float32) -> Float32:
        whole = np.floor(a / np.float32(period))
        rest = a - whole * np.float32(period) - np.float32(low)
        total: Float32 = whole * np.float32(high - low) + np.clip(rest, 0, high - low)
        return total

    half: Float32 = width / np.float32(2)
    covered = integral(np.add(x, half)) - integral(np.subtract(x, half))
    share: Float32 = np.clip(covered / width, 0, 1).astype(np.float32)
    return share
