"""``depthdata compare``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, Console, common_options

_EXISTING = click.Path(exists=True, path_type=Path)


@click.command("compare")
@click.argument("a", type=_EXISTING)
@click.argument("b", type=_EXISTING)
@click.option(
    "--recipe",
    type=click.Choice(["dynamo_depth"]),
    help="B is a tree that the named authors' preparation made.",
)
@common_options
def command(console: Console, a: Path, b: Path, recipe: str | None) -> int:
    """Print the differences between two sequence files, or two folders of them.

    Decoded content is compared: how it is compressed does not matter. The exit code is 1 when
    there is a difference.
    """
    from depthdata.comparison import compare

    result = compare(a, b, recipe=recipe)
    lines = [str(difference) for difference in result.differences]
    console.result(
        {"equal": result.equal, "differences": lines},
        "\n".join(lines) if lines else "equal",
    )
    return EXIT_OK if result.equal else EXIT_FAILED
