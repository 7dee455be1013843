"""A sequence file is complete or absent, and the same bytes for the same input."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from depthdata.codecs.images import encode_png
from depthdata.errors import FormatError, UsageError
from depthdata.sequence import Points, SequenceWriter, open_sequence, spool, stale_parts, verify
from depthdata.sequence.target import Target

HOST = re.sub(r"[^A-Za-z0-9.]", "_", os.uname().nodename)
ROOT = Path(__file__).resolve().parents[2]
JPEG = bytes.fromhex("ffd8 ffc0 0011 08 0002 0003 03 012200 021101 031101 ffd9")


@pytest.mark.parametrize("profile", ["default", "portable"])
def test_same_input_gives_the_same_bytes_in_another_process(tmp_path: Path, profile: str) -> None:
    made = []
    for seed, folder in enumerate(("one", "two/deeper")):
        path = tmp_path / folder / "clip.h5"
        path.parent.mkdir(parents=True)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
        script = str(Path(__file__).with_name("conftest.py"))
        subprocess.run([sys.executable, script, path, profile], env=environment, check=True)
        made.append(path.read_bytes())
        time.sleep(1.1 if seed == 0 else 0)  # HDF5's own times count seconds
    assert made[0] == made[1]


def test_nothing_of_this_machine_is_in_the_file(
    tmp_path: Path, clip_writer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a-host-of-this-name")
    clip_writer(tmp_path / "clip.h5")
    data = (tmp_path / "clip.h5").read_bytes()
    assert str(tmp_path).encode() not in data
    assert b".part-" not in data
    assert b"host" not in data


def _writer(folder: Path, **facts: Any) -> SequenceWriter:
    return SequenceWriter(folder / "s.h5", dataset="d", sequence="s", **facts)


def _camera(writer: SequenceWriter, frames: int = 2) -> Any:
    writer.timeline(np.arange(frames), [str(t) for t in range(frames)])
    return writer.camera("left", height=2, width=3, intrinsics=np.eye(3))


def test_while_writing_there_is_only_a_part(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        _camera(writer)
        (part,) = tmp_path.iterdir()
        assert part.name == f"s.h5.part-{HOST}-{os.getpid()}"
        with pytest.raises(UsageError, match="being written by this process"), _writer(tmp_path):
            pass
        assert part.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_an_exception_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    with pytest.raises(KeyboardInterrupt), _writer(tmp_path) as writer:
        camera = _camera(writer)
        points = Points(kind="pixel", row=_u2(1), col=_u2(1), value=np.float32([2]))
        camera.points("depth", [points, points])
        assert len(list(tmp_path.iterdir())) == 4  # the part and three columns beside it
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_points_that_waited_on_disk_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Points(kind="pixel", row=_u2(k), col=_u2(k), value=np.float32([k])) for k in (3, 5)]
    files = []
    for budget in (1 << 20, 8, 0):  # none, the first, each frame goes to disk
        folder = tmp_path / str(budget)
        folder.mkdir()
        monkeypatch.setattr(spool, "IN_MEMORY", budget)
        with _writer(folder) as writer:
            _camera(writer).points("depth", frames)
        (path,) = folder.iterdir()
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_streams_share_what_may_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 20)
    point = Points(kind="pixel", row=_u2(1), col=_u2(1), value=np.float32([2]))  # 8 bytes
    with _writer(tmp_path) as writer:
        camera = _camera(writer)
        sinks = [camera.open_points(name) for name in ("depth", "depth_return2")]
        for sink, files in zip([*sinks, *sinks], (1, 1, 4, 4), strict=True):
            sink.add(point)  # at 24 bytes the one that adds gives way: three columns
            assert len(list(tmp_path.iterdir())) == files
    assert len(list(tmp_path.iterdir())) == 1


def _u2(*values: int) -> Any:
    return np.array(values, np.uint16)


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    with _writer(tmp_path, converter="1") as writer:
        _camera(writer)
    with pytest.raises(ZeroDivisionError), _writer(tmp_path, converter="2") as writer:
        _camera(writer)
        raise ZeroDivisionError
    assert open_sequence(tmp_path / "s.h5").converter == "1"
    with _writer(tmp_path, converter="2") as writer:
        _camera(writer)
    assert open_sequence(tmp_path / "s.h5").converter == "2"


def test_a_file_that_the_disk_spoiled_is_not_committed(tmp_path: Path, monkeypatch: Any) -> None:
    finish = Target.finish

    def spoil(target: Target) -> None:
        finish(target)
        place = target.index.blocks["cameras/left/rgb/data"].offset
        with target.path.open("r+b") as file:
            file.seek(place + 9)
            file.write(b"?")

    monkeypatch.setattr(Target, "finish", spoil)
    blob = encode_png(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(FormatError, match="left/rgb, frame 0"), _writer(tmp_path) as writer:
        _camera(writer).encoded("rgb", [blob, blob], [len(blob)] * 2, encoding="png")
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_a_part_that_nothing_opens(tmp_path: Path) -> None:
    """SIGKILL at random moments: a final file is whole, a part is refused by us and by h5py."""
    script = str(Path(__file__).with_name("conftest.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    loop = (
        "import runpy, sys, pathlib; clip = runpy.run_path(sys.argv[1])\n"
        "print(flush=True)\n"
        "while True: clip['write_clip'](pathlib.Path(sys.argv[2]))"
    )
    dice, parts = random.Random(3), 0
    for trial in range(6):
        folder = tmp_path / str(trial)
        folder.mkdir()
        command = [sys.executable, "-c", loop, script, str(folder / "s.h5")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while process.poll() is None and not list(folder.glob("*.part-*")):
                pass
            time.sleep(dice.random() * 0.015)
            process.send_signal(signal.SIGKILL)
            process.wait()
        for path in folder.iterdir():
            if path.name != "s.h5":
                parts += 1
                assert path in stale_parts(folder)
            if ".cameras." in path.name:  # a column of points beside the part
                continue
            if path.name == "s.h5" or any(path.read_bytes()[:512]):
                assert verify(path).ok  # the part of a killed commit may lack only its name
            else:
                with pytest.raises(FormatError, match=r"incomplete|truncated"):
                    open_sequence(path)
    assert parts


def test_h5py_refuses_the_part_of_a_killed_writer(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np; from depthdata.sequence import SequenceWriter\n"
        "with SequenceWriter(sys.argv[1], dataset='d', sequence='s') as writer:\n"
        "    writer.timeline([0], ['a'])\n"
        "    camera = writer.camera('left', height=50, width=60, intrinsics=np.eye(3))\n"
        "    camera.dense('depth', [np.ones((50, 60))])\n"
        "    writer._target.file.flush()\n"
        "    os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "s.h5")]
    assert subprocess.run(command, env=environment, check=False).returncode == 9
    (part,) = tmp_path.iterdir()
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(part, "r", locking=False)
    with pytest.raises(FormatError, match="incomplete"):
        open_sequence(part)


def test_stale_parts_are_those_of_dead_processes_of_this_machine(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    names = {
        f"s.h5.part-{HOST}-{dead.pid}": True,
        f"s.h5.part-{HOST}-{dead.pid}.cameras.left.depth.x": True,
        f"s.h5.part-{HOST}-{os.getpid()}": False,
        f"s.h5.part-elsewhere-{dead.pid}": False,
        "s.h5": False,
    }
    for name in names:
        (tmp_path / name).touch()
    stale = {path.name for path in stale_parts(tmp_path)}
    assert stale == {name for name, expected in names.items() if expected}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    png = encode_png(np.zeros((2, 3, 3), np.uint8))
    grey = encode_png(np.zeros((2, 3), np.uint8))
    wide = encode_png(np.zeros((2, 4, 3), np.uint8))
    size = [len(png)] * 2
    one, big = np.ones((2, 3), np.float32), np.full((2, 3), 256, np.uint16)
    point = Points(kind="pixel", row=_u2(1), col=_u2(1), value=np.float32([2]))
    real = Points(kind="subpixel", x=np.ones(1), y=np.ones(1), value=np.ones(1))
    cases: list[tuple[str, Any]] = [
        ("quantity must never meet JPEG", lambda c: c.encoded("depth", [], [], encoding="jpeg")),
        ("expected 2 sizes", lambda c: c.encoded("rgb", [png], [9], encoding="png")),
        (
            "frame 1: expected .* bytes, found 1",
            lambda c: c.encoded("rgb", [png, b"1"], size, encoding="png"),
        ),
        ("expected 2 frames, found 1", lambda c: c.encoded("rgb", [png], size, encoding="png")),
        ("expected 2 frames, found more", lambda c: c.dense("depth", [one] * 3)),
        (
            "expected an image of 2x3, 3 channels, png, found 2x4",
            lambda c: c.encoded("rgb", [wide] * 2, [len(wide)] * 2, encoding="png"),
        ),
        (
            "3 channels, png, found 2x3, 1 channel",
            lambda c: c.encoded("rgb", [grey] * 2, [len(grey)] * 2, encoding="png"),
        ),
        (
            "expected .* png, found .* jpeg",
            lambda c: c.encoded("rgb", [JPEG] * 2, [len(JPEG)] * 2, encoding="png"),
        ),
        (r"depth, frame 0: expected \(2, 3\)", lambda c: c.dense("depth", [one.T] * 2)),
        (r"expected \(2, 2, 3\)", lambda c: c.dense("flow_forward", [one] * 2)),
        ("need a scale", lambda c: c.dense("depth", [one] * 2, dtype="u2")),
        ("not a multiple", lambda c: c.dense("depth", [one / 3] * 2, dtype="u2", scale=0.5)),
        ("do not fit into uint8", lambda c: c.dense("semantics", [big] * 2, dtype="u1")),
        ("frame_index must rise", lambda c: c.dense("depth", [one] * 2, frame_index=[1, 0])),
        ("frame_index must rise", lambda c: c.dense("depth", [one], frame_index=[2])),
        ("frame 1: expected columns row u2", lambda c: c.points("depth", [point, real])),
        ("lower-case", lambda c: c.dense("Depth", [one] * 2)),
        ("fact unit|fact kind", lambda c: c.dense("depth", [one] * 2, kind="x")),
        ("not JSON", lambda c: c.dense("depth", [one] * 2, offset=float("nan"))),
    ]
    for message, use in cases:
        with pytest.raises((UsageError, FormatError), match=message), _writer(tmp_path) as writer:
            use(_camera(writer))
        assert not list(tmp_path.iterdir()), message


def test_calls_in_a_wrong_order_or_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use `with"):
        _writer(tmp_path).timeline([0], ["a"])
    with pytest.raises(UsageError, match="call timeline first"), _writer(tmp_path) as writer:
        writer.camera("left", height=1, width=1, intrinsics=np.eye(3))
    with pytest.raises(UsageError, match="needs a timeline and a camera"), _writer(tmp_path):
        pass
    with pytest.raises(UsageError, match="no camera right"), _writer(tmp_path) as writer:
        _camera(writer)
        writer.stereo_pair("left", "right", 0.5)
    with pytest.raises(UsageError, match="there already"), _writer(tmp_path) as writer:
        camera = _camera(writer)
        camera.dense("masks/moving", np.zeros((2, 2, 3), "u1"), dtype="u1")
        camera.dense("masks/moving", np.zeros((2, 2, 3), "u1"), dtype="u1")
    with pytest.raises(UsageError, match="not all different"), _writer(tmp_path) as writer:
        writer.timeline([0, 1], ["a", "a"])
    with pytest.raises(UsageError, match="no such folder"), _writer(tmp_path / "none"):
        pass


def test_frames_are_held_one_at_a_time(tmp_path: Path) -> None:
    """Frame k + 1 is asked for only when frame k is stored and let go."""
    given: list[weakref.ref[Any]] = []

    class Frame(np.ndarray):  # type: ignore[type-arg]
        """An array that can be watched."""

    def frames() -> Any:
        for t in range(20):
            assert sum(frame() is not None for frame in given) <= 1
            frame = np.full((2, 3), t, np.float32).view(Frame)
            given.append(weakref.ref(frame))
            yield frame
            del frame

    with _writer(tmp_path) as writer:
        _camera(writer, 20).dense("depth", frames())
    assert open_sequence(tmp_path / "s.h5").cameras["left"].depth[7].max() == 7


def test_blobs_may_be_paths(tmp_path: Path) -> None:
    blob = encode_png(np.zeros((2, 3, 3), np.uint8))
    source = tmp_path / "source.png"
    source.write_bytes(blob)
    with _writer(tmp_path) as writer:
        camera = _camera(writer)
        camera.encoded("rgb", [source, memoryview(blob)], [len(blob)] * 2, encoding="png")
    assert open_sequence(tmp_path / "s.h5").cameras["left"].rgb.blob(0) == blob
