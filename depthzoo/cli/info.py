"""``depthzoo info``."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError


@click.command("info")
@click.argument("names", metavar="MODEL|PROTOCOL...", nargs=-1, required=True)
@common_options
def command(console: Console, names: tuple[str, ...]) -> None:
    """Print what a model or an evaluation protocol is."""
    found = [_describe(name) for name in names]
    text = "\n\n".join(_text(record) for record in found)
    console.result(found[0] if len(found) == 1 else found, text)


def _describe(name: str) -> dict[str, Any]:
    from depthzoo.evaluation import get_protocol, list_protocols
    from depthzoo.evaluation.results import plain
    from depthzoo.models import list_models, model_card

    if name in list_models():
        record: dict[str, Any] = plain(model_card(name).to_dict())
        return record
    try:
        protocol = get_protocol(name)
    except UsageError:
        raise UsageError(
            f"{name}: neither a model ({', '.join(list_models())}) nor a protocol "
            f"({', '.join(list_protocols())})"
        ) from None
    published = [dataclasses.asdict(row) for row in protocol.published]
    result: dict[str, Any] = plain({**protocol.describe(), "published": published})
    return result


def _text(record: Mapping[str, Any]) -> str:
    width = max(len(key) for key in record) + 2
    lines = []
    for key, value in record.items():
        wrapped = textwrap.wrap(_plain(value), 96 - width) or ["-"]
        lines.append(f"{key:<{width}}{wrapped[0]}")
        lines += [" " * width + line for line in wrapped[1:]]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_plain(v) for v in value)
    return "" if value is None else str(value)
