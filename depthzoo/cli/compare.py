"""``depthzoo compare``."""

from __future__ import annotations

from pathlib import Path

import click

from depthdata.cli.base import Console, common_options


@click.command("compare")
@click.argument(
    "results",
    metavar="A.json B.json...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here.")
@click.option("--mixed", is_flag=True, help="Accept results of different protocols or splits.")
@common_options
def command(console: Console, results: tuple[Path, ...], html: Path | None, mixed: bool) -> None:
    """Put results of evaluations beside one another; differences are from the first.

    With --html the worst frames are shown side by side where a report page lies beside its result
    (A.html beside A.json).
    """
    from depthzoo.evaluation.report.comparison import compare_results

    comparison = compare_results(results, mixed=mixed)
    if html is not None:
        from depthzoo.evaluation.report.comparison_page import write_comparison

        write_comparison(comparison, html)
        console.note(f"page: {html}")
    console.result(comparison.to_dict(), comparison.table())
