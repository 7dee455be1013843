"""A contact sheet: frames of a sequence side by side, one row a stream."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.sequence import Sequence, open_sequence
from depthdata.sequence.schema import MISSING_TIME
from depthdata.view.painting import painters, pick_camera
from depthdata.view.panels import BACKGROUND, fit, put_text, save_png

__all__ = ["contact_sheet", "draw_sheet"]

Image = npt.NDArray[np.uint8]

_MARGIN, _GAP, _STRIP = 10, 4, 22


def contact_sheet(
    sequence: str | Path | Sequence,
    out: str | Path,
    *,
    camera: str | None = None,
    frames: int = 4,
    streams: Iterable[str] | None = None,
    panel_width: int = 460,
) -> Path:
    """Write a contact sheet of a sequence as PNG.

    Parameters
    ----------
    sequence : path or Sequence
    out : path
        The PNG to write.
    camera : str, optional
        Default: the first.
    frames : int
        How many, spread evenly from the first to the last.
    streams : iterable of str, optional
        Default: images and disparity of both cameras of the pair, depth (derived where it is
        not stored), flow, labels, masks.
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
    """
    opened = nullcontext(sequence) if isinstance(sequence, Sequence) else open_sequence(sequence)
    with opened as seq:
        sheet = draw_sheet(
            seq, camera=camera, frames=frames, streams=streams, panel_width=panel_width
        )
    save_png(out, sheet)
    return Path(out)


def draw_sheet(
    sequence: Sequence,
    *,
    camera: str | None = None,
    frames: int = 4,
    streams: Iterable[str] | None = None,
    panel_width: int = 460,
) -> Image:
    """Return the contact sheet as an RGB image; arguments as in `contact_sheet`."""
    name = pick_camera(sequence, camera)
    cam = sequence.cameras[name]
    last = len(sequence) - 1
    chosen = np.unique(np.linspace(0, last, max(frames, 1)).round().astype(int)).tolist()
    size = (max(24, round(panel_width * cam.height / cam.width)), panel_width)
    rows = painters(sequence, name, streams, chosen, size)
    bar_width = max(painter.bar().shape[1] for painter in rows)
    width = 2 * _MARGIN + len(chosen) * (panel_width + _GAP) + bar_width
    height = _MARGIN + 2 * _STRIP + len(rows) * (_STRIP + size[0] + _GAP) + _MARGIN
    sheet = np.empty((height, width, 3), np.uint8)
    sheet[:] = BACKGROUND
    put_text(sheet, fit(_heading(sequence), width - 2 * _MARGIN), _MARGIN, _MARGIN + 14)
    top = _MARGIN + _STRIP
    for i, t in enumerate(chosen):
        left = _MARGIN + i * (panel_width + _GAP)
        label = fit(_frame_label(sequence, t), panel_width, 0.42)
        put_text(sheet, label, left, top + 15, colour=(170, 170, 170), scale=0.42)
    top += _STRIP
    for painter in rows:
        put_text(sheet, painter.title, _MARGIN, top + 16, colour=(255, 214, 120), scale=0.46)
        top += _STRIP
        for i, t in enumerate(chosen):
            left = _MARGIN + i * (panel_width + _GAP)
            sheet[top : top + size[0], left : left + panel_width] = painter.paint(t)
        left = _MARGIN + len(chosen) * (panel_width + _GAP)
        bar = painter.bar()
        sheet[top : top + bar.shape[0], left : left + bar.shape[1]] = bar
        top += size[0] + _GAP
    return sheet


def _heading(sequence: Sequence) -> str:
    frames = "1 frame" if len(sequence) == 1 else f"{len(sequence)} frames"
    return f"{sequence.dataset} | {sequence.name} | {frames}"


def _frame_label(sequence: Sequence, frame: int) -> str:
    now, start = (int(sequence.timestamps[t]) for t in (frame, 0))
    since = (now - start) * 1e-9
    label = f"frame {frame}"
    if sequence.frame_ids[frame] != str(frame):
        label += f" ({sequence.frame_ids[frame]})"
    known = MISSING_TIME not in (now, start) and abs(since) < 1e6
    return f"{label} | {since:.3f} s" if known else label
