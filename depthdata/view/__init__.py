"""Sequences as pictures: contact sheets, videos, points in space, recordings, colour maps."""

from __future__ import annotations

from depthdata.view.colors import (
    colorize_depth,
    colorize_disparity,
    colorize_flow,
    colorize_instances,
    colorize_mask,
)
from depthdata.view.moments import Moment, moments
from depthdata.view.odometry import odometry_video, panels_video, points_video
from depthdata.view.recording import odometry_recording, recording
from depthdata.view.sheet import contact_sheet
from depthdata.view.video import video

__all__ = [
    "Moment",
    "colorize_depth",
    "colorize_disparity",
    "colorize_flow",
    "colorize_instances",
    "colorize_mask",
    "contact_sheet",
    "moments",
    "odometry_recording",
    "odometry_video",
    "panels_video",
    "points_video",
    "recording",
    "video",
]
