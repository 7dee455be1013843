"""Colour jitter: one affine change of colour per window, applied in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from depthdata.errors import UsageError
from depthdata.loading.batch import Sample

__all__ = ["ColorJitter", "color_matrix"]

Float = npt.NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])
# Luma and the two chroma axes of NTSC; hue is an angle in the plane of the latter two.
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.linalg.inv(_YIQ)


def color_matrix(step: str, amount: float, mean: Float) -> tuple[Float, Float]:
    """Return the matrix (3, 3) and offset (3,) of one step.

    Parameters
    ----------
    step : {"brightness", "contrast", "saturation", "hue"}
    amount : float
        A factor; for hue the part of a full turn.
    mean : float array, (3,)
        Mean colour of the images, for contrast.

    Examples
    --------
    >>> matrix, offset = color_matrix("saturation", 0.0, np.zeros(3))
    >>> (matrix @ [255.0, 0.0, 0.0]).round(3).tolist()
    [76.245, 76.245, 76.245]
    """
    identity, zero = np.eye(3), np.zeros(3)
    if step == "brightness":
        return amount * identity, zero
    if step == "contrast":
        return amount * identity, np.full(3, (1 - amount) * float(_LUMA @ mean))
    if step == "saturation":
        return amount * identity + (1 - amount) * np.tile(_LUMA, (3, 1)), zero
    angle = 2 * np.pi * amount
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return _RGB @ turn @ _YIQ, zero


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue of a window, in random order.

    All frames and cameras of a window get the same change. The steps are composed into one affine
    map of colour that is rounded and clipped once; hue turns the chroma plane.

    Parameters
    ----------
    brightness, contrast, saturation : float
        The factor is drawn from [1 - x, 1 + x].
    hue : float
        The part of a full turn is drawn from [-x, x].
    p : float
        Probability that anything changes.
    suffix : str
        ``""`` changes ``rgb`` itself; ``"_jittered"`` leaves it and adds ``rgb_jittered`` (a copy
        where nothing changes).
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.1
    p: float = 0.5
    suffix: str = ""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        images = {k: v for k, v in sample.items() if _is_image(k, v)}
        if not images:
            raise UsageError(f"colour jitter needs an rgb stream; found {', '.join(sample)}")
        out = dict(sample)
        if rng.random() >= self.p:
            out.update({f"{k}{self.suffix}": v for k, v in images.items()})
            return out
        mean = np.mean([_mean_color(v) for v in images.values()], axis=0)
        matrix, offset = self._draw(rng, mean)
        for key, image in images.items():
            out[f"{key}{self.suffix}"] = _apply(image, matrix, offset)
        return out

    def _draw(self, rng: np.random.Generator, mean: Float) -> tuple[Float, Float]:
        matrix, offset = np.eye(3), np.zeros(3)
        steps = ("brightness", "contrast", "saturation", "hue")
        amounts = {
            step: (0.0 if step == "hue" else 1.0)
            + getattr(self, step) * float(rng.uniform(-1.0, 1.0))
            for step in steps
        }
        for i in rng.permutation(len(steps)):
            M, b = color_matrix(steps[i], amounts[steps[i]], matrix @ mean + offset)
            matrix, offset = M @ matrix, M @ offset + b
        return matrix, offset


def _is_image(key: str, value: Any) -> bool:
    return (
        (key == "rgb" or key.endswith("_rgb"))
        and isinstance(value, torch.Tensor)
        and value.dtype == torch.uint8
    )


def _mean_color(image: torch.Tensor) -> Float:
    pixels = image.shape[:-3].numel() * image.shape[-2] * image.shape[-1]
    axes = [d for d in range(image.ndim) if d != image.ndim - 3]
    total = image.sum(axes, dtype=torch.int64)
    return np.asarray(total.cpu().numpy() / pixels, dtype=np.float64)


def _apply(image: torch.Tensor, matrix: Float, offset: Float) -> torch.Tensor:
    M = torch.as_tensor(matrix, dtype=torch.float32, device=image.device)
    b = torch.as_tensor(offset, dtype=torch.float32, device=image.device)
    flat = image.reshape(-1, 3, image.shape[-2] * image.shape[-1]).float()
    changed = torch.matmul(M, flat).add_(b[:, None]).round_().clamp_(0, 255)
    return changed.to(torch.uint8).reshape(image.shape)
