"""Photometric cost of depth hypotheses between a keyframe and other frames with known poses.

Wimbauer, Yang, von Stumberg, Zeller, Cremers, "MonoRec: Semi-Supervised Dense Reconstruction in
Dynamic Environments from a Single Moving Camera", CVPR 2021, https://arxiv.org/abs/2011.11814;
Dynamic-multiframe-depth uses the same volume.

The volume is made source by source and a few hypotheses at a time: beside the result, memory holds
the costs of one source and the images of those few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from depthzoo.networks.geometry import pixel_grid

__all__ = ["CostVolume", "hypotheses_at_once", "relative_pose"]

Trace = Callable[[str, Tensor], None]

_CHANNELS = (5 / 32, 16 / 32, 11 / 32)  # weights of red, green and blue
_SHARPNESS = 10.0
_C1, _C2 = 0.01**2, 0.03**2
_SSIM_SHARE = 0.85
_GREY = 0.5  # what brings images to 0..1
_TINY = 1e-7
_FAR = 2.0  # grid coordinates beyond are brought here
_CACHED = 2**20  # elements: the images of one step of this size stay in a CPU's cache


def relative_pose(keyframe: Tensor, other: Tensor) -> Tensor:
    """Transform (N, 4, 4), keyframe's camera to the other's, of two camera-to-world poses.

    It is formed in float64: far from the world's origin float32 would lose the little between them.
    """
    relative: Tensor = torch.linalg.inv(other.double()) @ keyframe.double()
    return relative


def hypotheses_at_once(height: int, width: int, steps: int, device: str) -> int:
    """Return how many hypotheses to warp together: all on a GPU, what the cache holds on a CPU."""
    return steps if device != "cpu" else min(steps, max(1, _CACHED // (3 * height * width)))


@dataclass(frozen=True)
class CostVolume:
    """How hypotheses are placed and compared.

    Parameters
    ----------
    inverse_depths : (float, float)
        Nearest and farthest hypothesis, 1/m.
    steps : int
        Hypotheses, evenly spaced in inverse depth, the farthest first.
    patch : int
        Side of the square over which errors are averaged, odd.
    error : int
        1: structural similarity. 0: absolute difference. 2: 85 % of the former and 15 % of the
        latter. 3: absolute difference, averaged over 3x3.
    """

    inverse_depths: tuple[float, float] = (0.33, 0.0025)
    steps: int = 32
    patch: int = 3
    error: int = 1

    def depths(self, like: Tensor) -> Tensor:
        """Return the depth of the hypotheses in metres (steps,), from the farthest."""
        near, far = self.inverse_depths
        inverse = torch.linspace(far, near, self.steps, dtype=torch.float64, device=like.device)
        return (1 / inverse).to(like.dtype)

    @torch.no_grad()
    def __call__(
        self,
        keyframe: Tensor,
        intrinsics: Tensor,
        frames: Sequence[Tensor],
        frame_poses: Sequence[Tensor],
        frame_intrinsics: Sequence[Tensor],
        at_once: int | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Compare the keyframe with each frame at each depth.

        Parameters
        ----------
        keyframe : Tensor
            (N, 3, H, W) RGB in -0.5..0.5.
        intrinsics : Tensor
            (N, 4, 4) or (N, 3, 3), pixels of this size.
        frames : sequence of Tensor
            As `keyframe`.
        frame_poses : sequence of Tensor
            (N, 4, 4) each: the keyframe's camera to the frame's, see `relative_pose`.
        frame_intrinsics : sequence of Tensor
        at_once : int, optional
            Hypotheses to warp together; the result is the same. `hypotheses_at_once` if not given.
        trace : callable, optional
            Called with ``single_frame_cv_{i}`` (N, steps, H, W), what one frame says.

        Returns
        -------
        Tensor
            (N, steps, H, W), 1 for a perfect match, -1 for none; 0 where no frame sees the pixel at
            every depth. No gradient passes.
        """
        n, _, height, width = keyframe.shape
        if at_once is None:
            at_once = hypotheses_at_once(height, width, self.steps, keyframe.device.type)
        rays = torch.linalg.inv(intrinsics.double())[:, :3, :3] @ pixel_grid(keyframe).double()
        depths = self.depths(keyframe)
        volume = keyframe.new_zeros((n, self.steps, height, width))
        cost = torch.empty_like(volume[:1])
        single = [torch.empty_like(volume) for _ in frames] if trace is not None else []
        for b in range(n):
            total = keyframe.new_zeros((1, height, width))
            compare = _Comparison(keyframe[b : b + 1], self.error, self.patch)
            for f, frame in enumerate(frames):
                matrix = frame_intrinsics[f][b, :3, :3].double() @ frame_poses[f][b, :3].double()
                through = (matrix[:, :3] @ rays[b]).to(keyframe.dtype).view(3, 1, height, width)
                offset = matrix[:, 3].to(keyframe.dtype)
                valid = self._costs(
                    frame[b : b + 1], through, offset, depths, compare, at_once, cost[0]
                )
                weight = self._confidence(cost[0]) * valid
                total += weight
                if trace is not None:
                    single[f][b] = (1 - 2 * cost[0]) * valid
                volume[b].addcmul_(cost[0], weight)
            seen = total != 0
            mean = volume[b].div_(torch.where(seen, total, torch.ones_like(total)))
            mean.mul_(-2).add_(1).mul_(seen)
        for f, alone in enumerate(single):
            assert trace is not None
            trace(f"single_frame_cv_{f}", alone)
        return volume

    def _costs(
        self,
        frame: Tensor,
        through: Tensor,
        offset: Tensor,
        depths: Tensor,
        compare: _Comparison,
        at_once: int,
        out: Tensor,
    ) -> Tensor:
        """Fill `out` (steps, H, W) with costs; return (H, W), 1 where every hypothesis is seen.

        A hypothesis is seen where it is fetched from inside a frame of zeros, one pixel wider than
        half a patch, around the other image: a place whose four neighbours are all zeros is not.
        """
        _, _, height, width = frame.shape
        reach = torch.zeros_like(through[:2])  # the farthest from the middle that was looked at
        for start in range(0, self.steps, at_once):
            depth = depths[start : start + at_once].view(1, -1, 1, 1)
            x, y, z = (through * depth + offset.view(3, 1, 1, 1)).unbind()
            z = z + _TINY
            grid = torch.stack([x / z / (width - 1), y / z / (height - 1)])
            grid = grid.sub_(0.5).mul_(2).clamp_(-_FAR, _FAR)
            reach = torch.maximum(reach, grid.abs().amax(1, keepdim=True))
            warped = F.grid_sample(
                frame.expand(grid.shape[1], -1, -1, -1),
                grid.permute(1, 2, 3, 0),
                mode="bilinear",
                padding_mode="zeros",
                align_corners=False,  # although the grid is made for True, as in the original
            )
            out[start : start + at_once] = compare(warped)
        border = self.patch // 2 + 1
        edge = 2 * border - 1
        inside = (reach[0, 0] < 1 - edge / width) & (reach[1, 0] < 1 - edge / height)
        own = torch.zeros_like(inside)
        own[border : height - border, border : width - border] = True
        return (inside & own).to(frame.dtype)

    def _confidence(self, cost: Tensor) -> Tensor:
        """(H, W) of costs (steps, H, W): 1 for a single sharp minimum, 0 where all are the same."""
        above = cost - cost.amin(0)
        similar = above.square_().mul_(-_SHARPNESS).exp_().sum(0)
        return 1 - (similar - 1) / (self.steps - 1)


