"""``depthdata verify``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options
from depthdata.cli.files import file_arguments, for_each_file


@click.command("verify")
@file_arguments
@common_options
def command(console: Console, files: tuple[Path, ...], jobs: int) -> int:
    """Read every blob, chunk and array of FILE... and compare with its checksum.

    A folder stands for all sequence files in it.
    """
    return for_each_file(console, files, jobs, "verify")
