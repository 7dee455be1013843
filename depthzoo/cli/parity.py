"""``depthzoo parity``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, Console, common_options


@click.command("parity")
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--model", help="Only this one of the models in DIR.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
@click.option("--correlation", help="Correlation implementation of RAFT-Stereo networks.")
@common_options
def command(
    console: Console, folder: Path, model: str | None, dtype: str, correlation: str | None
) -> int:
    """Compare the networks with golden vectors in DIR, a line each array; exit 1 on any FAIL."""
    raise NotImplementedError
