"""Sequences as pictures: contact sheets, videos, colour maps."""

from __future__ import annotations

from depthdata.view.colors import (
    colorize_depth,
    colorize_disparity,
    colorize_flow,
    colorize_instances,
    colorize_mask,
)
from depthdata.view.sheet import contact_sheet
from depthdata.view.video import video

__all__ = [
    "colorize_depth",
    "colorize_disparity",
    "colorize_flow",
    "colorize_instances",
    "colorize_mask",
    "contact_sheet",
    "video",
]
