"""``depthdata cite``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import DepthdataError, FormatError, UsageError

GROUP = "depthdata.citations"
"""Entry points that know more names than ours: called with a name, they give facts or None."""


@dataclass
class Citation:
    """One thing to cite.

    Parameters
    ----------
    kind, name, title : str
        A ``dataset`` or a ``model``.
    bibtex, licence, terms_url : str
    made_from : list of str
        What it was itself made from, in words.
    used_by : list of str
        The files that led to it.
    """

    kind: str
    name: str
    title: str
    bibtex: str
    licence: str
    terms_url: str
    made_from: list[str] = field(default_factory=list)
    used_by: list[str] = field(default_factory=list)


@click.command("cite")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@common_options
def command(console: Console, files: tuple[Path, ...]) -> None:
    """Print BibTeX and terms of what sequence files and results of evaluations were made from.

    A FILE is a sequence file, the JSON of an evaluation, or a folder of such files.
    """
    found: dict[tuple[str, str], Citation] = {}
    for path in _expanded(files):
        for citation in _of_file(path):
            known = found.setdefault((citation.kind, citation.name), citation)
            known.used_by.append(str(path))
    citations = sorted(found.values(), key=lambda citation: (citation.kind, citation.name))
    text = "\n\n".join(_text(citation) for citation in citations)
    console.result([asdict(citation) for citation in citations], text)


def _expanded(files: tuple[Path, ...]) -> list[Path]:
    found = []
    for path in files:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.rglob("*.h5"))
        if not inside:
            raise UsageError(f"{path}: no sequence file (*.h5) in this folder")
        found += inside
    return found


def _of_file(path: Path) -> list[Citation]:
    with path.open("rb") as file:
        first = file.read(64).lstrip()
    return _of_result(path) if first[:1] in (b"{", b"[") else [_of_sequence(path)]


def _of_sequence(path: Path) -> Citation:
    from depthdata.sequence import open_sequence

    with open_sequence(path) as sequence:
        citation = _dataset(sequence.dataset)
        # the file keeps what was said when it was made
        citation.bibtex = sequence.citation or citation.bibtex
        citation.licence = sequence.licence or citation.licence
    return citation


def _of_result(path: Path) -> list[Citation]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path}: no whole JSON file ({error}); write the result again") from None
    results = result if isinstance(result, list) else [result]
    datasets: dict[str, None] = {}
    models: dict[str, None] = {}
    for one in results:
        if not isinstance(one, dict):
            continue
        for row in one.get("data") or []:
            if isinstance(row, dict) and isinstance(row.get("dataset"), str):
                datasets.setdefault(row["dataset"])
        model = one.get("model")
        name = model.get("name") if isinstance(model, dict) else model
        if isinstance(name, str):
            models.setdefault(name)
    if not datasets and not models:
        raise UsageError(
            f"{path}: names neither data nor a model; expected what depthzoo evaluate --json wrote"
        )
    return [*map(_dataset, datasets), *map(_model, models)]


def _dataset(name: str) -> Citation:
    from depthdata.sources import dataset_card

    try:
        card = dataset_card(name)
    except DepthdataError:
        return Citation("dataset", name, name, "", "not known", "")
    title, terms = card.title, card.terms_url
    return Citation("dataset", name, title, card.citation, card.licence, terms)


def _model(name: str) -> Citation:
    for point in entry_points(group=GROUP):
        facts: dict[str, Any] | None = point.load()(name)
        if facts is not None:
            return Citation("model", name, **facts)
    return Citation("model", name, name, "", f"not known; see `depthzoo info {name}`", "")


def _text(citation: Citation) -> str:
    count = len(citation.used_by)
    lines = [
        f"% {citation.kind} {citation.name}: {citation.title} ({count} file{'s'[: count != 1]})",
        f"% licence: {citation.licence}",
    ]
    lines += [f"% terms:   {citation.terms_url}"] if citation.terms_url else []
    lines += [f"% made from: {', '.join(citation.made_from)}"] if citation.made_from else []
    return "\n".join([*lines, citation.bibtex or "% (no BibTeX is known)"])
