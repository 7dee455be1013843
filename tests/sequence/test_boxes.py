"""2-D boxes of a camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import SequenceWriter, open_sequence, verify

FRAME, ID = [0, 0, 2], [4, 5, 4]
RECTANGLE = np.array([[3.5, 2, 1, 2], [1, 1, 0.5, 0.5], [3, 2, 1, 2]])


def write(path: Path, camera: str = "left", **changed: object) -> None:
    with SequenceWriter(path, dataset="d", sequence="s") as writer:
        writer.timeline(np.arange(3), list("abc"))
        target = writer.camera("left", height=4, width=4, intrinsics=np.eye(3))
        target.dense("depth", np.ones((3, 4, 4), np.float32))
        columns = {"frame": FRAME, "id": ID, "rectangle": RECTANGLE, **changed}
        writer.boxes(camera, category=["car", "cyclist", "car"], **columns)


def test_boxes_by_camera_and_frame(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    assert verify(tmp_path / "x.h5").ok
    with open_sequence(tmp_path / "x.h5") as sequence:
        assert list(sequence.boxes) == ["left"]
        boxes = sequence.boxes["left"]
        np.testing.assert_array_equal(boxes.rectangle, RECTANGLE)
        assert boxes.category.tolist() == ["car", "cyclist", "car"]
        assert boxes.at(2).id.tolist() == [4]
        assert len(boxes.at(1)) == 0
        with pytest.raises(KeyError):
            sequence.boxes["right"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frame": [0, 1, 3]}, "within 0 to 2"),
        ({"id": [1]}, "id: expected"),
        ({"rectangle": RECTANGLE[:2]}, "rectangle: expected"),
        ({"camera": "right"}, "a camera of this file"),
    ],
)
def test_wrong_boxes_leave_nothing(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write(tmp_path / "x.h5", **changed)
    assert list(tmp_path.iterdir()) == []
