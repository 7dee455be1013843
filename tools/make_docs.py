"""Write the pages of docs/ that are made from the cards: python tools/make_docs.py [--check].

docs/datasets.md and docs/models.md hold no fact that is typed; with --check, exit 1 if they are not
what the cards say now.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from depthdata.downloading.access import kind_of
from depthdata.downloading.plan import part_names, select
from depthdata.sources import Card as DatasetCard
from depthdata.sources import dataset_card, list_datasets
from depthzoo.benchmark import read_timings, table
from depthzoo.evaluation.markdown import protocols_page
from depthzoo.evaluation.reproduce_markdown import reproduce_page
from depthzoo.models import Card as ModelCard
from depthzoo.models import list_models, model_card

DOCS = Path(__file__).resolve().parents[1] / "docs"


def datasets_page() -> str:
    cards = [dataset_card(name) for name in list_datasets()]
    lines = [
        "# Datasets\n",
        "What `depthdata convert` reads. The data stay under their owners' terms; nothing of",
        "them is part of this project. `depthdata info NAME` prints the same facts.\n",
        "| name | dataset | licence | access | archives |",
        "|---|---|---|---|---|",
        *(
            f"| `{c.name}` | [{c.title}]({c.homepage}) | {c.licence} | {c.access} | "
            f"{len(c.archives)} |"
            for c in cards
        ),
        "",
    ]
    for card in cards:
        lines += _dataset(card)
    return "\n".join(lines)


def _dataset(card: DatasetCard) -> Iterator[str]:
    yield f"## `{card.name}`: {card.title}\n"
    yield f"* Cameras: {_names(card.cameras)}. Streams: {_names(card.streams)}."
    yield f"* Published splits: {_names(card.splits)}."
    yield f"* Terms: <{card.terms_url}>"
    if card.archives:
        yield f"* Download: {_download(card)}.\n"
    yield "Conversion:\n"
    yield from (f"* {note}" for note in card.notes)
    yield "\nKnown defects of the published data:\n"
    yield from (f"* {defect}" for defect in card.known_defects)
    yield f"\nCite:\n\n```bibtex\n{card.citation}\n```\n"


def _download(card: DatasetCard) -> str:
    usual = select(card)
    kinds = sorted({kind_of(archive, card.login) for archive in card.archives})
    noun = "sets of files" if any(archive.many for archive in card.archives) else "archives"
    said = [f"{', '.join(kinds)}; {len(usual)} of {len(card.archives)} {noun} without a choice"]
    parts = part_names(card)
    if len(parts) > 1:
        said.append(f"parts {_names(parts)}")
    return "; ".join(said)


def models_page() -> str:
    cards = [model_card(name) for name in list_models()]
    lines = [
        "# Models\n",
        "What `depthzoo.load` runs. The authors' checkpoint files are loaded unchanged: those that",
        "`depthzoo download` fetched, or the file, the archive around it or the folder that holds",
        "it as `weights=`.\n",
        "| name | model | gives | needs | trained on | licence |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{c.name}` | [{c.title}]({c.paper}) | {', '.join(c.gives)} ({c.invariance}) | "
            f"{_needs(c)} | {', '.join(c.trained_on) or '-'} | {c.licence} |"
            for c in cards
        ),
        "",
        "## Checkpoints\n",
        "A SHA-256 prefix comes from a third party and is reported when it differs.\n",
        "| name | file | published at | SHA-256 |",
        "|---|---|---|---|",
    ]
    for card in cards:
        for file in card.weights:
            digest = file.sha256 or (file.sha256_prefix or "not") + (
                "..." if file.sha256_prefix else " published"
            )
            lines.append(f"| `{card.name}` | {file.file} | <{file.url}> | {digest} |")
    lines += [
        "",
        "## Speed and memory\n",
        "Untrained weights, random images of the size that a model was trained at. A frame is",
        "timed from array to array (median); the peak is that of the tensors beside the weights.",
        "`depthzoo bench` measures your machine. These rows: `depthzoo bench MODEL -o",
        "docs/benchmark.json`, then `python tools/make_docs.py`.\n",
        table(read_timings(DOCS / "benchmark.json")),
        "## The authors' numbers\n",
        "| name | dataset | metric | value | source |",
        "|---|---|---|---|---|",
        *(
            f"| `{card.name}` | {n.dataset} | {n.metric} | {n.value} {n.unit} | {n.source} |"
            for card in cards
            for n in card.numbers
        ),
        "",
        "## Notes\n",
        *(f"* `{card.name}`: {note}" for card in cards for note in card.notes),
        "",
    ]
    return "\n".join(lines)


def _needs(card: ModelCard) -> str:
    needs = [" + ".join(card.needs.views)]
    if card.needs.offsets != (0,):
        needs.append(f"frames {', '.join(map(str, card.needs.offsets))}")
    needs += [word for word in ("intrinsics", "poses") if getattr(card.needs, word)]
    return ", ".join(needs)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


PAGES = {
    "datasets.md": datasets_page,
    "models.md": models_page,
    "protocols.md": protocols_page,
    "reproduce.md": reproduce_page,
}


def main() -> int:
    stale = 0
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{path.name} is not up to date: run python tools/make_docs.py", file=sys.stderr)
            stale = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(path)
    return stale


if __name__ == "__main__":
    sys.exit(main())
