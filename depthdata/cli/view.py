"""``depthdata view``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthdata.cli.files import expand_files
from depthdata.errors import UsageError


@click.command("view")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File or folder to write to.")
@click.option("--video", "as_video", is_flag=True, help="An MP4 of all frames, not a sheet.")
@click.option("--camera", help="Camera to show (default: the first).")
@click.option(
    "--frames", type=click.IntRange(1), default=4, show_default=True, help="On the sheet."
)
@common_options
def command(
    console: Console,
    files: tuple[Path, ...],
    out: Path | None,
    as_video: bool,
    camera: str | None,
    frames: int,
) -> None:
    """Write a contact sheet (PNG) or a video (MP4) of each sequence FILE.

    The picture lies beside the file, or where --out says.
    """
    from depthdata.view import contact_sheet, video

    sequences = expand_files(files)
    suffix = ".mp4" if as_video else ".png"
    if out is not None and out.suffix == suffix and len(sequences) > 1:
        raise UsageError(f"{out}: one file for {len(sequences)} sequences; name a folder")
    written = []
    for path in sequences:
        target = _target(path, out, suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        if as_video:
            video(path, target, camera=camera)
        else:
            contact_sheet(path, target, camera=camera, frames=frames)
        written.append(str(target))
    console.result(written, "\n".join(written))


def _target(path: Path, out: Path | None, suffix: str) -> Path:
    if out is None:
        return path.with_suffix(suffix)
    return out if out.suffix == suffix else out / (path.stem + suffix)
