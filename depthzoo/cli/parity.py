"""``depthzoo parity``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, Console, common_options


@click.command("parity")
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--model", "models", multiple=True, help="Only this model; may be repeated, * fits.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="The last two are autocast: outputs as a whole, within stated bounds.",
)
@click.option(
    "--correlation",
    type=click.Choice(["reg", "alt"]),
    default="reg",
    show_default=True,
    help="For networks that have the choice.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")
@common_options
def command(
    console: Console,
    folder: Path,
    models: tuple[str, ...],
    dtype: str,
    correlation: str,
    device: str,
) -> int:
    """Compare networks with the golden vectors in DIR: a line for each array, exit 1 on any FAIL.

    DIR is a model's folder (manifest.json, meta.json, case_*.npz) or a folder of such.
    """
    from depthzoo.evaluation.results import plain
    from depthzoo.parity import iter_parity

    results = []
    for result in iter_parity(folder, models or None, dtype, correlation, device):
        results.append(result)
        if not console.as_json:
            click.echo(str(result))
    failed = sum(not result.ok for result in results)
    if console.as_json:
        console.result([plain({**asdict(r), "ok": r.ok}) for r in results], "")
    console.note(f"{len(results) - failed} of {len(results)} arrays agree")
    return EXIT_FAILED if failed else EXIT_OK
