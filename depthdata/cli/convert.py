"""``depthdata convert``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from depthdata.cli.base import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    Console,
    common_options,
)


@click.command("convert")
@click.argument("name")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sequence", "sequences", multiple=True, help="Only this one (repeatable).")
@click.option("--split", help="Only the sequences of a published split.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--scheduler", help="Address of a Dask cluster, tcp://host:port.")
@click.option("--shard", metavar="I/N", help="Do the I-th of N parts (1/8 ... 8/8).")
@click.option("--overwrite", is_flag=True, help="Replace files made from another source state.")
@click.option("--skip-incomplete", is_flag=True, help="Go on without incomplete sequences.")
@click.option("--portable", is_flag=True, help="gzip instead of zstd: no HDF5 plug-in needed.")
@click.option("--preset", help="Add what a paper's preparation made (dynamo_depth).")
@click.option("--dry-run", is_flag=True, help="Print what would be converted.")
@common_options
def command(console: Console, name: str, source: Path, out: Path, **options: Any) -> int:
    """Convert the raw dataset NAME in SOURCE to sequence files in OUT.

    What is complete in OUT already is skipped, so a stopped run is continued by running it again.
    """
    from depthdata.conversion import convert

    options["sequences"] = options["sequences"] or None
    report = convert(name, source, out, progress=console.progress("sequence"), **options)
    for result in report.results:
        if result.status == "failed":
            console.note(f"failed: {result.message}")
    lines = [
        f"{r.status:<10} {r.sequence}  {r.bytes / 1e6:.1f} MB"
        + ("" if r.path is None else f"  {r.path}")
        for r in report.results
    ]
    counts: dict[str, int] = {}
    for result in report.results:
        counts[result.status] = counts.get(result.status, 0) + 1
    lines.append(", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing")
    records = [
        {**asdict(r), "path": None if r.path is None else str(r.path)} for r in report.results
    ]
    console.result({"results": records, **counts}, "\n".join(lines))
    failed = counts.get("failed", 0)
    if not failed:
        return EXIT_OK
    return EXIT_FAILED if failed == len(report.results) else EXIT_PARTLY_FAILED
