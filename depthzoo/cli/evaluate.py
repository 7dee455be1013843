"""``depthzoo evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthzoo.cli.options import model_options


@click.command("evaluate")
@click.argument("model")
@click.argument(
    "data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="DATA..."
)
@click.option("--protocol", required=True, help="Such as kitti_raw/eigen; see list --protocols.")
@click.option("--split", help="Published list of frames, such as eigen/test.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N frames.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report page here."
)
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True)
@model_options
@common_options
def command(
    console: Console,
    model: str,
    data: tuple[Path, ...],
    protocol: str,
    split: str | None,
    limit: int | None,
    html: Path | None,
    jobs: int,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Evaluate MODEL on the sequence files DATA (files or folders) under a named protocol."""
    from depthzoo.evaluation import evaluate, get_protocol

    get_protocol(protocol)
    report = evaluate(
        model,
        list(data),
        protocol,
        split=split,
        jobs=jobs,
        limit=limit,
        examples=html is not None,
        progress=console.progress("frame"),
        weights=weights,
        device=device,
        precision=precision,
    )
    for reason, number in report.left_out.items():
        console.note(f"left out: {number} frames ({reason})")
    if html is not None:
        report.to_html(html)
        console.note(f"report: {html}")
    console.result(report.to_dict(), report.table())
