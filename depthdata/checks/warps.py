"""The checks "<stream> vs images": warping one image by a stream must give the other one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from depthdata.checks.claims import Alternative, Claim, claims_of
from depthdata.checks.picture import Overlay
from depthdata.checks.report import Finding, at_least, at_most, skipped
from depthdata.checks.samples import Sampler, spread
from depthdata.checks.warp_meter import MIN_POINTS, Duel, Fit, WarpMeasure, WarpMeter
from depthdata.checks.warping import MATCH

__all__ = ["check_warps"]

SHARE, FRAME_SHARE, OUTSIDE = 0.6, 0.4, 0.6
OFF_PX = 1.5  # real: KITTI 0.6 to 1.03, Middlebury 0.13, ETH3D 0.1 to 0.23
SCALE, TELLING_PX = 0.05, 3.0  # real: KITTI 0.974
BIAS_PX, SPREAD_PX = 0.6, 0.2  # precise, and yet off: real ones are either unbiased or spread
FRAMES = 16
_SURE, _LARGE_PX = 0.85, 4.0  # then only readings close to the truth are worth a try
_EXPLAINS = 0.15  # of the points: what a factor or a shift must add


def check_warps(
    sampler: Sampler, camera: str, frames: int | None
) -> tuple[list[Finding], list[Overlay]]:
    """Carry patches of a camera by its disparity and its flows and look for them in the images.

    Parameters
    ----------
    sampler : Sampler
        Of the sequence.
    camera : str
    frames : int or None
        At most so many frames of each stream (and at most 16), spread over the sequence; None:
        all.
    """
    findings, overlays = [], []
    for claim in claims_of(sampler, camera):
        found, drawn = _check(WarpMeter(sampler, claim), frames)
        findings.append(found)
        overlays += drawn
    return findings, overlays


def _check(meter: WarpMeter, frames: int | None) -> tuple[Finding, list[Overlay]]:
    claim = meter.claim
    if not claim.frames:
        reason = f"no frame with {claim.stream} and both images"
        return skipped(claim.name, reason, claim.camera), []
    most = None if frames is None else min(frames, FRAMES)
    chosen = [claim.frames[i] for i in spread(len(claim.frames), most)]
    measured = [m for t in chosen if (m := meter.measure(t)) is not None]
    if not measured:
        reason = f"fewer than {MIN_POINTS} points with texture, no step and not occluded"
        return skipped(claim.name, reason, claim.camera), []
    finding = _judge(meter, measured)
    worst = next((m for m in measured if m.frame == finding.frame), measured[0])
    overlay = Overlay(
        camera=claim.camera,
        frame=worst.frame,
        xy=worst.pixels.astype(np.float64),
        error=1 - worst.correlation.astype(np.float64),
        limit=1 - MATCH,
        unit="1 - corr.",
        title=claim.name,
        finding=finding,
    )
    return finding, [overlay]


def _judge(meter: WarpMeter, measured: list[WarpMeasure]) -> Finding:
    claim = meter.claim
    shares = [m.share for m in measured]
    off = np.concatenate([m.off for m in measured])
    off = off[np.isfinite(off).all(-1)]
    lengths = np.linalg.norm(off, axis=-1)
    inside = np.concatenate([m.inside for m in measured])
    found = np.concatenate([m.correlation for m in measured])[inside] > MATCH
    share = float(found.mean()) if len(found) else 0.0
    median = float(np.median(lengths)) if len(lengths) else float("nan")
    bias = np.median(off, axis=0) if len(off) else np.full(2, np.nan)
    spread_px = float(np.median(np.linalg.norm(off - bias, axis=-1))) if len(off) else float("nan")
    scale, left_over = _scale(measured)
    numbers = {
        "share_found": share,
        "worst_frame_share": min(shares),
        "median_px": median,
        "share_below_1px": float((lengths < 1).mean()) if len(lengths) else float("nan"),
        "bias_x_px": float(bias[0]),
        "bias_y_px": float(bias[1]),
        "spread_px": spread_px,
        "scale": scale,
        "outside": float(np.mean([m.outside for m in measured])),
        "displacement_px": float(np.median([m.length for m in measured])),
        "points": float(sum(len(m.pixels) for m in measured)),
        "frames": float(len(measured)),
    } | _regions(measured)
    worst = measured[int(np.argmin(shares))]
    matched = share >= SHARE and min(shares) >= FRAME_SHARE
    matched &= max(m.outside for m in measured) <= OUTSIDE
    scaled = abs(scale - 1) > SCALE and left_over <= min(SPREAD_PX, spread_px)
    biased = not scaled and bool(np.linalg.norm(bias) >= BIAS_PX and spread_px <= SPREAD_PX)
    precise = bool(median <= OFF_PX) and not biased and not scaled
    frame, ok, warning = worst.frame, matched and precise, False
    message = (
        f"{claim.title}, {share:.0%} of the patches are found again, median {median:.2g} px off, "
        f"frames: {len(measured)}"
    )
    region = _region_message(numbers)
    fault = _fault(meter, measured)
    named = fault is not None and fault.share >= _SURE
    known = matched and (precise or biased or scaled)
    fit = None if named or known else meter.search(worst)
    if fault is not None and (fit is None or fit.share < fault.share + _EXPLAINS):
        ok, frame, message = False, fault.frame, fault.message
    elif not ok and region is not None:
        ok, warning, message = True, True, f"{claim.title}, {region}"
    elif matched and scaled:
        message = (
            f"{claim.stream} fits when multiplied by {scale:.3g} ({message}): focal length, "
            "baseline, unit or scale of it is wrong"
        )
    elif matched and biased:
        message = (
            f"{message}: nearly all by the same ({bias[0]:.2f}, {bias[1]:.2f}) px: it is shifted "
            "(principal points, half a pixel, or counting from 1)"
        )
    elif not ok:
        assert fit is not None
        message = _unnamed(claim, worst, fit, message)
    elif region is not None:
        warning, message = True, f"{message}; {region}"
    facts: dict[str, Any] = {
        "message": message,
        "camera": claim.camera,
        "frame": frame,
        "numbers": numbers,
        "ok": ok,
        "warning": warning,
    }
    if matched and scaled:
        return at_most(claim.name, abs(scale - 1), SCALE, "", **facts)
    if matched and not precise:
        limit = BIAS_PX if biased else OFF_PX
        return at_most(claim.name, median, limit, "px", **facts)
    return at_least(claim.name, share, SHARE, "", **facts)


@dataclass(frozen=True)
class _Fault:
    frame: int
    message: str
    share: float


def _fault(meter: WarpMeter, measured: list[WarpMeasure]) -> _Fault | None:
    """Return the reading that fits clearly better than the file's."""
    sure = all(m.share >= _SURE and m.length >= _LARGE_PX for m in measured)
    tried = [other for other in meter.claim.alternatives if other.subtle or not sure]
    outcomes = [[meter.duel(m, other) for other in tried] for m in measured]
    best: tuple[float, Alternative, Duel, list[int]] | None = None
    for k, other in enumerate(tried):
        duels = {
            m.frame: duel
            for m, row in zip(measured, outcomes, strict=True)
            if (duel := row[k]) is not None
        }
        together = Duel.joined(duels.values())
        won = list(duels) if together.won else [t for t, duel in duels.items() if duel.won]
        if not won:
            continue
        if not together.won:
            together = Duel.joined(duels[frame] for frame in won)
        rank = len(won) * together.score
        if best is None or rank > best[0]:
            best = (rank, other, together, won)
    if best is None:
        return None
    _, other, duel, won = best
    frame = won[0]
    text = other.message.format(t=frame)
    if len(won) > 1:
        text += f" (the same in {len(won)} of {len(measured)} frames)"
    now = float(np.mean([m.share for m in measured if m.frame in won]))
    text += f": {duel.share:.0%} of the patches are then found again, not {now:.0%}"
    return _Fault(frame, text, duel.share)


