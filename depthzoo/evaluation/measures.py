"""What every measure of a result is: title, unit, which way is better.

Measures of pixels live in `depthzoo.evaluation.metrics`; here stand beside them those of videos,
paths and masks, so that reports and tables know all by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics import METRICS

__all__ = ["MEASURES", "Measure", "measure_named"]


@dataclass(frozen=True)
class Measure:
    """Facts about a measure.

    Parameters
    ----------
    name : str
        Key in results.
    title : str
        What a reader of a report sees.
    unit : str
        ``""`` for ratios, ``"m"``, ``"px"``, ``"%"`` ...
    lower_is_better : bool or None
        None: neither (a threshold, a speed).
    source : str
        Who defined it.
    """

    name: str
    title: str
    unit: str
    lower_is_better: bool | None
    source: str


_DS = "DynamicStereo (Karaev et al. 2023)"
_DYNAMO = "Dynamo-Depth (Sun and Hariharan 2023)"
_KITTI = "KITTI odometry development kit (Geiger et al. 2012)"
_STURM = "Sturm et al. 2012"
_USUAL = "usual definition, from pooled counts"

MEASURES: Mapping[str, Measure] = {
    **{m.name: Measure(m.name, m.title, m.unit, m.lower_is_better, m.source)
       for m in METRICS.values()},
    **{
        m.name: m
        for m in [
            Measure("tepe", "TEPE", "px", True, _DS),
            *(Measure(f"temp_bad_{k}", f"temporal bad {k}", "%", True, _DS)
              for k in (0.5, 1, 2, 3)),
            Measure("ate_sfm", "ATE (SfMLearner)", "m", True, f"SfMLearner, as in {_DYNAMO}"),
            Measure("ate", "ATE", "m", True, _STURM),
            Measure("speed", "speed", "m/frame", None, _DYNAMO),
            Measure("rpe_translation", "RPE", "m", True, _STURM),
            Measure("rpe_rotation", "RPE rotation", "°", True, _STURM),
            Measure("t_rel", "t_rel", "%", True, _KITTI),
            Measure("r_rel", "r_rel", "°/100 m", True, _KITTI),
            Measure("f1", "F1", "", False, _USUAL),
            Measure("precision", "precision", "", False, _USUAL),
            Measure("recall", "recall", "", False, _USUAL),
            Measure("iou", "IoU", "", False, _USUAL),
            Measure("threshold", "at threshold", "", None, _DYNAMO),
        ]
    },
}  # fmt: skip
"""All measures by name."""


def measure_named(name: str) -> Measure:
    """Return the facts about a measure.

    >>> measure_named("t_rel").unit
    '%'
    """
    if name not in MEASURES:
        raise UsageError(f"no measure {name!r}; there are {', '.join(MEASURES)}")
    return MEASURES[name]
