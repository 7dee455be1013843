"""``depthdata download``."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    Console,
    common_options,
)

if TYPE_CHECKING:
    from depthdata.downloading.plan import Plan
    from depthdata.downloading.progress import Progress
    from depthdata.downloading.run import DownloadReport
    from depthdata.downloading.terms import Terms

__all__ = [
    "accept_terms",
    "ask_login",
    "exit_code_of",
    "make_progress",
    "parse_rate",
    "print_plan",
    "show_report",
]

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}


def parse_rate(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return bytes per second; a callback of click."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:b(?:/s)?)?", value.strip().lower())
    if not found or not float(found[1]):
        raise click.BadParameter(f"expected bytes per second: 500k, 20M; found {value!r}")
    return float(found[1]) * _UNITS[found[2]]


@click.command("download")
@click.argument("name")
@click.argument("root", type=click.Path(file_okay=False, path_type=Path))
@click.option("--accept-license", is_flag=True, help="You have read the terms and accept them.")
@click.option("--part", "parts", multiple=True, help="Only this part (repeatable); A+B: both fit.")
@click.option("--file", "files", multiple=True, help="Only this archive, or pattern (repeatable).")
@click.option("--link", "links", multiple=True, metavar="URL", help="Address; or NAME=URL.")
@click.option(
    "--links",
    "link_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with addresses: links.json, or any text.",
)
@click.option(
    "--from",
    "from_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with archives that you have: verify and unpack those.",
)
@click.option(
    "--archives",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where archives are kept.  [default: ROOT/archives]",
)
@click.option("--mirror", metavar="URL", help="Another place; also in DEPTHDATA_MIRROR.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=4, show_default=True)
@click.option(
    "--connections", type=click.IntRange(1), default=4, show_default=True, help="Per file."
)
@click.option("--limit-rate", callback=parse_rate, help="Bytes per second: 500k, 20M.")
@click.option("--no-extract", is_flag=True, help="Leave the archives packed.")
@click.option("--delete-archives", is_flag=True, help="Remove each archive once it is unpacked.")
@click.option("--dry-run", is_flag=True, help="Print files, sizes and terms; ask no server.")
@common_options
def command(
    console: Console,
    name: str,
    root: Path,
    accept_license: bool,
    no_extract: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Fetch the dataset NAME from its owner into ROOT and unpack it.

    What is there already is not fetched again, so a stopped run is continued by running it again.
    """
    from depthdata.downloading import download, plan_download
    from depthdata.downloading.plan import part_names
    from depthdata.downloading.terms import terms_of
    from depthdata.sources import dataset_card

    options["files"] = options["files"] or None
    options["parts"] = options["parts"] or None
    terms = terms_of(dataset_card(name))
    if dry_run:
        keys = ("files", "parts", "links", "link_files", "from_folder", "archives", "mirror")
        plan = plan_download(name, root, **{key: options[key] for key in keys})
        parts = part_names(dataset_card(name))
        print_plan(console, plan, terms, {"name": name, "root": str(root)}, parts)
        return EXIT_OK
    accept_license = accept_terms(console, terms, accept_license)
    progress = make_progress(console)
    try:
        report = download(
            name,
            root,
            accept_license=accept_license,
            extract=not no_extract,
            ask=ask_login if _is_interactive() else None,
            progress=progress,
            **options,
        )
    finally:
        progress.close()
    code = show_report(console, report)
    if code == EXIT_OK and not no_extract:
        console.note(f"next: depthdata convert {name} {root} OUT")
    return code


def accept_terms(console: Console, terms: Terms, given: bool) -> bool:
    """Show the terms once and ask; without anybody to ask return what was given."""
    from depthdata.downloading.terms import accepted

    if accepted(terms):
        return given
    click.echo(terms.text, err=True)
    if given or not _is_interactive():
        return given
    return click.confirm("Have you read these terms, and do you accept them?", err=True)


def ask_login(host: str) -> tuple[str, str] | None:
    """Ask for user and password; neither is kept."""
    user = click.prompt(f"user at {host}", err=True)
    password = click.prompt("password", hide_input=True, err=True)
    return str(user), str(password)


def make_progress(console: Console) -> Progress:
    """Return bars on a terminal, else something that only counts."""
    from depthdata.downloading.progress import Progress

    bars = console.verbosity >= 0 and sys.stderr.isatty()
    return Progress("bars" if bars else "quiet")


def show_report(console: Console, report: DownloadReport) -> int:
    """Print what became of each file; return the exit code."""
    from depthdata.downloading.diagnosis import human

    for note in report.notes:
        console.note(f"note: {note}")
    lines, counts = [], dict[str, int]()
    for result in report.results:
        counts[result.status] = counts.get(result.status, 0) + 1
        if result.status == "failed":
            console.note(f"failed: {result.message}")
        elif result.message:
            console.note(f"note: {_with_name(result.name, result.message)}")
        where = result.into or result.path
        to = "" if where is None else f"  -> {where}"
        fetched = f"  {human(result.bytes_fetched)} fetched" if result.bytes_fetched else ""
        lines.append(f"{result.status:<8} {result.name}{to}{fetched}")
    total = ", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing"
    lines.append(f"{total}; {human(report.bytes_fetched)} fetched")
    records = [
        {key: str(value) if isinstance(value, Path) else value for key, value in asdict(r).items()}
        for r in report.results
    ]
    data = {
        "name": report.dataset,
        "root": str(report.root),
        "files": records,
        "notes": list(report.notes),
        "bytes_fetched": report.bytes_fetched,
        **counts,
    }
    console.result(data, "\n".join(lines))
    return exit_code_of(report)


def exit_code_of(report: DownloadReport) -> int:
    """Return 0, 3 where some files failed, or 1 where all did."""
    if report.ok:
        return EXIT_OK
    whole = len(report.failed) == len(report.results)
    return EXIT_FAILED if whole else EXIT_PARTLY_FAILED


def _with_name(name: str, message: str) -> str:
    return message if name in message else f"{name}: {message}"


def print_plan(
    console: Console,
    plan: Plan,
    terms: Terms,
    facts: dict[str, Any],
    parts: tuple[str, ...] = (),
) -> None:
    """Print what would be fetched."""
    from depthdata.downloading.terms import accepted

    known = accepted(terms)
    lines = [terms.text + (" (accepted)" if known else " (not accepted yet)"), "", plan.table()]
    lines += ["", plan.summary]
    lines += [f"needs: {need}" for need in plan.needs]
    if plan.left_out:
        lines.append(f"left out: {len(plan.left_out)}; --part all takes everything")
    if parts:
        lines.append(f"parts: {', '.join(parts)}")
    data = {
        **facts,
        "terms": {**asdict(terms), "sha256": terms.digest, "accepted": known},
        "files": [asdict(file) for file in plan.files],
        "size": plan.size,
        "needs": list(plan.needs),
        "left_out": list(plan.left_out),
        "parts": list(parts),
    }
    console.result(data, "\n".join(lines))


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
