"""The frame of every page: style, script, tables, badges; nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from depthzoo.evaluation.report.values import about, as_number, text
from depthzoo.evaluation.results import write_text

__all__ = ["badge", "cell", "document", "heads", "section", "stamp", "table", "write_page"]

_SORT = """
for (const table of document.querySelectorAll('table.sortable'))
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.tabIndex = 0;
    head.title = 'sort';
    const sort = () => {
      const order = head.dataset.order === '1' ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) {
        delete other.dataset.order;
        other.removeAttribute('aria-sort');
      }
      head.dataset.order = order;
      head.setAttribute('aria-sort', order === 1 ? 'ascending' : 'descending');
      const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const value = row => { const n = Number(key(row)); return Number.isNaN(n) ? key(row) : n; };
      const rows = [...table.tBodies[0].rows];
      const last = x => x === 'nan';
      rows.sort((a, b) => { const x = value(a), y = value(b);
        if (last(x) || last(y)) return last(x) - last(y);
        return order * (x < y ? -1 : x > y ? 1 : 0); });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', e => { if (e.key === 'Enter') sort(); });
  }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return a whole page."""
    style = files("depthzoo.evaluation.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}</main><script>{_SORT}</script></body></html>\n"
    )


def write_page(page: str, path: str | Path) -> None:
    """Write a page to `path`, whole or not at all."""
    write_text(Path(path), page)


def badge(kind: str, words: str) -> str:
    """Return a badge: ``good`` or ``warn``."""
    return f'<span class="badge {kind}">{escape(words)}</span>'


def stamp(kind: str, title: str, words: str) -> str:
    """Return what everybody has to know before the numbers: ``warn`` or ``bad``."""
    return (
        f'<div class="stamp {kind}" role="note"><b>{escape(title)}</b><p>{escape(words)}</p></div>'
    )


def section(title: str, body: str) -> str:
    """Return a section, or nothing where its body is empty."""
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def table(
    head: str, rows: Sequence[str], *, foot: str = "", kind: str = "", tall: bool = False
) -> str:
    """Return a table in a card; `head` and `rows` are cells and rows in HTML."""
    box = "card scroll tall" if tall else "card scroll"
    tail = f"<tfoot>{foot}</tfoot>" if foot else ""
    return (
        f'<div class="{box}"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>{tail}</table></div>"
    )


def heads(names: Iterable[str]) -> str:
    """Return the heads of measures' columns, with units and which way is better."""
    found = []
    for one in map(about, names):
        unit = f" <small>{escape(one.unit)}</small>" if one.unit else ""
        lower = one.lower_is_better
        arrow = "" if lower is None else f" <small>{'↓' if lower else '↑'}</small>"
        found.append(f"<th>{escape(one.title)}{unit}{arrow}</th>")
    return "".join(found)


def cell(name: str, value: object, extra: str = "", mark: str = "", shown: str = "") -> str:
    """Return the cell of a value, sorted by all its digits; `shown` instead of its usual text."""
    kind = f' class="{mark}"' if mark else ""
    said = shown or text(name, value)
    return f'<td{kind} data-v="{as_number(value):.9g}">{said}{extra}</td>'
