"""``depthdata export``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options


@click.command("export")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--layout", metavar="NAME", help="Another dataset's layout than the files' own.")
@common_options
def command(console: Console, files: tuple[Path, ...], out: Path, layout: str | None) -> None:
    """Write sequence files FILE... (or folders of them) to OUT as their dataset publishes them.

    The authors' own programs can then run on them.
    """
    from depthdata.exporting import export

    path = export(files, out, layout=layout, progress=console.progress("sequence"))
    console.result({"path": str(path)}, str(path))
