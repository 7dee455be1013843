"""``depthzoo reproduce``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, EXIT_PARTLY_FAILED, Console, common_options

if TYPE_CHECKING:
    from depthzoo.evaluation.reproduce import Reproduction
    from depthzoo.evaluation.reproduce_plan import TablePlan


@click.command("reproduce")
@click.argument("table", required=False)
@click.option("--list", "listing", is_flag=True, help="The tables, a line each.")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder with sequence files (repeatable); else those that DEPTHDATA_SEQUENCES names, "
    "else ./sequences.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="[MODEL=]PATH",
    help="Checkpoint, or the archive or folder around it (repeatable); else the cache.",
)
@click.option("--model", "models", multiple=True, help="Only rows of this model; * fits.")
@click.option("--partial", is_flag=True, help="Run on what is there of the data, without deltas.")
@click.option("--dry-run", is_flag=True, help="Only say what is needed, there and missing.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
)
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result as JSON here; finished sequences are kept in OUTPUT.state until then.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table as a page here, and a report for each row beside it.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep finished sequences here instead.",
)
@common_options
def command(
    console: Console,
    table: str | None,
    listing: bool,
    data: tuple[Path, ...],
    weights: tuple[str, ...],
    models: tuple[str, ...],
    partial: bool,
    dry_run: bool,
    output: Path | None,
    html: Path | None,
    state: Path | None,
    **settings: Any,
) -> int:
    """Run the published TABLE again: what it needs, what is missing, published, ours, delta.

    Exit code 0: every row ran; 3: a part; 1: nothing could. A stopped run goes on where it was when
    it is started again with the same --output (or --state).
    """
    from depthzoo.evaluation.reproduce_tables import find_table

    if listing or table is None:
        if table is not None or not listing:
            raise click.UsageError("Give a TABLE, or --list to see them.")
        _list(console)
        return EXIT_OK
    chosen = find_table(table)
    from depthzoo.evaluation.reproduce import reproduce
    from depthzoo.evaluation.reproduce_weights import read_places

    if state is None and output is not None:
        state = output.with_name(f"{output.name}.state")

    def show(plan: TablePlan) -> None:
        for file in plan.broken:
            console.note(f"left out: {file}")
        if not console.as_json:
            click.echo(plan.text())

    bar = console.progress("frame")
    found = reproduce(
        chosen,
        data,
        read_places(weights),
        models=models,
        commands=_downloads(),
        partial=partial,
        dry_run=dry_run,
        examples=html is not None,
        state=None if dry_run else state,
        planned=show,
        progress=bar,
        **settings,
    )
    _write(console, found, output, html, state)
    if console.as_json:
        console.result(found.to_dict(), "")
    elif found.status in ("complete", "partial"):
        click.echo(f"\n{found.table()}")
    return _exit_code(console, found)


def _list(console: Console) -> None:
    from depthzoo.evaluation.reproduce_tables import TABLES, table_rows

    rows = [
        {"name": t.name, "title": t.title, "rows": sum(r.runs for r in table_rows(t))}
        for t in TABLES
    ]
    width = max(len(t.name) for t in TABLES)
    console.result(rows, "\n".join(f"{t.name:<{width}}  {t.title}" for t in TABLES))


def _downloads() -> set[str]:
    """Return which of the two programs can download."""
    from depthdata.cli import main as depthdata
    from depthzoo.cli import main as depthzoo

    programs = {"depthdata": depthdata, "depthzoo": depthzoo}
    return {f"{name} download" for name, program in programs.items() if "download" in program.lazy}


def _write(
    console: Console,
    found: Reproduction,
    output: Path | None,
    html: Path | None,
    state: Path | None,
) -> None:
    from depthzoo.evaluation.results import write_text
    from depthzoo.evaluation.state import TaskStore

    if output is not None:
        write_text(output, json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n")
        console.note(f"result: {output}")
    if html is not None:
        from depthzoo.evaluation.reproduce_page import write_reproduction

        console.note(f"page: {write_reproduction(found, html)[0]}")
    if state is None or not state.is_dir() or found.status == "planned":
        return
    for row in found.rows:
        if row.status in ("ran", "partial"):
            TaskStore(state / row.plan.row.slug, {}, resume=True).clear()
    if not any(state.iterdir()):
        state.rmdir()


def _exit_code(console: Console, found: Reproduction) -> int:
    if found.status in ("complete", "planned"):
        return EXIT_OK
    if found.status == "partial":
        return EXIT_PARTLY_FAILED
    rows = [row for row in found.rows if row.status != "unpublished"]
    first = rows[0].message if rows else "its authors published no weights"
    console.note(f"nothing of {found.plan.table.name} could run: {first}")
    return EXIT_FAILED
