"""Wrong record files of Waymo: one clear line, nothing half-written, memory that stays flat."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

import depthdata as dd
from depthdata.codecs.crc32c import masked_crc32c
from depthdata.codecs.images import encode_png
from depthdata.codecs.protobuf_writer import blob, double, integer, text
from depthdata.codecs.tfrecord import frame_record
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.layouts.waymo_content import Context, Moment
from depthdata.synthetic.layouts.waymo_messages import context_message, frame_message
from depthdata.synthetic.layouts.waymo_scene import WaymoDrive

Segment = tuple[Context, list[Moment]]


@pytest.fixture(scope="module")
def segment() -> Segment:
    scene = SyntheticScene(seed=2, frames=2, width=64, objects=2)
    drive = WaymoDrive(scene, top=(8, 40), near=(8, 30))
    return drive.context, list(drive)


def payloads(segment: Segment) -> list[bytes]:
    context, moments = segment
    return [frame_message(context_message(context), context.name, moment) for moment in moments]


def failure(records: list[bytes], folder: Path) -> str:
    """Convert a file of framed records; return the one line."""
    root = folder / "raw"
    root.mkdir()
    (root / "segment-wrong_with_camera_labels.tfrecord").write_bytes(b"".join(records))
    (result,) = dd.convert("waymo", root, folder / "out", jobs=1).results
    assert result.status == "failed"
    assert "segment-wrong_with_camera_labels.tfrecord" in result.message
    assert "\n" not in result.message
    assert len(result.message) < 400
    assert not list((folder / "out").glob("*.h5*"))
    return result.message


def with_moment(segment: Segment, **changes: object) -> list[bytes]:
    context, moments = segment
    return payloads((context, [moments[0], dataclasses.replace(moments[1], **changes)]))


def with_top(segment: Segment, **changes: object) -> list[bytes]:
    sweeps = dict(segment[1][1].sweeps)
    return with_moment(segment, sweeps={**sweeps, 1: dataclasses.replace(sweeps[1], **changes)})


def with_front(segment: Segment, **changes: object) -> list[bytes]:
    context, moments = segment
    front = dataclasses.replace(moments[0].pictures[1], **changes)
    first = dataclasses.replace(moments[0], pictures={**moments[0].pictures, 1: front})
    return payloads((context, [first, moments[1]]))


def fewer_beams(segment: Segment) -> list[bytes]:
    context, moments = segment
    lasers = [
        laser._replace(inclinations=laser.inclinations[1:]) if laser.name == 1 else laser
        for laser in context.lasers
    ]
    return payloads((dataclasses.replace(context, lasers=tuple(lasers)), moments))


def no_calibration(segment: Segment) -> list[bytes]:
    context, moments = segment
    cameras = tuple(camera for camera in context.cameras if camera.name != 3)
    return payloads((dataclasses.replace(context, cameras=cameras), moments))


def of_two_segments(segment: Segment) -> list[bytes]:
    other = (dataclasses.replace(segment[0], name="other"), segment[1])
    return [payloads(segment)[0], payloads(other)[1]]


def small_jpeg() -> bytes:
    return simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))


MOTION = double(1, 0.1) + double(1, 0.2) + text(5, "scenario") + blob(2, integer(1, 7))

WRONG: dict[str, tuple[Callable[[Segment], list[bytes]], str]] = {
    "other proto": (lambda s: [MOTION], "field 1 should have wire type 2"),
    "tf.Example": (
        lambda s: [blob(1, blob(1, text(1, "key")))],
        "expected a 4x4 matrix, found 0 numbers",
    ),
    "noise": (lambda s: [bytes(range(250, 200, -1))], "damaged"),
    "no context": (lambda s: [integer(2, 5)], "no frame of perception v1"),
    "two segments": (of_two_segments, "a file holds one segment"),
    "back in time": (lambda s: payloads(s)[::-1], "not later than the one before"),
    "no calibration": (no_calibration, "an image of camera 3 without its calibration"),
    "fewer beams": (fewer_beams, "7 beam inclinations for 8 rows"),
    "small poses": (
        lambda s: with_top(s, poses=s[1][1].sweeps[1].poses[:, 1:]),
        "expected poses (8, 40, 6), found (8, 39, 6)",
    ),
    "small projections": (
        lambda s: with_top(
            s,
            echoes=(
                dataclasses.replace(s[1][1].sweeps[1].echoes[0], projection=np.zeros((8, 40, 3))),
                s[1][1].sweeps[1].echoes[1],
            ),
        ),
        "expected projections (8, 40, 6), found (8, 40, 3)",
    ),
    "small picture": (lambda s: with_front(s, jpeg=small_jpeg()), "expected an image of"),
    "no picture": (lambda s: with_front(s, jpeg=b"JFIF"), "frame 0"),
    "small label": (
        lambda s: with_front(s, panoptic=encode_png(np.zeros((8, 8), np.uint16))),
        "the panoptic label of front should be (44, 64), found (8, 8)",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_records(kind: str, segment: Segment, tmp_path: Path) -> None:
    spoil, message = WRONG[kind]
    assert message in failure([frame_record(p) for p in spoil(segment)], tmp_path)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (3, "record 0 at byte 0: the checksum of its length"),
        (8, "record 0 at byte 0: the checksum of its length"),
        (500, "record 0 at byte 0: the checksum of its payload"),
        (-1, "the checksum of its payload does not match; download the file again"),
    ],
)
def test_one_flipped_bit(place: int, message: str, segment: Segment, tmp_path: Path) -> None:
    data = bytearray(b"".join(map(frame_record, payloads(segment))))
    data[place] ^= 4
    assert message in failure([bytes(data)], tmp_path)


@pytest.mark.parametrize("missing", [1, 4, 5, 1000])
def test_cut_record(missing: int, segment: Segment, tmp_path: Path) -> None:
    data = b"".join(map(frame_record, payloads(segment)))
    message = failure([data[:-missing]], tmp_path)
    assert "cut in record 1" in message
    assert "download it again" in message


def test_a_record_that_claims_to_be_huge(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    header = length + struct.pack("<I", masked_crc32c(length))
    assert "cut in record 0" in failure([header, b"x" * 100], tmp_path)


def test_a_zlib_bomb_stays_small(segment: Segment, tmp_path: Path) -> None:
    """What inflates to a gigabyte is refused after 32 MB."""
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 24)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(64)), packer.flush()])
    assert len(bomb) < 2 << 20
    laser = integer(1, 1) + blob(2, blob(2, bomb))
    context, moments = segment
    bare = dataclasses.replace(moments[0], sweeps={})
    payload = payloads((context, [bare]))[0] + blob(5, laser)
    tracemalloc.start()
    message = failure([frame_record(payload)], tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "above" in message
    assert peak < 100e6
