"""``depthzoo predict``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    Console,
    common_options,
)
from depthzoo.cli.options import family_option, model_options, parse_options


@click.command("predict")
@click.argument("model")
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--quantity",
    type=click.Choice(["depth", "disparity"]),
    help="What to write; by default what the model gives.",
)
@click.option("--camera", default="left", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only the first N frames of each sequence.")
@click.option("--png16", is_flag=True, help="Also 16-bit PNGs, value * 256 as KITTI stores it.")
@click.option("--overwrite", is_flag=True, help="Replace predictions that are there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@family_option
@model_options
@common_options
def command(
    console: Console,
    model: str,
    source: Path,
    out: Path,
    quantity: str | None,
    camera: str,
    limit: int | None,
    png16: bool,
    overwrite: bool,
    dry_run: bool,
    pairs: tuple[str, ...],
    weights: Path | None,
    device: str,
    precision: str,
) -> int:
    """Run MODEL on a sequence file or a folder of them; write OUT/<sequence>.npz.

    Beside depth or disparity the file holds what else the model gives: poses, flow, masks of what
    moves. depthzoo evaluate --predictions OUT measures them.
    """
    from depthzoo.evaluation.predicting import predict_sequences
    from depthzoo.models import load

    options = parse_options(pairs)
    results = predict_sequences(
        load(model, device=device, precision=precision, weights=weights, **options),
        source,
        out,
        quantity=quantity,
        camera=camera,
        limit=limit,
        options=options,
        png16=png16,
        overwrite=overwrite,
        dry_run=dry_run,
        progress=console.progress("frame"),
    )
    failed = [r for r in results if r.status == "failed"]
    for result in failed:
        console.note(f"failed: {result.message}")
    console.result(
        [
            {
                "sequence": r.sequence,
                "status": r.status,
                "path": str(r.path),
                "frames": r.frames,
                "message": r.message,
            }
            for r in results
        ],
        "\n".join(f"{r.status:<9}  {r.path}  {r.frames} frames" for r in results),
    )
    if not failed:
        return EXIT_OK
    return EXIT_FAILED if len(failed) == len(results) else EXIT_PARTLY_FAILED
