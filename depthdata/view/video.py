"""A video (MP4) of a sequence: its streams under (or beside) one another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.sequence import Sequence, open_sequence
from depthdata.view.painting import Painter, painters, pick_camera
from depthdata.view.panels import BACKGROUND, fit, labelled, stack_panels

__all__ = ["frame_rate", "video", "write_video"]

Image = npt.NDArray[np.uint8]

_MOST_PANELS = 6
_SCALE_FRAMES = 8
_WIDE = 2.2


def video(
    sequence: str | Path | Sequence,
    out: str | Path,
    *,
    camera: str | None = None,
    streams: Iterable[str] | None = None,
    fps: float | None = None,
    panel_width: int = 640,
) -> Path:
    """Write a video of all frames of a sequence (MP4, MPEG-4 part 2).

    Parameters
    ----------
    sequence : path or Sequence
    out : path
        The MP4 to write.
    camera : str, optional
        Default: the first.
    streams : iterable of str, optional
        Default: images of both cameras of the pair, depth, disparity, flow: the first six.
    fps : float, optional
        Default: as the timestamps say.
    panel_width : int
        Pixels.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UsageError
        There is no such camera or stream.
    OSError
        OpenCV cannot write the file.
    """
    opened = nullcontext(sequence) if isinstance(sequence, Sequence) else open_sequence(sequence)
    with opened as seq:
        name = pick_camera(seq, camera)
        cam = seq.cameras[name]
        size = (max(24, round(panel_width * cam.height / cam.width)), panel_width)
        last = len(seq) - 1
        scale_frames = np.unique(np.linspace(0, last, _SCALE_FRAMES).round().astype(int)).tolist()
        chosen = painters(seq, name, streams, scale_frames, size)
        if streams is None:
            chosen = chosen[:_MOST_PANELS]
        across = 1 if size[1] / size[0] > _WIDE and len(chosen) <= 4 else 2
        rate = frame_rate(seq.timestamps) if fps is None else fps
        images = (_compose(seq, chosen, across, t) for t in range(len(seq)))
        return write_video(out, images, rate)


def frame_rate(times: npt.NDArray[np.int64]) -> float:
    """Frames a second by the median step of the times (ns), kept between 1 and 60; 10 if unknown.

    >>> frame_rate(np.array([0, 100_000_000, 200_000_000]))
    10.0
    """
    steps = np.diff(times)
    steps = steps[(steps > 0) & (steps < 10**12)]
    if not steps.size:
        return 10.0
    return float(np.clip(round(1e9 / float(np.median(steps)), 3), 1.0, 60.0))


def write_video(out: str | Path, images: Iterable[Image], fps: float) -> Path:
    """Write RGB images of one size as MP4 (MPEG-4 part 2); the file appears when it is whole.

    Raises
    ------
    UsageError
        There is no image at all.
    OSError
        OpenCV cannot write the file.
    """
    target = Path(out)
    part = target.with_name(f".{target.stem}.part-{os.getpid()}.mp4")
    writer, height, width = None, 0, 0
    try:
        for image in images:
            frame = _even(image)
            if writer is None:
                height, width = frame.shape[:2]
                code = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(part), code, fps, (width, height))
                if not writer.isOpened():
                    raise OSError(f"{out}: OpenCV cannot write this video (MP4, mp4v)")
            if frame.shape[:2] != (height, width):
                raise UsageError(
                    f"{out}: a video has one size; found {frame.shape[1]}x{frame.shape[0]} after "
                    f"{width}x{height}"
                )
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        if writer is None:
            raise UsageError(f"{out}: no frame to show")
        writer.release()
        part.replace(target)
    finally:
        if writer is not None:
            writer.release()
        part.unlink(missing_ok=True)
    return target


def _compose(sequence: Sequence, chosen: list[Painter], across: int, frame: int) -> Image:
    panels = [
        labelled(np.concatenate([painter.paint(frame), painter.bar()], 1), [painter.title])
        for painter in chosen
    ]
    rows = [
        stack_panels(panels[i : i + across], across=True) for i in range(0, len(panels), across)
    ]
    text = f"{sequence.dataset} | {sequence.name} | frame {frame} ({sequence.frame_ids[frame]})"
    body = stack_panels(rows)
    return labelled(body, [fit(text, body.shape[1] - 16)])


def _even(image: Image) -> Image:
    """Add a row or column so that both sides are even, as the codec needs."""
    down, across = image.shape[0] % 2, image.shape[1] % 2
    if not (down or across):
        return image
    return np.asarray(
        cv2.copyMakeBorder(image, 0, down, 0, across, cv2.BORDER_CONSTANT, value=BACKGROUND)
    )
