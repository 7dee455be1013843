"""Measuring a claim on the images: how many patches are found again, and how far off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.checks.claims import Alternative, Claim
from depthdata.checks.samples import Sampler
from depthdata.checks.warping import (
    MATCH,
    Patches,
    correlation,
    smooth,
    texture,
    textured_pixels,
)

__all__ = ["Duel", "Fit", "WarpMeasure", "WarpMeter"]

Floats = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

MIN_POINTS = 50
POINTS = 1200
_SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_CLEARLY, _CLEARLY_PX = 0.1, 0.15
_LEAST_WINS, _LEAST_SHARE = 40, 0.6
_BETTER = 0.03  # correlation
_FEWER = 0.05  # share of the points
_FACTORS = np.geomspace(0.25, 4, 140)
_AS_GOOD = 0.01


@dataclass(frozen=True)
class WarpMeasure:
    """What was measured at one frame.

    Parameters
    ----------
    frame : int
    pixels : int, (n, 2)
        Column and row.
    correlation : float32, (n,)
        With the patch where the claim says it is; 0 outside the other image.
    off : float64, (n, 2)
        How far from there it correlates best, pixels along x and y, within 2; NaN where it was not
        found.
    inside : bool, (n,)
        Whether the claim leads into the other image.
    moved : float64, (n, 2)
        The displacement that is claimed, pixels.
    length : float
        Median length of the displacement, pixels.
    foreground : bool, (n,) or None
        Whether a point lies on an object, where the file says so.
    """

    frame: int
    pixels: npt.NDArray[np.intp]
    correlation: Single
    off: Floats
    inside: npt.NDArray[np.bool_]
    moved: Floats
    length: float
    foreground: npt.NDArray[np.bool_] | None

    @property
    def outside(self) -> float:
        """Share of the points that would lie outside the other image."""
        return float(1 - self.inside.mean())

    @property
    def share(self) -> float:
        """Share of the points inside the other image that are found again; 0 without any."""
        values = self.correlation[self.inside]
        return float((values > MATCH).mean()) if len(values) else 0.0


@dataclass(frozen=True)
class Duel:
    """How another reading does against the claim.

    Parameters
    ----------
    wins, losses : int
        Points with a clearly higher, and with a clearly lower correlation than the claim gives.
    nearer, farther : int
        Points found by both, clearly nearer to where the other reading expects them, or farther.
    points : int
    score : float
        Mean correlation of the other reading, negative ones as 0.
    share : float
        Share of the points that it finds again.
    own_share : float
        Share of the same points that the file's own reading finds again.
    rivalled : bool
        Whether only points count at which the file's claim for that other time does otherwise.
    """

    wins: int
    losses: int
    nearer: int
    farther: int
    points: int
    score: float
    share: float
    own_share: float = 0.0
    rivalled: bool = False

    @classmethod
    def joined(cls, duels: Iterable[Duel]) -> Duel:
        """Join those of several frames."""
        rows = list(duels)
        points = sum(d.points for d in rows)
        return cls(
            wins=sum(d.wins for d in rows),
            losses=sum(d.losses for d in rows),
            nearer=sum(d.nearer for d in rows),
            farther=sum(d.farther for d in rows),
            points=points,
            score=sum(d.score * d.points for d in rows) / max(points, 1),
            share=sum(d.share * d.points for d in rows) / max(points, 1),
            own_share=sum(d.own_share * d.points for d in rows) / max(points, 1),
            rivalled=all(d.rivalled for d in rows),
        )

    @property
    def won(self) -> bool:
        """Whether the other reading is the right one."""
        if self.share < _LEAST_SHARE:
            return False
        found = self.wins >= max(_LEAST_WINS, 0.04 * self.points) and self.wins >= 3 * self.losses
        least = 0 if self.rivalled else 0.25 * self.points
        near = self.nearer >= max(_LEAST_WINS, least)
        # A bias of the depth is nearly made up by the motion to the next frame: places come nearer
        # there, and yet fewer are found. The map's true images lose none.
        as_many = self.share >= self.own_share - _FEWER
        return found or (near and as_many and self.nearer >= 3 * self.farther)


@dataclass(frozen=True)
class Fit:
    """A factor, or a shift along rows (pixels), and the share of the points that then fits."""

    share: float
    factor: float = 1.0
    shift: float = 0.0

    @property
    def how(self) -> str:
        """Say what is done to the map."""
        if self.factor != 1:
            return f"multiplied by {self.factor:.3g}"
        return f"shifted by {self.shift:.0f} px"


class WarpMeter:
    """Measures one claim."""

    def __init__(self, sampler: Sampler, claim: Claim) -> None:
        self.sampler, self.claim = sampler, claim
        self._kept: tuple[int, Single] | None = None

    def measure(self, frame: int) -> WarpMeasure | None:
        """Measure a frame as the file says; None with fewer than 50 points of texture."""
        claim = self.claim
        field = self._field(frame)
        allowed = smooth(field) & ~claim.hidden(frame, field)
        first = self.sampler.smoothed(claim.camera, frame)
        strength = texture(first, across_only=claim.across_only)
        rng = np.random.default_rng([self.sampler.seed, frame])
        pixels = textured_pixels(strength, allowed, POINTS, rng)
        if len(pixels) < MIN_POINTS:
            return None
        patches = Patches(field, pixels)
        value = self._value(patches, patches.move, (claim.camera, frame), self._second(frame))
        said = np.isfinite(value)
        if int(said.sum()) < MIN_POINTS:
            return None
        off = self._off(patches, value, (claim.camera, frame), self._second(frame))[said]
        there = (pixels + patches.middle)[said]
        height, width = first.shape
        inside = (there >= -0.5).all(-1) & (there[:, 0] <= width - 0.5)
        inside &= there[:, 1] <= height - 0.5
        pixels, value = pixels[said], value[said]
        moved = (there - pixels).astype(np.float64)
        objects = self.sampler.objects(claim.camera, frame)
        return WarpMeasure(
            frame=frame,
            pixels=pixels,
            correlation=value,
            off=off,
            inside=inside,
            moved=moved,
            length=float(np.median(np.linalg.norm(moved, axis=-1))),
            foreground=None if objects is None else objects[pixels[:, 1], pixels[:, 0]],
        )

    def duel(self, measured: WarpMeasure, other: Alternative) -> Duel | None:
        """Let another reading compete with the claim at a frame; None without its images."""
        t = measured.frame
        first, second = ((name, t + step) for name, step in (other.first, other.second))
        if not (self.sampler.has_image(*first) and self.sampler.has_image(*second)):
            return None
        field = np.asarray(other.change(self._field(t)), np.float32)
        patches = Patches(field, measured.pixels)
        value = self._value(patches, patches.move, first, second)
        own, said = measured.correlation, np.isfinite(value)  # else: no texture in that image
        if int(said.sum()) < MIN_POINTS:
            return None
        wins = (value > own + _CLEARLY) & (value > MATCH)
        losses = (own > value + _CLEARLY) & (own > MATCH)
        near = far = 0
        rival = None
        if other.subtle:
            length = np.linalg.norm(self._off(patches, value, first, second), axis=-1)
            before = np.linalg.norm(measured.off, axis=-1)
            nearer, farther = length + _CLEARLY_PX < before, before + _CLEARLY_PX < length
            rival = self._claim_there(measured, field, first, second)
            if rival is not None:
                wins &= value > rival + _BETTER
                nearer &= value > rival + _BETTER
                losses &= rival > value + _BETTER
                farther &= rival > value + _BETTER
            near, far = int(nearer.sum()), int(farther.sum())
        return Duel(
            wins=int(wins.sum()),
            losses=int(losses.sum()),
            nearer=near,
            farther=far,
            points=int(said.sum()),
            score=float(np.maximum(value[said], 0).mean()),
            share=float((value[said] > MATCH).mean()),
            own_share=float((own[said] > MATCH).mean()),
            rivalled=rival is not None,
        )

    def _claim_there(
        self, measured: WarpMeasure, field: Single, first: tuple[str, int], second: tuple[str, int]
    ) -> Single | None:
        """Correlation, at the same pixels, of the claim that the file makes for another time.

        Images differ in how well they match at all. A map that belongs to them beats the one that
        they have, not only its own images. None for the same time, for no such claim, and where
        both maps are one, which cannot tell.
        """
        claim, step = self.claim, first[1] - measured.frame
        own_pair = first[0] == claim.camera and second == self._second(first[1])
        if not step or not own_pair or first[1] not in claim.frames:
            return None
        there = claim.field(first[1])
        if there.shape != field.shape or np.array_equal(there, field, equal_nan=True):
            return None
        patches = Patches(there, measured.pixels)
        value = self._value(patches, patches.move, first, second)
        return np.where(np.isfinite(value), value, np.float32(1))

    def search(self, measured: WarpMeasure) -> Fit:
        """Return the factor, or the shift along x, with which the map fits best.

        Of several that fit alike the middle one.
        """
        t = measured.frame
        field = self._field(t)
        patches = Patches(field, measured.pixels[:600])
        places = (self.claim.camera, t), self._second(t)

        def share(move: Single) -> float:
            return float((np.nan_to_num(self._value(patches, move, *places)) > MATCH).mean())

        most = min(field.shape[2] // 3, 256)
        shifts = np.arange(-most, most + 1)
        scaled = [Fit(share(patches.move * np.float32(f)), factor=float(f)) for f in _FACTORS]
        shifted = [
            Fit(share(patches.move + np.array([s, 0], np.float32)), shift=float(s)) for s in shifts
        ]
        return max((_middle(scaled), _middle(shifted)), key=lambda fit: fit.share)

    def _field(self, frame: int) -> Single:
        if self._kept is None or self._kept[0] != frame:
            self._kept = (frame, self.claim.field(frame))
        return self._kept[1]

    def _second(self, frame: int) -> tuple[str, int]:
        name, step = self.claim.second
        return name, frame + step

    def _value(
        self, patches: Patches, move: Single, first: tuple[str, int], second: tuple[str, int]
    ) -> Single:
        images = self.sampler.smoothed(*first), self.sampler.smoothed(*second)
        return correlation(*images, patches.here, patches.here + move)

    def _off(
        self, patches: Patches, value: Single, first: tuple[str, int], second: tuple[str, int]
    ) -> Floats:
        """How far from the claimed place the correlation is highest, along x and y."""
        axes = (0,) if self.claim.across_only else (0, 1)
        off = np.zeros((len(patches), 2))
        best = np.nan_to_num(value)
        for axis in axes:
            step = np.eye(2, dtype=np.float32)[axis]
            values = np.stack(
                [
                    value
                    if s == 0
                    else self._value(patches, patches.move + s * step, first, second)
                    for s in np.asarray(_SHIFTS, np.float32)
                ]
            )
            at, height = _peak(np.nan_to_num(values))
            off[:, axis] = at
            best = np.maximum(best, height)
        off[best <= MATCH] = np.nan
        return off


def _middle(fits: list[Fit]) -> Fit:
    """Return the middle one of those that are as good as the best."""
    best = max(fit.share for fit in fits)
    good = [fit for fit in fits if fit.share >= best - _AS_GOOD]
    return good[len(good) // 2]


def _peak(values: Single) -> tuple[Floats, Single]:
    """Return the place (px) and the height of the maximum along `_SHIFTS`, (n,), by a parabola."""
    top = values.argmax(0)
    height = values.max(0)
    inner = np.clip(top, 1, len(values) - 2)
    column = np.arange(values.shape[1])
    before, middle, after = (values[inner + k, column].astype(np.float64) for k in (-1, 0, 1))
    bend = before - 2 * middle + after
    part = np.where(bend < -1e-6, 0.5 * (before - after) / np.minimum(bend, -1e-6), 0.0)
    at = np.asarray(_SHIFTS)[inner] + np.clip(part, -1.5, 1.5)
    return np.clip(at, _SHIFTS[0], _SHIFTS[-1]), np.asarray(height)
