"""A procedural street scene with exact truth, and writers of it.

>>> from depthdata.synthetic import SyntheticScene
>>> scene = SyntheticScene(seed=3, frames=2, height=24, width=80)
>>> sorted(scene.cameras)
['gray_left', 'gray_right', 'left', 'right']
"""

from __future__ import annotations

from depthdata.synthetic.actors import SEMANTIC_CLASSES
from depthdata.synthetic.export import write_sequence
from depthdata.synthetic.frame import Frame
from depthdata.synthetic.layouts import LAYOUTS, write_raw
from depthdata.synthetic.scene import SyntheticScene
from depthdata.synthetic.truth import Boxes, TrackSet

__all__ = [
    "LAYOUTS",
    "SEMANTIC_CLASSES",
    "Boxes",
    "Frame",
    "SyntheticScene",
    "TrackSet",
    "write_raw",
    "write_sequence",
]