class _Comparison:
    """The keyframe's side of the photometric error, computed once."""

    def __init__(self, keyframe: Tensor, error: int, patch: int) -> None:
        self.error, self.patch = error, patch
        self.keyframe = keyframe
        self.weights = torch.tensor(_CHANNELS, dtype=keyframe.dtype, device=keyframe.device)
        if error in (1, 2):
            self.padded = _mirrored(keyframe)
            self.mean = _mean3(self.padded)
            self.variance = _mean3(self.padded.square()) - self.mean.square()
            self.brightness = self.mean + _GREY

    def __call__(self, warped: Tensor) -> Tensor:
        """Cost (K, H, W) of images (K, 3, H, W): a weighted mean over patch and channels."""
        error = self._error(warped)
        error = torch.einsum("kchw,c->khw", error, self.weights)
        return _mean_around(error, self.patch)

    def _error(self, warped: Tensor) -> Tensor:
        if self.error == 1:
            return self._dissimilarity(warped)
        difference = (warped - self.keyframe).abs_()
        if self.error == 0:
            return difference
        if self.error == 2:
            return torch.lerp(difference, self._dissimilarity(warped), _SSIM_SHARE)
        return _mean_around(difference, 3)

    def _dissimilarity(self, warped: Tensor) -> Tensor:
        """(1 - SSIM) / 2 over 3x3, (K, 3, H, W).

        Images around 0 give variances with fewer digits lost than the same images in 0..1.
        """
        x = _mirrored(warped)
        mean = _mean3(x)
        covariance = _mean3(x * self.padded).sub_(mean * self.mean)
        variance = _mean3(x.square_()).addcmul_(mean, mean, value=-1)
        brightness = mean.add_(_GREY)
        above = (brightness * self.brightness).mul_(2).add_(_C1)
        above.mul_(covariance.mul_(2).add_(_C2))
        below = brightness.square_().add_(self.brightness.square()).add_(_C1)
        below.mul_(variance.add_(self.variance).add_(_C2))
        return above.div_(below).neg_().add_(1).mul_(0.5).clamp_(0, 1)


def _mirrored(image: Tensor) -> Tensor:
    return F.pad(image, (1, 1, 1, 1), mode="reflect")


def _mean3(padded: Tensor) -> Tensor:
    """Mean over 3x3 of an image with one more pixel around."""
    return _window_mean(padded, 3)


def _mean_around(image: Tensor, side: int) -> Tensor:
    """Mean over a square around each pixel; zeros beyond the border count."""
    return _window_mean(F.pad(image, [side // 2] * 4), side)


def _window_mean(image: Tensor, side: int) -> Tensor:
    """Mean over side x side, no padding: rows, then columns, ten times as fast as a pooling."""
    height, width = (size - side + 1 for size in image.shape[-2:])
    if side == 1:
        return image
    rows = image[..., :width] + image[..., 1 : 1 + width]
    for k in range(2, side):
        rows += image[..., k : k + width]
    total = rows[..., :height, :] + rows[..., 1 : 1 + height, :]
    for k in range(2, side):
        total += rows[..., k : k + height, :]
    return total.mul_(1 / side**2)
