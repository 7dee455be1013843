"""The page ``docs/reproduce.md``: the published tables and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterator

from depthzoo.evaluation.protocols import get_protocol
from depthzoo.evaluation.reproduce_tables import TABLES, Row, Table, table_rows

__all__ = ["reproduce_page"]

_INTRO = """\
# Published tables, run again

```sh
depthzoo reproduce --list                          # the tables
depthzoo reproduce dynamo_depth/readme --dry-run   # what it needs, what is missing, how to get it
depthzoo reproduce dynamo_depth/readme --data ~/depth --weights ~/checkpoints \\
    --device cuda -o result.json --html result.html
```

A table is rows (model, options, protocol, published selection of frames) and the numbers that its
authors state. The command looks for sequence files in `--data` (else in the folders that
`DEPTHDATA_SEQUENCES` names, else in `./sequences`) and counts the frames of the selection that are
there; it looks for checkpoints in `--weights PATH` or `--weights MODEL=PATH` (else in the cache).
It prints the commands that get the rest, runs every row that can run, and prints published, ours
and delta with what is known of the model's training data. `--model PATTERN` takes some rows.

* **Delta** is ours - published, and is given only where all of the published data were measured
  under the published protocol. With `--partial` a row runs on what is there and says "not
  comparable: N of M frames" instead.
* **?** behind a number: quoted from memory, not compared with its source.
* **Stopped?** The same command with the same `-o` goes on where it was: finished sequences are kept
  in `OUTPUT.state` until the result is written.
* **Result.** JSON: the plan, the cells, and of each row all that `depthzoo evaluate` gives. The
  page of `--html` has a report of each row beside it.
* **Exit code.** 0: every row ran; 3: a part; 1: nothing could; 2: wrong usage.

A table of your own is data too: `depthzoo.evaluation.reproduce_tables.Table`, given to
`depthzoo.evaluation.reproduce.reproduce`.

## The tables
"""


def reproduce_page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRO, "| table | what | rows that run |", "|---|---|---|"]
    for table in TABLES:
        runs = sum(row.runs for row in table_rows(table))
        lines.append(f"| `{table.name}` | {table.title} | {runs} |")
    lines.append("")
    for table in TABLES:
        lines += _section(table)
    return "\n".join(lines)


def _section(table: Table) -> Iterator[str]:
    yield f"### `{table.name}`\n"
    yield f"{table.title}. {table.note}".rstrip() + "\n"
    yield "| model | protocol | split | data | published |"
    yield "|---|---|---|---|---|"
    for row in table_rows(table):
        yield _line(row)
    yield ""


def _line(row: Row) -> str:
    protocol = get_protocol(row.protocol)
    data = " or ".join(f"`{name}`" for name in row.datasets)
    if protocol.preset:
        data += f", preset `{protocol.preset}`"
    options = "".join(f", {key} {value}" for key, value in row.options.items())
    model = f"`{row.model}`" if row.runs else f"{row.model} (no weights)"
    return f"| {model}{options} | `{row.protocol}` | `{row.split}` | {data} | {_published(row)} |"


def _published(row: Row) -> str:
    cells = []
    for number in row.numbers:
        if number.value is None:
            continue
        region = "" if number.region == "all" else f" ({number.region})"
        mark = "" if number.verified else "?"
        cells.append(f"{number.metric}{region} {number.value:g}{mark}")
    return ", ".join(cells) or "not recorded here"
