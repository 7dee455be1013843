"""``depthdata list``."""

from __future__ import annotations

import click

from depthdata.cli.base import Console, common_options


@click.command("list")
@common_options
def command(console: Console) -> None:
    """Print the datasets that can be converted, a line each."""
    from depthdata.sources import dataset_card, list_datasets

    cards = [dataset_card(name) for name in list_datasets()]
    width = max((len(card.name) for card in cards), default=0)
    console.result(
        [{"name": card.name, "title": card.title, "licence": card.licence} for card in cards],
        "\n".join(f"{card.name:<{width}}  {card.title} ({card.licence})" for card in cards),
    )
