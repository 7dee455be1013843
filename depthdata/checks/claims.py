"""What the streams of a sequence say about where a pixel of one image is found in another.

A disparity, a flow, a dense depth beside a stereo pair: each is a claim that can be tested on the
images, and each has its own usual faults, which are claims too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.checks.flow import forward_backward
from depthdata.checks.samples import Sampler
from depthdata.checks.warping import self_occluded

__all__ = ["Alternative", "Claim", "claims_of"]

Single = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Place = tuple[str, int]
Change = Callable[[Single], Single]

_LEAST_LEFT = 0.3  # of the pixels: a mask that leaves fewer is itself in doubt
_SCALES = (2.0, 4.0, 16.0, 20.0, 64.0, 256.0)


@dataclass(frozen=True)
class Alternative:
    """Another reading of a claim's map, and the fault that it would mean.

    Parameters
    ----------
    message : str
        With ``{t}`` for the frame.
    change : callable
        Map (2, H, W) of the claim to the displacement to try.
    first, second : (str, int)
        Camera and frame offset of the two images.
    subtle : bool
        Close to the truth (another time), so that it is tried even where the claim holds.
    """

    message: str
    change: Change
    first: Place
    second: Place
    subtle: bool = False


@dataclass(frozen=True)
class Claim:
    """Pixels of `camera` at frame t lie, displaced by a map, in the image `second`.

    Parameters
    ----------
    name : str
        Of the finding.
    stream : str
        What makes the claim.
    camera : str
    second : (str, int)
        Camera and frame offset of the other image.
    frames : tuple of int
        Those that have the map and both images.
    field : callable
        Frame to displacements (2, H, W) float32, NaN where the file says nothing.
    hidden : callable
        (frame, field) to the pixels (H, W) that the other image cannot show, as far as is known.
    alternatives : tuple of Alternative
    """

    name: str
    stream: str
    camera: str
    second: Place
    frames: tuple[int, ...]
    field: Callable[[int], Single]
    hidden: Callable[[int, Single], Mask]
    alternatives: tuple[Alternative, ...]

    @property
    def across_only(self) -> bool:
        """Whether the displacement is along rows: texture along rows is enough."""
        return self.second[1] == 0

    @property
    def title(self) -> str:
        """What is carried where, for messages."""
        other, step = self.second
        where = [other] * (other != self.camera) + [f"frame t{step:+d}"] * (step != 0)
        return f"carried by {self.stream} to {' of '.join(where)}"


def claims_of(sampler: Sampler, camera: str) -> Iterator[Claim]:
    """Yield the claims of a camera: its disparity, its flows, disparity at the next frame."""
    streams = sampler.sequence.cameras[camera].streams
    view = sampler.view(camera)
    if view is not None:
        if "disparity" in streams:
            yield _disparity_claim(sampler, camera, "disparity")
        elif _is_dense(sampler, camera, "depth") and sampler.geometry(camera, 0) is not None:
            yield _disparity_claim(sampler, camera, "depth")
    for stream, step in (("flow_forward", 1), ("flow_backward", -1)):
        if stream in streams:
            yield _flow_claim(sampler, camera, stream, step)
    if view is not None and "flow_forward" in streams:
        if "disparity_next" in streams:
            yield _next_claim(sampler, camera, "disparity_next")
        elif {"disparity", "disparity_change_forward"} <= set(streams):
            yield _next_claim(sampler, camera, "disparity_change_forward")


def _disparity_claim(sampler: Sampler, camera: str, stream: str) -> Claim:
    view = sampler.view(camera)
    assert view is not None
    other, sign = view

    def field(t: int) -> Single:
        disparity = sampler.values(camera, "disparity", t)
        across = np.zeros_like(disparity)
        if stream == "disparity" and sampler.has(camera, "disparity_y", t):
            across = np.nan_to_num(sampler.values(camera, "disparity_y", t))
        return np.stack([sign * disparity, across])

    def hidden(t: int, moved: Single) -> Mask:
        out = self_occluded(sign * moved[0], sign)
        for name in ("masks/occluded", "masks/out_of_frame"):
            out |= sampler.flagged(camera, name, t, moved.shape[1:])
        return out if _leaves_enough(out, moved) else np.zeros_like(out)

    frames = _frames(sampler, camera, (other, 0), (stream,))
    here, there = (camera, 0), (other, 0)
    left, right = ("left", "right") if sign < 0 else ("right", "left")
    found = [
        Alternative(
            f"{stream} looks negated, or {camera} and {other} exchanged with it",
            _times(-1, 1),
            here,
            there,
        ),
        Alternative(f"images of {camera} and {other} look swapped", _same, there, here),
        Alternative(
            f"{stream} of the {right} view was given to the {left} one",
            _negate,
            there,
            here,
            subtle=True,
        ),
        *_scaled(stream, sampler.sequence.cameras[camera].width, here, there),
    ]
    geometry = sampler.geometry(camera, 0)
    doffs = 0.0 if geometry is None else geometry.offset
    if abs(doffs) > 1:
        found += [
            Alternative(
                f"{stream} is off by doffs ({doffs:.4g} px, the difference of the principal "
                f"points): it was {'added' if factor < 0 else 'subtracted'} once too often",
                _shifted(sign * factor * doffs),
                here,
                there,
            )
            for factor in (-1, 1)
        ]
    for s in (1, -1):
        later = f"frame {{t}}{s:+d}"
        found += [
            Alternative(
                f"{stream} of frame {{t}} is not of its time: it fits the images of {later}",
                _same,
                (camera, s),
                (other, s),
                subtle=True,
            ),
            Alternative(
                f"image of {other} at frame {{t}} is not of its time: {stream} fits that "
                f"of {later}",
                _same,
                here,
                (other, s),
                subtle=True,
            ),
            Alternative(
                f"image of {camera} at frame {{t}} is not of its time: {stream} fits that "
                f"of {later}",
                _same,
                (camera, s),
                there,
                subtle=True,
            ),
        ]
    return Claim(f"{stream} vs images", stream, camera, there, frames, field, hidden, tuple(found))


def _flow_claim(sampler: Sampler, camera: str, stream: str, step: int) -> Claim:
    other_way = "flow_backward" if step > 0 else "flow_forward"
    mask = f"masks/occluded_{stream[5:]}"

    def field(t: int) -> Single:
        return sampler.values(camera, stream, t)

    def hidden(t: int, moved: Single) -> Mask:
        out = sampler.flagged(camera, mask, t, moved.shape[1:])
        if not out.any() and sampler.has(camera, other_way, t + step):
            off = forward_backward(moved, sampler.values(camera, other_way, t + step))
            with np.errstate(invalid="ignore"):
                out = off > 1
        return out if _leaves_enough(out, moved) else np.zeros_like(out)

    frames = _frames(sampler, camera, (camera, step), (stream,))
    here, there = (camera, 0), (camera, step)
    found = [
        Alternative(f"{stream} looks negated", _negate, here, there),
        Alternative(f"x and y of {stream} look swapped", lambda f: f[::-1], here, there),
        Alternative(
            f"y of {stream} looks negated (an image with y up)", _times(1, -1), here, there
        ),
        Alternative(f"x of {stream} looks negated", _times(-1, 1), here, there),
        Alternative(
            f"{stream} leads the other way: it looks like {other_way}", _same, here, (camera, -step)
        ),
        *_scaled(stream, sampler.sequence.cameras[camera].width, here, there),
        *(
            Alternative(
                f"{stream} of frame {{t}} is that of frame {{t}}{s:+d} (shifted by 1 frame)",
                _same,
                (camera, s),
                (camera, s + step),
                subtle=True,
            )
            for s in (1, -1)
        ),
        Alternative(
            f"{stream} of frame {{t}} leads two frames on",
            _same,
            here,
            (camera, 2 * step),
            subtle=True,
        ),
    ]
    return Claim(f"{stream} vs images", stream, camera, there, frames, field, hidden, tuple(found))


def _next_claim(sampler: Sampler, camera: str, stream: str) -> Claim:
    """Disparity at t+1 of the surface that a pixel of t sees: flow, and then across the pair."""
    view = sampler.view(camera)
    assert view is not None
    other, sign = view
    changes = stream != "disparity_next"

    def parts(t: int) -> tuple[Single, Single]:
        later = sampler.values(camera, stream, t)
        if changes:
            later = later + sampler.values(camera, "disparity", t)
        return sampler.values(camera, "flow_forward", t), later

    def field(t: int) -> Single:
        flow, later = parts(t)
        return np.stack([flow[0] + sign * later, flow[1]])

    def hidden(t: int, moved: Single) -> Mask:
        out = sampler.flagged(camera, "masks/occluded_forward", t, moved.shape[1:])
        for name in ("masks/occluded_next", "masks/occluded"):
            out |= sampler.flagged(camera, name, t, moved.shape[1:])
        return out if _leaves_enough(out, moved) else np.zeros_like(out)

    needed = (stream, "flow_forward", *(("disparity",) if changes else ()))
    frames = _frames(sampler, camera, (other, 1), needed)
    return Claim(
        f"{stream} vs images",
        f"flow_forward and {stream}",
        camera,
        (other, 1),
        frames,
        field,
        hidden,
        (),
    )


def _frames(
    sampler: Sampler, camera: str, second: Place, streams: tuple[str, ...]
) -> tuple[int, ...]:
    return tuple(
        t
        for t in range(len(sampler.sequence))
        if all(sampler.has(camera, name, t) for name in streams)
        and sampler.has_image(camera, t)
        and sampler.has_image(second[0], t + second[1])
    )


def _is_dense(sampler: Sampler, camera: str, stream: str) -> bool:
    cam = sampler.sequence.cameras[camera]
    return stream in cam.streams and cam[stream].kind == "dense"


def _leaves_enough(hidden: Mask, field: Single) -> bool:
    known = np.isfinite(field).all(0)
    return bool((known & ~hidden).sum() >= _LEAST_LEFT * known.sum())


def _scaled(stream: str, width: int, first: Place, second: Place) -> Iterator[Alternative]:
    rows = first[1] != second[1]  # across a stereo pair only columns are claimed
    for factor in (*_SCALES, float(width)):
        of = " (the width: a share of the image?)" if factor == width else ""
        for word, by in (("large", 1 / factor), ("small", factor)):
            yield Alternative(
                f"{stream} looks {factor:g} times too {word}{of}",
                _times(by, by if rows else 1),
                first,
                second,
            )


def _same(field: Single) -> Single:
    return field


def _negate(field: Single) -> Single:
    return np.asarray(-field)


def _times(x: float, y: float) -> Change:
    return lambda field: field * np.array([x, y], np.float32)[:, None, None]


def _shifted(dx: float) -> Change:
    return lambda field: field + np.array([dx, 0], np.float32)[:, None, None]
