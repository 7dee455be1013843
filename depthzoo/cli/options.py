"""Options that several commands of ``depthzoo`` share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["family_option", "model_options", "parse_options"]

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {"true": True, "false": False, "none": None}


def model_options(command: F) -> F:
    """Add ``--weights``, ``--device`` and ``--precision``."""
    options = [
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="Checkpoint file, or the archive or folder around it.",
        ),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ..."),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "fp16", "bf16"]),
            default="fp32",
            show_default=True,
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def family_option(command: F) -> F:
    """Add ``--option KEY=VALUE``, which `parse_options` reads."""
    return click.option(
        "--option",
        "pairs",
        multiple=True,
        metavar="KEY=VALUE",
        help="Of the model's family, such as iterations=12, size=192x640, outputs=depth,pose.",
    )(command)


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Return options of a model from ``key=value``.

    Whole numbers, decimals, true, false and none become what they say; ``a,b`` and ``2x3`` become
    tuples; the rest stays text. Which options there are is the model's to say.

    >>> parse_options(["iterations=12", "size=192x640", "outputs=depth,pose", "channels_last=true"])
    {'iterations': 12, 'size': (192, 640), 'outputs': ('depth', 'pose'), 'channels_last': True}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"expected KEY=VALUE, found {pair!r}", param_hint="--option")
        if key in found:
            raise click.BadParameter(f"{key} is given twice", param_hint="--option")
        found[key] = _value(value.strip())
        if key == "outputs" and isinstance(found[key], str):
            found[key] = (found[key],)
    return found


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if "," in text:
        return tuple(_value(part.strip()) for part in text.split(",") if part.strip())
    if re.fullmatch(r"\d+x\d+", text):
        return tuple(int(part) for part in text.split("x"))
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return text
