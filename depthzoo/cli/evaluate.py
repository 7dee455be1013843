"""``depthzoo evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError
from depthzoo.cli.options import family_option, model_options, parse_options

if TYPE_CHECKING:
    from depthzoo.evaluation.stored import StoredPredictions


@click.command("evaluate")
@click.argument("arguments", nargs=-1, required=True, metavar="MODEL DATA...")
@click.option("--protocol", required=True, help="Such as kitti_raw/eigen; see list --protocols.")
@click.option("--split", help="Published list of frames, such as eigen/test.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N frames.")
@click.option(
    "--predictions",
    type=click.Path(exists=True, path_type=Path),
    help="Measure the predictions in this folder (or file) instead of running a model; MODEL is "
    "then left out, or is the name to show.",
)
@click.option(
    "--quantity",
    type=click.Choice(["depth", "disparity", "inverse_depth"]),
    help="What the --predictions are: m, px of a stereo pair, 1/m.",
)
@click.option(
    "--invariance",
    type=click.Choice(["metric", "disparity", "scale", "affine"]),
    help="Up to what the --predictions are determined.",
)
@click.option(
    "--png-scale", type=float, help="What 16-bit PNGs are divided by (KITTI: 256, the default)."
)
@click.option(
    "--missing",
    type=click.Choice(["error", "skip"]),
    help="Frames without one of the --predictions stop (error, the default) or count as not "
    "covered (skip).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result as JSON here.",
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report page here."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep finished sequences in this folder until the result is there; by default "
    "OUTPUT.state.",
)
@click.option("--resume", is_flag=True, help="Go on with what a stopped run has in --state.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--scheduler", help="Address of a Dask cluster, tcp://host:port.")
@family_option
@model_options
@common_options
def command(
    console: Console,
    arguments: tuple[str, ...],
    protocol: str,
    split: str | None,
    limit: int | None,
    predictions: Path | None,
    output: Path | None,
    html: Path | None,
    state: Path | None,
    resume: bool,
    jobs: int,
    scheduler: str | None,
    pairs: tuple[str, ...],
    weights: Path | None,
    device: str,
    precision: str,
    **stated: Any,
) -> None:
    """Evaluate MODEL on the sequence files DATA (files or folders) under a named protocol.

    A stopped run goes on where it was with --resume.
    """
    from depthzoo.evaluation import evaluate, get_protocol

    rules = get_protocol(protocol)
    name, data = _divided(arguments, predictions)
    options = parse_options(pairs)
    given = {key: value for key, value in stated.items() if value is not None}
    model: str | StoredPredictions
    if predictions is not None:
        from depthzoo.evaluation.stored import StoredPredictions

        if options or weights is not None:
            raise click.UsageError("--option and --weights are of a model, not of --predictions")
        model = StoredPredictions(predictions, name=name, **given)
    elif given:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise click.UsageError(f"{flags} goes with --predictions")
    else:
        model = name or ""
    if state is None and output is not None:
        state = output.with_name(f"{output.name}.state")
    if resume and state is None:
        raise click.UsageError("--resume needs --state, or --output beside which it lies")
    if state is not None and not resume and state.is_dir() and any(state.iterdir()):
        raise UsageError(
            f"{state} holds what a stopped run had done; go on with --resume, or remove it"
        )
    with _hint(console, state):
        report = evaluate(
            model,
            data,
            rules,
            split=split,
            jobs=jobs,
            scheduler=scheduler,
            limit=limit,
            examples=html is not None,
            progress=console.progress("frame"),
            weights=weights,
            device=device,
            precision=precision,
            options=options,
            state=state,
            resume=resume,
        )
    for reason, number in report.left_out.items():
        console.note(f"left out: {number} frames ({reason})")
    if output is not None:
        report.to_json(output)
        console.note(f"result: {output}")
    if html is not None:
        report.to_html(html)
        console.note(f"report: {html}")
    if state is not None:
        from depthzoo.evaluation.state import TaskStore

        TaskStore(state, {}, resume=True).clear()
    console.result(report.to_dict(), report.table())


def _divided(arguments: tuple[str, ...], predictions: Path | None) -> tuple[str | None, list[Path]]:
    """Return the model's name and the data; with predictions the name may be left out."""
    first, rest = arguments[0], arguments[1:]
    if predictions is not None and Path(first).exists():
        name, files = None, [Path(a) for a in arguments]
    else:
        name, files = first, [Path(a) for a in rest]
    if not files:
        raise click.UsageError("Missing argument 'DATA...': sequence files, or folders of them.")
    for file in files:
        if not file.exists():
            raise click.UsageError(f"Path '{file}' does not exist; DATA are sequence files.")
    return name, files


@contextmanager
def _hint(console: Console, state: Path | None) -> Iterator[None]:
    """Say how to go on when somebody stops the work."""
    try:
        yield
    except KeyboardInterrupt:
        if state is not None and state.is_dir():
            console.note(f"finished sequences are in {state}: run the same again with --resume")
        raise
