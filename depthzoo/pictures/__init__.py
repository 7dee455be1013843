"""Predictions as pictures: videos, points in space, unified visual odometry, recordings."""

from __future__ import annotations

from depthzoo.pictures.predicted import KINDS, draw_prediction, predicted_moments

__all__ = ["KINDS", "draw_prediction", "predicted_moments"]
