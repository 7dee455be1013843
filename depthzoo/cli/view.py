"""``depthzoo view``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthzoo.cli.options import model_options


@click.command("view")
@click.argument("model")
@click.argument(
    "data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="DATA..."
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.",
)
@click.option("--points", "kind", flag_value="points", help="The points of the depth, in space.")
@click.option(
    "--odometry",
    "kind",
    flag_value="odometry",
    help="Depth, flow, the way of the camera and what moves, in space.",
)
@click.option(
    "--recording",
    "kind",
    flag_value="recording",
    help="The same as a recording (.rrd) for the viewer rerun.",
)
@click.option("--camera", default="left", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only the first N frames of each sequence.")
@model_options
@common_options
def command(
    console: Console,
    model: str,
    data: tuple[Path, ...],
    out: Path,
    kind: str | None,
    camera: str,
    limit: int | None,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Run MODEL on the sequence files DATA and show what it says as a video (MP4)."""
    from depthdata.cli.files import expand_files
    from depthdata.sequence import open_sequence
    from depthzoo.models import load
    from depthzoo.pictures import KINDS, draw_prediction

    sequences = expand_files(data)
    loaded = load(model, device=device, precision=precision, weights=weights)
    out.mkdir(parents=True, exist_ok=True)
    bar, written = console.progress("frame"), []
    for path in sequences:
        with open_sequence(path) as sequence:
            target = out / (path.stem + KINDS[kind or "video"])
            total = min(len(sequence), limit or len(sequence))

            def step(done: int, name: str = sequence.name, total: int = total) -> None:
                if bar is not None:
                    bar(done, total, name)

            draw_prediction(
                loaded,
                sequence,
                target,
                kind=kind or "video",
                camera=camera,
                limit=limit,
                progress=step,
            )
            written.append(str(target))
    console.result(written, "\n".join(written))
