"""Published depth models on any sequence: predictions and numbers through one call.

>>> import depthzoo
>>> "sgbm" in depthzoo.list_models()
True

Names load on first use (PEP 562), so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from depthdata._version import __version__

if TYPE_CHECKING:
    from depthzoo import networks
    from depthzoo.evaluation.runner import evaluate
    from depthzoo.models import Card, Model, Needs, list_models, load, model_card
    from depthzoo.models.downloads import download
    from depthzoo.parity import run_parity
    from depthzoo.prediction import Prediction
    from depthzoo.weights import load_checkpoint, load_state

__all__ = [
    "__version__",
    "Card",
    "Model",
    "Needs",
    "Prediction",
    "download",
    "evaluate",
    "list_models",
    "load",
    "load_checkpoint",
    "load_state",
    "model_card",
    "networks",
    "run_parity",
]

_HOME = {
    "Card": "depthzoo.models",
    "Model": "depthzoo.models",
    "Needs": "depthzoo.models",
    "Prediction": "depthzoo.prediction",
    "download": "depthzoo.models.downloads",
    "evaluate": "depthzoo.evaluation.runner",
    "list_models": "depthzoo.models",
    "load": "depthzoo.models",
    "load_checkpoint": "depthzoo.weights",
    "load_state": "depthzoo.weights",
    "model_card": "depthzoo.models",
    "run_parity": "depthzoo.parity",
}
_SUBMODULES = ("networks",)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = import_module(f"depthzoo.{name}")
    else:
        raise AttributeError(f"module 'depthzoo' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
