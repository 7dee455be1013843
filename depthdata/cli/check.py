"""``depthdata check``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthdata.cli.files import file_arguments, for_each_file


@click.command("check")
@file_arguments
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for a picture of the worst frame of each file.",
)
@common_options
def command(console: Console, files: tuple[Path, ...], jobs: int, pictures: Path | None) -> int:
    """Check that images, depth, poses, calibration and times of FILE... agree.

    Each line is one measurement with its threshold; a failed one says what is likely wrong.
    """
    return for_each_file(console, files, jobs, "check", pictures)
