"""Evaluation: metrics (pure), protocols (data), runner, results, HTML report.

Names load on first use, so that a command can name a protocol without importing OpenCV.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthzoo.evaluation.protocols import Protocol as Protocol
    from depthzoo.evaluation.protocols import get_protocol as get_protocol
    from depthzoo.evaluation.protocols import list_protocols as list_protocols
    from depthzoo.evaluation.results import Report as Report
    from depthzoo.evaluation.runner import evaluate as evaluate
    from depthzoo.evaluation.saved import evaluate_saved as evaluate_saved
    from depthzoo.evaluation.stored import StoredPredictions as StoredPredictions

_HOME = {
    "Protocol": "protocols",
    "Report": "results",
    "StoredPredictions": "stored",
    "evaluate": "runner",
    "evaluate_saved": "saved",
    "get_protocol": "protocols",
    "list_protocols": "protocols",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'depthzoo.evaluation' has no attribute {name!r}")
    value = getattr(import_module(f"depthzoo.evaluation.{_HOME[name]}"), name)
    globals()[name] = value
    return value
