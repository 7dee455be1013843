"""Dynamic-multiframe-depth: metric depth from a few frames with known poses, moving objects too.

Li, Gong, Yin and others, "Learning to Fuse Monocular and Multi-view Cues for Multi-frame Depth
Estimation in Dynamic Scenes", CVPR 2023, https://arxiv.org/abs/2304.08993.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from depthzoo.networks.efficientnet import CHANNELS, EfficientNetB5
from depthzoo.networks.multiframe_cost_volume import CostVolume, relative_pose
from depthzoo.networks.multiframe_decoder import MULTIPLE, SCALES, InverseDepthNet
from depthzoo.networks.multiframe_fusion import CrossCueFusion, FusionType
from depthzoo.networks.precision import AutocastModule
from depthzoo.networks.resnet import ResNetEncoder

__all__ = ["DynamicMultiframeDepth", "InverseDepths", "MultiframeOptions"]

BackboneType = Literal["resnet18", "efficientnetb5"]
Trace = Callable[[str, Tensor], None]

_MONO_LIMITS = (1e-3, 80.0)  # metres, of the depth that becomes a volume
_LEVELS = 3  # features in use
_NAME = "Dynamic-multiframe-depth"


class InverseDepths(NamedTuple):
    """Inverse depth (1/m) of both branches, the wanted scales from the finest."""

    multi: tuple[Tensor, ...]
    """The result, (N, 1, H/2^s, W/2^s) each."""
    mono: tuple[Tensor, ...]
    """What the keyframe alone says."""


@dataclass(frozen=True)
class MultiframeOptions:
    """Options of the architecture; defaults as published.

    Parameters
    ----------
    backbone_type : str
        ``resnet18`` or ``efficientnetb5``.
    fusion_type : str
        ``ccf_fusion``, ``mono_guide_multi`` or ``multi_guide_mono``.
    input_size : (int, int)
        Height and width of the images that the network is made for. Beyond a width of 650 the
        fusion reduces once more; other sizes than this may be given all the same.
    inv_depth_min_max : (float, float)
        Inverse depth (1/m) of the nearest and of the farthest hypothesis.
    cv_depth_steps : int
        Hypotheses. The weights are for 32.
    cv_patch_size : int
        Odd side of the patches that are compared.
    use_ssim : int
        Photometric error, see `CostVolume`.
    large_model : bool
        Wider branches.
    """

    backbone_type: BackboneType = "resnet18"
    fusion_type: FusionType = "ccf_fusion"
    input_size: tuple[int, int] = (256, 512)
    inv_depth_min_max: tuple[float, float] = (0.33, 0.0025)
    cv_depth_steps: int = 32
    cv_patch_size: int = 3
    use_ssim: int = 1
    large_model: bool = False

    def __post_init__(self) -> None:
        """Refuse values that the architecture does not have."""
        for name in ("input_size", "inv_depth_min_max"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 2:
                raise ValueError(f"{_NAME}: {name} is two numbers; got {getattr(self, name)}")
        if self.backbone_type not in get_args(BackboneType):
            expected = ", ".join(get_args(BackboneType))
            found = self.backbone_type
            raise ValueError(f"{_NAME}: backbone_type is one of {expected}; got {found!r}")
        near, far = self.inv_depth_min_max
        if not near > far > 0:
            raise ValueError(
                f"{_NAME}: inv_depth_min_max is the inverse of the smallest, then of the largest "
                f"depth, both above 0; got {near}, {far}"
            )
        if self.cv_depth_steps < 2 or self.cv_patch_size < 1 or self.cv_patch_size % 2 == 0:
            raise ValueError(
                f"{_NAME}: cv_depth_steps is at least 2 and cv_patch_size odd; got "
                f"{self.cv_depth_steps} and {self.cv_patch_size}"
            )
        if self.use_ssim not in (0, 1, 2, 3):
            raise ValueError(f"{_NAME}: use_ssim is one of 0, 1, 2, 3; got {self.use_ssim!r}")

    @classmethod
    def of(cls, options: dict[str, Any]) -> MultiframeOptions:
        """Options from a mapping, unknown names refused."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"{_NAME} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        return cls(**options)


class EfficientNetFeatures(nn.Module):
    """EfficientNet-B5 under the prefix ``original_model.``, ImageNet's statistics before it."""

    channels = CHANNELS
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.original_model = EfficientNetB5()
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor, levels: int = _LEVELS) -> list[Tensor]:
        """Features at 1/2, 1/4 and 1/8 of images (N, 3, H, W) in 0..1."""
        features: list[Tensor] = self.original_model((image - self.mean) / self.std, levels)
        return features


