"""Writing frame annotations of Dynamic Replica; see `depthdata.codecs.frame_annotations`."""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from depthdata.codecs.frame_annotations import FrameAnnotation

__all__ = ["PATHS", "AnnotationWriter", "frame_object", "usual_path"]

PATHS = {
    "image": "images/{name}.png",
    "depth": "depths/{name}.geometric.png",
    "mask": "masks/{name}.png",
    "instances": "instance_id_maps/{name}.pkl",
    "flow_forward": "flow_forward/{name}.png",
    "flow_forward_mask": "flow_forward_mask/{name}.png",
    "flow_backward": "flow_backward/{name}.png",
    "flow_backward_mask": "flow_backward_mask/{name}.png",
    "trajectories": "trajectories/{number:06d}.pth",
}
"""Where the files of a field usually lie in the folder of a view (as other users' code has it)."""


def usual_path(field: str, sequence: str, camera: str, number: int) -> str:
    """Return the path of a file relative to the annotation.

    >>> usual_path("depth", "e0ff8f-3_obj", "left", 7)
    'e0ff8f-3_obj_left/depths/e0ff8f-3_obj_left-0007.geometric.png'
    """
    folder = f"{sequence}_{camera}"
    return f"{folder}/" + PATHS[field].format(name=f"{folder}-{number:04d}", number=number)


def frame_object(frame: FrameAnnotation) -> dict[str, Any]:
    """Return the JSON object of a frame; `parse_frame` gives the frame again."""

    def at(path: str | None) -> dict[str, Any] | None:
        return None if path is None else {"path": path}

    return {
        "sequence_name": frame.sequence,
        "frame_number": frame.number,
        "frame_timestamp": frame.seconds,
        "image": {"path": frame.image, "size": None if frame.size is None else list(frame.size)},
        "depth": None
        if frame.depth is None
        else {"path": frame.depth, "scale_adjustment": 1.0, "mask_path": None},
        "mask": None if frame.mask is None else {"path": frame.mask, "mass": None},
        "viewpoint": {
            "R": [list(row) for row in frame.R],
            "T": list(frame.T),
            "focal_length": list(frame.focal_length),
            "principal_point": list(frame.principal_point),
            "intrinsics_format": frame.intrinsics_format,
        },
        "meta": None,
        "camera_name": frame.camera,
        "instance_id_map_path": at(frame.instances),
        "flow_forward": at(frame.flow_forward),
        "flow_forward_mask": at(frame.flow_forward_mask),
        "flow_backward": at(frame.flow_backward),
        "flow_backward_mask": at(frame.flow_backward_mask),
        "trajectories": at(frame.trajectories),
    }


class AnnotationWriter:
    """A ``.jgz`` file that frame objects are added to, one at a time.

    The same objects give the same bytes.

    Examples
    --------
    >>> import tempfile
    >>> from depthdata.codecs.frame_annotations import annotated_objects
    >>> path = Path(tempfile.mkdtemp()) / "frame_annotations_test.jgz"
    >>> with AnnotationWriter(path) as annotations:
    ...     annotations.add({"frame_number": 0})
    >>> [item.text for item in annotated_objects(path)]
    ['{"frame_number": 0}']
    """

    def __init__(self, path: str | Path) -> None:
        with ExitStack() as stack:
            raw = stack.enter_context(Path(path).open("wb"))
            file = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0)
            self._file = stack.enter_context(file)
            self._stack = stack.pop_all()
        self._before = b"["

    def add(self, frame: dict[str, Any]) -> None:
        """Append a frame object."""
        self._file.write(self._before + json.dumps(frame, allow_nan=False).encode())
        self._before = b", "

    def __enter__(self) -> AnnotationWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the end of the list and close the file."""
        with self._stack:
            self._file.write(b"]" if self._before != b"[" else b"[]")
