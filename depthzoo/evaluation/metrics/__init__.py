"""Error measures: arrays in (NumPy or torch), numbers out; no files, no models.

>>> depth_metrics([10.0, 22.0], [10.0, 20.0])["abs_rel"]
0.05

Modules: `depth`, `sparse` (inverse depth of sparse lidar), `disparity`, `temporal`, `motion`,
`trajectory`, `regions`. Where a reference's definition has a defect it is kept under its own
name, and the corrected one stands beside it.
"""

from __future__ import annotations

from depthzoo.evaluation.metrics.depth import DEPTH_METRICS, depth_map_metrics, depth_metrics
from depthzoo.evaluation.metrics.disparity import DISPARITY_METRICS, disparity_metrics
from depthzoo.evaluation.metrics.measure import Metric
from depthzoo.evaluation.metrics.table import METRICS, measure, metric, pool

__all__ = [
    "DEPTH_METRICS",
    "DISPARITY_METRICS",
    "METRICS",
    "Metric",
    "depth_map_metrics",
    "depth_metrics",
    "disparity_metrics",
    "measure",
    "metric",
    "pool",
]
