"""``depthzoo download``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from depthdata.cli.base import EXIT_OK, Console, common_options
from depthdata.cli.download import (
    accept_terms,
    exit_code_of,
    make_progress,
    parse_rate,
    print_plan,
    show_report,
)


@click.command("download")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--accept-license", is_flag=True, help="You have read the terms and accept them.")
@click.option("--link", "links", multiple=True, metavar="URL", help="Address; or NAME=URL.")
@click.option(
    "--from",
    "from_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the files that you have.",
)
@click.option("--mirror", metavar="URL", help="Another place; also in DEPTHDATA_MIRROR.")
@click.option("--limit-rate", callback=parse_rate, help="Bytes per second: 500k, 20M.")
@click.option("--dry-run", is_flag=True, help="Print files and terms; ask no server.")
@common_options
def command(
    console: Console,
    models: tuple[str, ...],
    accept_license: bool,
    limit_rate: float | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Fetch the authors' weights of each MODEL into the cache, where every command finds them."""
    from depthdata.downloading.terms import terms_of
    from depthzoo.models import model_card
    from depthzoo.models.downloads import download, plan_download, source_card

    code = EXIT_OK
    for name in models:
        terms = terms_of(source_card(model_card(name)), "model")
        if dry_run:
            print_plan(console, plan_download(name, **options), terms, {"name": name})
            continue
        accepted = accept_terms(console, terms, accept_license)
        progress = make_progress(console)
        try:
            report = download(
                name,
                accept_license=accepted,
                limit_rate=limit_rate,
                progress=progress,
                **options,
            )
        finally:
            progress.close()
        code = max(code, show_report(console, report), exit_code_of(report))
    return code
