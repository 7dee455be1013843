"""How numbers are written on pages and in tables."""

from __future__ import annotations

import math
from typing import Any

from depthzoo.evaluation.measures import MEASURES, Measure

__all__ = ["about", "as_number", "axis", "better", "heading", "percent", "signed", "text"]


def about(name: str) -> Measure:
    """Return the facts about a measure; of an unknown one (of a later version) only its name."""
    return MEASURES.get(name) or Measure(name, name.replace("_", " "), "", None, "")


def as_number(value: Any) -> float:
    """Return a number of a result; null is NaN.

    >>> as_number(None)
    nan
    """
    return float(value) if isinstance(value, int | float) else float("nan")


def text(name: str, value: Any) -> str:
    """Return a value with digits that suit its unit and size; "-" where there is none.

    >>> text("abs_rel", 0.11234), text("d1_all", 4.567), text("rmse", None)
    ('0.1123', '4.57', '-')
    """
    number = as_number(value)
    if not math.isfinite(number):
        return "-"
    if about(name).unit == "%":
        return f"{number:.2f}"
    return f"{number:.4f}" if abs(number) <= 1 else f"{number:.3f}"


def signed(name: str, value: Any) -> str:
    """Return a difference with its sign, "±0" where the digits shown are zero.

    >>> signed("abs_rel", 0.01), signed("abs_rel", -1e-9)
    ('+0.0100', '±0')
    """
    shown = text(name, value)
    if shown == "-":
        return shown
    if not float(shown):
        return "±0"
    return shown if shown.startswith("-") else f"+{shown}"


def percent(share: Any) -> str:
    """Return a share as percent, "-" where there is none.

    >>> percent(0.9649)
    '96.5 %'
    """
    number = as_number(share)
    return f"{100 * number:.1f} %" if math.isfinite(number) else "-"


def heading(name: str) -> str:
    """Return the title of a measure with its unit.

    >>> heading("rmse")
    'RMSE [m]'
    """
    one = about(name)
    return f"{one.title} [{one.unit}]" if one.unit else one.title


def better(name: str, first: float, second: float) -> bool:
    """Tell whether the first value is better than the second; no if the measure has no direction.

    >>> better("abs_rel", 0.1, 0.2), better("a1", 0.1, 0.2), better("speed", 1.0, 2.0)
    (True, False, False)
    """
    lower = about(name).lower_is_better
    if lower is None or not (math.isfinite(first) and math.isfinite(second)):
        return False
    return first < second if lower else first > second


def axis(name: str) -> str:
    """Return the label of an axis that shows a measure.

    >>> axis("epe"), axis("abs_rel")
    ('EPE (px)', 'Abs Rel')
    """
    one = about(name)
    return f"{one.title} ({one.unit})" if one.unit else one.title
