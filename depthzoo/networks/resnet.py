"""ResNet features at five sizes, the keys those of torchvision, for one image or several stacked.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385 (the strides of torchvision: in the 3x3 convolutions).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depthzoo.networks.encoder import initialise

__all__ = ["LEVELS", "ResNet", "ResNetEncoder"]

LEVELS = 5
"""Features that a `ResNet` gives, from 1/2 to 1/32 of the image's size."""

# layers -> blocks of each stage, and whether these are bottlenecks
_BLOCKS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
_WIDTHS = (64, 128, 256, 512)
_CLASSES = 1000


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is projected where size or width change."""

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(c_in, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(c_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, width, H/stride, W/stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return y.relu_()  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, beside a shortcut."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * self.expansion
        self.conv1 = _conv(c_in, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, wide, 1)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = _projection(c_in, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, 4 * width, H/stride, W/stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return y.relu_()  # type: ignore[no-any-return]


def _projection(c_in: int, c_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and c_in == c_out:
        return None
    return nn.Sequential(_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))


class ResNet(nn.Module):
    """The trunk, and the classifier that the files hold although features never pass it.

    Parameters
    ----------
    layers : int
        18, 34, 50, 101 or 152.
    images : int
        RGB images that are stacked along the channels of the input.
    classifier : bool
        Keep ``fc``, which is in published files and is not used.

    Attributes
    ----------
    channels : tuple of int
        Of the features, from the finest to the coarsest.

    Examples
    --------
    >>> import torch
    >>> network = ResNet(18).eval()
    >>> with torch.inference_mode():
    ...     features = network(torch.zeros(1, 3, 64, 96))
    >>> [tuple(f.shape[1:]) for f in features[::2]]
    [(64, 32, 48), (128, 8, 12), (512, 2, 3)]
    """

    def __init__(self, layers: int = 18, *, images: int = 1, classifier: bool = True) -> None:
        super().__init__()
        if layers not in _BLOCKS:
            raise ValueError(
                f"ResNet: layers is one of {', '.join(map(str, _BLOCKS))}; got {layers}"
            )
        if images < 1:
            raise ValueError(f"ResNet: images is at least 1; got {images}")
        counts, bottlenecks = _BLOCKS[layers]
        block = Bottleneck if bottlenecks else BasicBlock
        self.channels = (64, *(width * block.expansion for width in _WIDTHS))
        self.conv1 = nn.Conv2d(3 * images, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        def stage(index: int) -> nn.Sequential:
            width, stride = _WIDTHS[index], 1 if index == 0 else 2
            first = block(self.channels[index], width, stride)
            wide = width * block.expansion
            return nn.Sequential(first, *(block(wide, width, 1) for _ in range(counts[index] - 1)))

        self.layer1, self.layer2, self.layer3, self.layer4 = map(stage, range(4))
        if classifier:
            self.fc = nn.Linear(self.channels[-1], _CLASSES)
        initialise(self)

    def forward(self, x: Tensor, levels: int = LEVELS) -> list[Tensor]:
        """Map (N, 3 * images, H, W) to the finest `levels` features, sizes 1/2, 1/4, ... 1/32."""
        features = [self.bn1(self.conv1(x)).relu_()]
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        for index, stage in enumerate(stages[: levels - 1]):
            below = features[-1]
            features.append(stage(self.maxpool(below) if index == 0 else below))
        return features


class ResNetEncoder(nn.Module):
    """A `ResNet` under the prefix ``encoder.``, after one shift and scale of all channels.

    Parameters
    ----------
    layers, images, classifier
        As for `ResNet`.
    mean, scale : float
        The input becomes ``(x - mean) / scale``; Monodepth2 and what came of it use these for
        images in 0..1.
    """

    def __init__(
        self,
        layers: int = 18,
        *,
        images: int = 1,
        classifier: bool = True,
        mean: float = 0.45,
        scale: float = 0.225,
    ) -> None:
        super().__init__()
        self.encoder = ResNet(layers, images=images, classifier=classifier)
        self.mean, self.scale = mean, scale

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the features, from the finest to the coarsest."""
        return self.encoder.channels

    def forward(self, *images: Tensor, levels: int = LEVELS) -> list[Tensor]:
        """Features of images (N, 3, H, W), which are stacked in this order."""
        x = images[0] if len(images) == 1 else torch.cat(images, 1)
        if (self.mean, self.scale) != (0.0, 1.0):
            x = (x - self.mean) / self.scale
        features: list[Tensor] = self.encoder(x, levels)
        return features
