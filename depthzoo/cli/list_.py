"""``depthzoo list``."""

from __future__ import annotations

import click

from depthdata.cli.base import Console, common_options


@click.command("list")
@click.option("--protocols", is_flag=True, help="List evaluation protocols instead of models.")
@common_options
def command(console: Console, protocols: bool) -> None:
    """Print the models that can be run, a line each."""
    if protocols:
        from depthzoo.evaluation import get_protocol, list_protocols

        rows = [(name, get_protocol(name).title) for name in list_protocols()]
    else:
        from depthzoo.models import list_models, model_card

        rows = [(name, model_card(name).title) for name in list_models()]
    width = max((len(name) for name, _ in rows), default=0)
    console.result(
        [{"name": name, "title": title} for name, title in rows],
        "\n".join(f"{name:<{width}}  {title}" for name, title in rows),
    )
