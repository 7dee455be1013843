"""``depthdata view``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthdata.cli.files import expand_files
from depthdata.errors import UsageError

_ENDINGS = {
    None: ".png",
    "video": ".mp4",
    "points": ".points.mp4",
    "odometry": ".odometry.mp4",
    "recording": ".rrd",
}


@click.command("view")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File or folder to write to.")
@click.option("--video", "kind", flag_value="video", help="An MP4 of all frames, not a sheet.")
@click.option(
    "--points", "kind", flag_value="points", help="An MP4 of the points of the depth, in space."
)
@click.option(
    "--odometry",
    "kind",
    flag_value="odometry",
    help="An MP4 of depth, flow, the way of the camera and what moves, in space.",
)
@click.option(
    "--recording", "kind", flag_value="recording", help="A recording (.rrd) for the viewer rerun."
)
@click.option("--camera", help="Camera to show (default: the first).")
@click.option(
    "--frames", type=click.IntRange(1), default=4, show_default=True, help="On the sheet."
)
@common_options
def command(
    console: Console,
    files: tuple[Path, ...],
    out: Path | None,
    kind: str | None,
    camera: str | None,
    frames: int,
) -> None:
    """Write a contact sheet (PNG), a video (MP4) or a recording of each sequence FILE.

    The picture lies beside the file, or where --out says.
    """
    sequences = expand_files(files)
    ending = _ENDINGS[kind]
    if out is not None and out.suffix == ending[-4:] and len(sequences) > 1:
        raise UsageError(f"{out}: one file for {len(sequences)} sequences; name a folder")
    written = []
    for path in sequences:
        target = _target(path, out, ending)
        target.parent.mkdir(parents=True, exist_ok=True)
        _draw(kind, path, target, camera, frames)
        written.append(str(target))
    console.result(written, "\n".join(written))


def _draw(kind: str | None, path: Path, target: Path, camera: str | None, frames: int) -> None:
    from depthdata import view

    if kind is None:
        view.contact_sheet(path, target, camera=camera, frames=frames)
    elif kind == "video":
        view.video(path, target, camera=camera)
    elif kind == "recording":
        view.recording(path, target)
    else:
        from depthdata.sequence import open_sequence
        from depthdata.view.video import frame_rate

        draw = view.points_video if kind == "points" else view.odometry_video
        with open_sequence(path) as sequence:
            found = view.moments(sequence, camera)
            title = f"{sequence.dataset} | {sequence.name}"
            draw(found, target, title=title, fps=frame_rate(sequence.timestamps))


def _target(path: Path, out: Path | None, ending: str) -> Path:
    if out is None:
        return path.with_suffix(ending)
    return out if out.suffix == ending[-4:] else out / (path.stem + ending)
