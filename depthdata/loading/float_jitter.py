"""Changes of colour on float images, formula by formula as torchvision makes them.

Models were trained on these; `depthdata.loading.ColorJitter` is the faster one for training anew.
"""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["float_jitter", "shift_hue"]

_GRAY = (0.2989, 0.587, 0.114)


def float_jitter(
    image: torch.Tensor,
    rng: np.random.Generator,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.1,
) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue in random order.

    Parameters
    ----------
    image : (3, H, W) float32
        0 to 1.
    rng : numpy.random.Generator
    brightness, contrast, saturation : float
        The factor is drawn from [1 - x, 1 + x].
    hue : float
        The part of a full turn is drawn from [-x, x].

    Returns
    -------
    (3, H, W) float32
    """
    steps = rng.permutation(4)
    factors = [rng.uniform(1 - x, 1 + x) for x in (brightness, contrast, saturation)]
    turn = rng.uniform(-hue, hue)
    for step in steps:
        if step == 0:
            image = _blend(image, torch.zeros(()), factors[0])
        elif step == 1:
            # in float64: the sum of a float32 mean depends on the number of threads
            mean = _gray(image).mean(dtype=torch.float64).to(image.dtype)
            image = _blend(image, mean, factors[1])
        elif step == 2:
            image = _blend(image, _gray(image), factors[2])
        else:
            image = shift_hue(image, turn)
    return image


def shift_hue(image: torch.Tensor, turn: float) -> torch.Tensor:
    """Turn the hue of a (3, H, W) image in 0 to 1 by a part of a full turn.

    >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    >>> shift_hue(red, 1 / 3).flatten().round(decimals=6).tolist()
    [0.0, 1.0, 0.0]
    """
    high, low = image.amax(0), image.amin(0)
    spread = high - low
    gray = spread == 0
    r, g, b = (high - image) / torch.where(gray, torch.ones_like(spread), spread)
    h = torch.where(image[0] == high, b - g, torch.where(image[1] == high, 2 + r - b, 4 + g - r))
    h = (torch.where(gray, torch.zeros_like(h), h / 6) + 1 + turn) % 1
    # Each channel is a trapezoid of the hue, shifted by a third of a turn.
    shifted = (torch.tensor([5.0, 3.0, 1.0], device=image.device).reshape(3, 1, 1) + 6 * h) % 6
    share = torch.minimum(shifted, 4 - shifted).clamp(0, 1)
    turned: torch.Tensor = (high - spread * share).clamp(0, 1)
    return turned


def _blend(image: torch.Tensor, other: torch.Tensor, factor: float) -> torch.Tensor:
    mixed: torch.Tensor = (factor * image + (1 - factor) * other).clamp(0, 1)
    return mixed


def _gray(image: torch.Tensor) -> torch.Tensor:
    r, g, b = image.unbind()
    return _GRAY[0] * r + _GRAY[1] * g + _GRAY[2] * b