def _unnamed(claim: Claim, worst: WarpMeasure, fit: Fit, message: str) -> str:
    """Say by which factor or shift the map of the worst frame would fit, if any helps."""
    now = worst.share
    if fit.share < 0.5 or (fit.share < now + _EXPLAINS and now < SHARE):
        if worst.outside > OUTSIDE:
            message = f"{message}; {worst.outside:.0%} would lie outside the other image"
        return (
            f"{message}: {claim.stream} does not explain the images (worst frame "
            f"{worst.frame}: {now:.0%})"
        )
    return (
        f"{claim.stream} of frame {worst.frame} fits when {fit.how}: {fit.share:.0%} of the "
        f"patches are then found again, not {now:.0%}; focal length, baseline, unit, scale or "
        "principal points of it are wrong"
    )


def _scale(measured: list[WarpMeasure]) -> tuple[float, float]:
    """Return what fits over what is claimed, and how far (pixels) points are off after that."""
    off = np.concatenate([m.off for m in measured])
    moved = np.concatenate([m.moved for m in measured])
    length = np.linalg.norm(moved, axis=-1)
    use = np.isfinite(off).all(-1) & (length > TELLING_PX)
    if int(use.sum()) < MIN_POINTS:
        return 1.0, float("inf")
    off, moved, length = off[use], moved[use], length[use]
    scale = 1 + float(np.median((off * moved).sum(-1) / length**2))
    return scale, float(np.median(np.linalg.norm(off - (scale - 1) * moved, axis=-1)))


def _regions(measured: list[WarpMeasure]) -> dict[str, float]:
    """Share found and median distance of foreground and background, where both are there."""
    if any(m.foreground is None for m in measured):
        return {}
    inside = np.concatenate([m.inside for m in measured])
    objects = np.concatenate([np.asarray(m.foreground) for m in measured])[inside]
    if min(objects.sum(), (~objects).sum()) < MIN_POINTS:
        return {}
    value = np.concatenate([m.correlation for m in measured])[inside]
    off = np.linalg.norm(np.concatenate([m.off for m in measured])[inside], axis=-1)
    out = {}
    for name, use in (("foreground", objects), ("background", ~objects)):
        out[f"{name}_share_found"] = float((value[use] > MATCH).mean())
        known = off[use][np.isfinite(off[use])]
        out[f"{name}_median_px"] = float(np.median(known)) if len(known) else float("nan")
    return out


def _region_message(numbers: dict[str, float]) -> str | None:
    """Say so when of foreground and background only one agrees with the images."""
    if "foreground_share_found" not in numbers:
        return None
    agree = {
        name: numbers[f"{name}_share_found"] >= SHARE and numbers[f"{name}_median_px"] <= OFF_PX
        for name in ("foreground", "background")
    }
    if agree["foreground"] == agree["background"]:
        return None
    good, bad = (
        ("foreground", "background") if agree["foreground"] else ("background", "foreground")
    )

    def said(name: str) -> str:
        return (
            f"{name} ({numbers[f'{name}_share_found']:.0%} found, median "
            f"{numbers[f'{name}_median_px']:.2g} px)"
        )

    return f"the {said(good)} agrees with the images, but the {said(bad)} does not"
