"""PyTorch datasets of sequence files: windows, batches, transforms."""

from __future__ import annotations

from depthdata.loading.batch import collate
from depthdata.loading.colors import ColorJitter
from depthdata.loading.dataset import SequenceDataset
from depthdata.loading.dynamo_depth import DynamoDepthDataset
from depthdata.loading.insta_dm import InstaDMDataset
from depthdata.loading.monorec import MonoRecDataset
from depthdata.loading.transforms import (
    CenterCrop,
    Compose,
    HorizontalFlip,
    RandomCrop,
    Resize,
    transform_batch,
)
from depthdata.loading.undistort import Undistort
from depthdata.loading.window import Window

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "DynamoDepthDataset",
    "HorizontalFlip",
    "InstaDMDataset",
    "MonoRecDataset",
    "RandomCrop",
    "Resize",
    "SequenceDataset",
    "Undistort",
    "Window",
    "collate",
    "transform_batch",
]