class DynamicMultiframeDepth(AutocastModule):
    """The network; the options are those of `MultiframeOptions`.

    Examples
    --------
    >>> import torch
    >>> network = DynamicMultiframeDepth().eval()
    >>> image, pose, matrix = torch.zeros(1, 3, 32, 64), torch.eye(4)[None], torch.eye(4)[None]
    >>> with torch.inference_mode():
    ...     found = network(image, pose, matrix, [image], [pose], [matrix])
    >>> found.multi[0].shape
    torch.Size([1, 1, 32, 64])
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = opts = MultiframeOptions.of(options)
        self.cost_volume = CostVolume(
            opts.inv_depth_min_max, opts.cv_depth_steps, opts.cv_patch_size, opts.use_ssim
        )
        self.fusion_module = CrossCueFusion(
            opts.fusion_type, opts.input_size[1], opts.cv_depth_steps
        )
        resnet = opts.backbone_type == "resnet18"
        self._feature_extractor = ResNetEncoder(18) if resnet else EfficientNetFeatures()
        channels = self._feature_extractor.channels[:_LEVELS]
        fused = self.fusion_module.ways * opts.cv_depth_steps
        limits, large = opts.inv_depth_min_max, opts.large_model
        self.depth_module = InverseDepthNet(fused + 3, channels, limits, large=large)
        self.mono_module = InverseDepthNet(3, channels, limits, large=large)

    def forward(
        self,
        keyframe: Tensor,
        keyframe_pose: Tensor,
        keyframe_intrinsics: Tensor,
        frames: Sequence[Tensor],
        poses: Sequence[Tensor],
        intrinsics: Sequence[Tensor],
        scales: Sequence[int] | None = None,
        at_once: int | None = None,
        trace: Trace | None = None,
    ) -> InverseDepths:
        """Predict the keyframe's inverse depth.

        Parameters
        ----------
        keyframe : Tensor
            (N, 3, H, W) RGB in -0.5..0.5; H and W are multiples of 16.
        keyframe_pose : Tensor
            (N, 4, 4) camera to world, metres.
        keyframe_intrinsics : Tensor
            (N, 4, 4) or (N, 3, 3), pixels of this size.
        frames, poses, intrinsics : sequence of Tensor
            The same of one frame or more; as published those before and after.
        scales : sequence of int, optional
            Some of 0 to 3; the finest in eval mode and all in training when not given.
        at_once : int, optional
            Hypotheses of the cost volume that are warped together: memory for speed.
        trace : callable, optional
            Called with the name and value of intermediate results: ``cost_volume``,
            ``single_frame_cv_{i}``, ``mono_index``, ``fused``, ``attention``, ``mono_expand``,
            ``multi_expand``, ``feat_{i}``, ``cv_bin_depths``.
        """
        self._check(keyframe, frames, poses, intrinsics)
        with torch.autocast(keyframe.device.type, enabled=False):
            volume = self.cost_volume(
                keyframe,
                keyframe_intrinsics,
                frames,
                [relative_pose(keyframe_pose, pose) for pose in poses],
                intrinsics,
                at_once,
                trace,
            )
        if trace is not None:
            trace("cost_volume", volume)
        return self.estimate(keyframe, volume, scales, trace)

    def single(self, keyframe: Tensor) -> Tensor:
        """Predict inverse depth (N, 1, H, W) from the keyframe alone, the mono branch."""
        _check_size(keyframe)
        with self._autocast(keyframe):
            features = self._feature_extractor(keyframe + 0.5, levels=_LEVELS)
            inverse: Tensor = self.mono_module(keyframe, features)[0]
        return inverse.to(keyframe.dtype)

    def estimate(
        self,
        keyframe: Tensor,
        volume: Tensor,
        scales: Sequence[int] | None = None,
        trace: Trace | None = None,
    ) -> InverseDepths:
        """Do the learnt part of `forward`, from the cost volume (N, steps, H, W) on."""
        if scales is None:
            scales = SCALES if self.training else (0,)
        if not scales or not set(scales) <= set(SCALES):
            raise ValueError(f"scales are some of {SCALES}; got {tuple(scales)}")
        # In float32: a rounding that moves a pixel to the next hypothesis shows in the result.
        with torch.autocast(keyframe.device.type, enabled=False):
            features = self._feature_extractor(keyframe + 0.5, levels=_LEVELS)
            mono = self.mono_module(keyframe, features, (0, *(s for s in scales if s)))
        index = self._hypothesis(mono[0].detach())
        steps = torch.arange(self.cost_volume.steps, device=index.device).view(1, -1, 1, 1)
        one_hot = (index == steps).to(keyframe.dtype)
        with self._autocast(keyframe):
            fused = self.fusion_module(one_hot, volume, trace)
            both = torch.cat([fused, keyframe.to(fused.dtype)], 1)
            multi = self.depth_module(both, features, scales)
        if trace is not None:
            for level, feature in enumerate(features):
                trace(f"feat_{level}", feature)
            trace("mono_index", index[:, 0])
            trace("cv_bin_depths", self.cost_volume.depths(keyframe))
        if 0 not in scales:
            mono = mono[1:]
        return InverseDepths(
            tuple(m.to(keyframe.dtype) for m in multi), tuple(m.to(keyframe.dtype) for m in mono)
        )

    def _hypothesis(self, inverse: Tensor) -> Tensor:
        """Index (N, 1, H, W) of the hypothesis whose depth is the nearest; the farther of two."""
        depth = (1 / inverse).clamp(*_MONO_LIMITS)
        places = self.cost_volume.depths(depth)
        middles = (places[1:] + places[:-1]) / 2  # falling, as the hypotheses come nearer
        return (depth < middles.view(1, -1, 1, 1)).sum(1, keepdim=True)

    def _check(
        self,
        keyframe: Tensor,
        frames: Sequence[Tensor],
        poses: Sequence[Tensor],
        intrinsics: Sequence[Tensor],
    ) -> None:
        shapes = {tuple(image.shape) for image in (keyframe, *frames)}
        if len(shapes) > 1 or keyframe.dim() != 4 or keyframe.shape[1] != 3:
            listed = " and ".join(map(str, sorted(shapes)))
            raise ValueError(f"{_NAME} takes images of one shape (N, 3, H, W); got {listed}")
        if not len(frames) == len(poses) == len(intrinsics) > 0:
            raise ValueError(
                f"{_NAME} takes one frame or more beside the keyframe, each with pose and "
                f"intrinsics; got {len(frames)}, {len(poses)} and {len(intrinsics)}"
            )
        _check_size(keyframe)


def _check_size(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < MULTIPLE:
        raise ValueError(f"{_NAME} takes multiples of {MULTIPLE} as size; got {height}x{width}")
