"""Evaluation protocols: named, versioned data that says everything which changes a number.

>>> get_protocol("kitti_raw/eigen").id
'kitti_raw/eigen@1'

A protocol is a `Protocol` in one of the modules beside this one; a new one is a new entry there.
"""

from __future__ import annotations

from depthdata.errors import UsageError
from depthzoo.evaluation.protocols.depth import PROTOCOLS as _DEPTH
from depthzoo.evaluation.protocols.dynamo_depth import PROTOCOLS as _DYNAMO_DEPTH
from depthzoo.evaluation.protocols.motion import PROTOCOLS as _MOTION
from depthzoo.evaluation.protocols.multiframe import PROTOCOLS as _MULTIFRAME
from depthzoo.evaluation.protocols.odometry import PROTOCOLS as _ODOMETRY
from depthzoo.evaluation.protocols.protocol import KINDS, Kind, Protocol, Published, Range
from depthzoo.evaluation.protocols.stereo import PROTOCOLS as _STEREO
from depthzoo.evaluation.protocols.video import PROTOCOLS as _VIDEO

__all__ = ["KINDS", "Kind", "Protocol", "Published", "Range", "get_protocol", "list_protocols"]

_ALL: tuple[Protocol, ...] = (
    *(*_DEPTH, *_STEREO, *_VIDEO),
    *(*_MULTIFRAME, *_DYNAMO_DEPTH, *_ODOMETRY, *_MOTION),
)
_BY_ID = {protocol.id: protocol for protocol in _ALL}


def list_protocols(kind: str | None = None) -> tuple[str, ...]:
    """Return the ids of all protocols, or of those of a kind."""
    return tuple(name for name, p in _BY_ID.items() if kind in (None, p.kind))


def get_protocol(name: str | Protocol) -> Protocol:
    """Return a protocol by its id; without ``@version`` the newest one.

    Parameters
    ----------
    name : str or Protocol
        Such as ``"kitti_raw/eigen@1"`` or ``"kitti_raw/eigen"``.
    """
    if isinstance(name, Protocol):
        return name
    if name in _BY_ID:
        return _BY_ID[name]
    same = [p for p in _BY_ID.values() if p.id.replace(f"@{_version(p.id)}", "") == name]
    if not same:
        raise UsageError(f"no protocol {name!r}; there are {', '.join(_BY_ID)}")
    return max(same, key=lambda p: _version(p.id))


def _version(identifier: str) -> int:
    return int(identifier.partition("@")[2].partition("/")[0])
