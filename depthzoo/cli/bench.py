"""``depthzoo bench``."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthzoo.benchmark import Timing


@click.command("bench")
@click.argument("models", nargs=-1)
@click.option(
    "--size",
    "sizes",
    type=(int, int),
    metavar="H W",
    multiple=True,
    help="Of the images; may be repeated. By default what a model was trained at.",
)
@click.option("--frames", type=click.IntRange(1), help="Of a sample; by default a model's window.")
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    multiple=True,
    default=["fp32"],
    show_default=True,
    help="May be repeated.",
)
@click.option("--iterations", type=click.IntRange(1), help="Of models that iterate.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write JSON here too; other rows of a file that is there stay.",
)
@common_options
def command(
    console: Console,
    models: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    frames: int | None,
    runs: int,
    device: str,
    precisions: tuple[str, ...],
    iterations: int | None,
    out: Path | None,
) -> None:
    """Measure time and peak memory of MODELS (* and ? fit; all by default), without weights.

    A table in Markdown is printed: the median time of a frame from array to array, and the most
    that tensors took beside the weights.
    """
    from depthzoo.benchmark import benchmark, merged, read_timings, table
    from depthzoo.evaluation.results import write_text
    from depthzoo.models import list_models

    names = [name for name in list_models() if not models or _fits(name, models)]
    unknown = [p for p in models if not any(fnmatchcase(name, p) for name in list_models())]
    if unknown:
        raise UsageError(f"no model {unknown[0]!r}; there are {', '.join(list_models())}")
    options: dict[str, Any] = {} if iterations is None else {"iterations": iterations}
    timings: list[Timing] = []
    earlier = read_timings(out) if out is not None and out.exists() else []
    for precision in precisions:
        for timing in benchmark(
            [name for name in names if precision == "fp32" or name != "sgbm"],
            sizes=sizes,
            frames=frames,
            device=device,
            precision=precision,
            runs=runs,
            **options,
        ):
            timings.append(timing)
            console.note(f"{timing.model} {precision}: {1000 * timing.seconds:.4g} ms a frame")
    if out is not None:
        rows = [timing.to_dict() for timing in merged(earlier, timings)]
        write_text(out, json.dumps(rows, indent=1) + "\n")
    console.result([timing.to_dict() for timing in timings], table(timings))


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
