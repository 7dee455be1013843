"""Options that several commands of ``depthzoo`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["model_options"]

F = TypeVar("F", bound=Callable[..., Any])


def model_options(command: F) -> F:
    """Add ``--weights``, ``--device`` and ``--precision``."""
    options = [
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="Checkpoint file, or the archive or folder around it.",
        ),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ..."),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "fp16", "bf16"]),
            default="fp32",
            show_default=True,
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
