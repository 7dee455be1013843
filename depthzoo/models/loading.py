"""From the files that a card names to a network with its weights."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError
from depthzoo.models.card import Card, WeightsFile
from depthzoo.models.downloads import downloaded
from depthzoo.weights import Checkpoint, cache_folder, load_checkpoint, load_state

if TYPE_CHECKING:
    from torch import nn

__all__ = ["UNTRAINED", "check_options", "combined_digest", "load_checkpoints", "load_weights"]

logger = logging.getLogger(__name__)

UNTRAINED = "untrained"
"""In the place of weights: leave the network as it is made, to measure time and memory."""


def check_options(card: Card, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse options that a family does not have."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = ", ".join(known) if known else "none"
        raise UsageError(f"{card.name} has no option {', '.join(unknown)}; it has {has}")


def load_weights(card: Card, network: nn.Module, weights: str | Path | None) -> str:
    """Fill a network as `load_checkpoints` does and return the digest of what was read."""
    return combined_digest(load_checkpoints(card, network, weights))


def combined_digest(checkpoints: list[Checkpoint]) -> str:
    """SHA-256 of the file; of the digests in order, where there are several."""
    digests = [checkpoint.sha256 for checkpoint in checkpoints]
    if not digests:
        return UNTRAINED
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def load_checkpoints(
    card: Card, network: nn.Module, weights: str | Path | None
) -> list[Checkpoint]:
    """Fill a network from the files of its card; every key must fit.

    Parameters
    ----------
    card : Card
    network : Module
        A file with a `prefix` fills the sub-network of that name.
    weights : path, optional
        The file, the archive around the files, or the folder that holds them; or `UNTRAINED`. By
        default what ``depthzoo download`` put into the cache.

    Returns
    -------
    list of Checkpoint
        What was read, in the order of the card.

    Raises
    ------
    UsageError
        Not given, or not all of the files there.
    FormatError
        Damaged, unsafe, or of another model; the network may be filled in part.
    """
    if weights is None:
        weights = downloaded(card)
        if weights is None:
            raise UsageError(_how_to_get(card))
    if weights == UNTRAINED:
        logger.warning("%s is untrained: its predictions mean nothing", card.name)
        return []
    path = _common_folder(card, Path(weights))
    checkpoints = []
    for file in card.weights:
        checkpoint = load_checkpoint(path, member=file.file, allow=file.allow, sha256=file.sha256)
        _compare_digest(card, file, checkpoint)
        part = network.get_submodule(file.prefix.rstrip("."))
        source = f"{path} ({file.file})" if len(card.weights) > 1 else checkpoint.path
        load_state(part, checkpoint.state, ignore=file.ignore, source=source)
        checkpoints.append(checkpoint)
    return checkpoints


def _how_to_get(card: Card) -> str:
    files = ", ".join(file.file for file in card.weights)
    first = card.weights[0]
    place = first.archive or (first.file if len(card.weights) == 1 else "the folder with them")
    also = f" or of {first.file}" if first.archive and len(card.weights) == 1 else ""
    return (
        f"{card.name} needs {files}: `depthzoo download {card.name}`, or download {first.url} and "
        f"give weights= (--weights) the path of {place}{also}"
    )


def _common_folder(card: Card, path: Path) -> Path:
    """Return the folder below `path` that has every file of a card; a file as it is."""
    if len(card.weights) < 2 or not path.is_dir():
        return path
    names = [file.file for file in card.weights]
    holders = sorted({found.parent for found in path.rglob(names[0])})
    whole = [folder for folder in holders if all((folder / name).is_file() for name in names)]
    if path in whole or len(whole) == 1:
        return path if path in whole else whole[0]
    if whole:
        listed = ", ".join(folder.name for folder in whole)
        raise UsageError(f"{path}: {len(whole)} folders have weights of {card.name}: {listed}")
    if not holders:
        raise UsageError(f"{path}: expected {', '.join(names)} in it; found no {names[0]}")
    lacking = [name for name in names if not (holders[0] / name).is_file()]
    raise UsageError(f"{holders[0]}: {card.name} needs {', '.join(lacking)} too; not found there")


def _compare_digest(card: Card, file: WeightsFile, checkpoint: Checkpoint) -> None:
    """Tell when a file is not the one that is known, or that was used first."""
    found, where = checkpoint.sha256, "a third party lists for"
    expected = file.sha256 or file.sha256_prefix
    if expected is None:
        expected, where = _first_used(f"{card.name}/{file.file}", found), "was used first as"
    if not found.startswith(expected):
        logger.warning(
            "%s: SHA-256 %s... is not the %s... that %s %s",
            *(checkpoint.path, found[:12], expected[:12], where, file.file),
        )


def _first_used(name: str, digest: str) -> str:
    """Return the digest recorded under a name; record this one when there is none."""
    path = cache_folder() / "weights" / "first_used.json"
    recorded: dict[str, str] = {}
    with suppress(OSError, ValueError):
        recorded = dict(json.loads(path.read_text(encoding="utf-8")))
    if name in recorded:
        return str(recorded[name])
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({**recorded, name: digest}, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        logger.warning("the digest of %s is not recorded: %s", name, error)
    return digest
