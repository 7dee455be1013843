"""``depthdata split``."""

from __future__ import annotations

import click

from depthdata.cli.base import Console, common_options


@click.command("split")
@click.argument("name", required=False)
@click.option("--form", metavar="AUTHORS", help="Print it as the named authors' text file.")
@common_options
def command(console: Console, name: str | None, form: str | None) -> None:
    """List the published splits, or print split NAME as CSV (sequence, camera, frame)."""
    from depthdata.splits import list_splits, load_split

    if name is None:
        splits = [load_split(each) for each in list_splits()]
        console.result(
            [
                {"name": s.name, "frames": len(s.entries), "sha256": s.sha256, "source": s.source}
                for s in splits
            ],
            "\n".join(f"{s.name:<28} {len(s.entries):>6} frames  {s.source}" for s in splits),
        )
        return
    split = load_split(name)
    entries = [list(entry) for entry in split.entries]
    if form is not None:
        text = split.as_text(form).rstrip("\n")
    else:
        text = "\n".join(["sequence,camera,frame", *(",".join(map(str, e)) for e in entries)])
    console.result(
        {"name": split.name, "sha256": split.sha256, "source": split.source, "entries": entries},
        text,
    )
