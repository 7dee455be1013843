"""``depthdata split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depthdata.cli.base import Console, common_options
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.splits import Split
    from depthdata.windows import WindowRule


@click.command("split")
@click.argument("name", required=False)
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--form", metavar="AUTHORS", help="Print it as the named authors' text file.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=NUMBER",
    multiple=True,
    help="Another value of a parameter of a rule, such as sample_len=7.",
)
@click.option("--strict", is_flag=True, help="Fail where FILES are not all that is published.")
@common_options
def command(
    console: Console,
    name: str | None,
    files: tuple[Path, ...],
    form: str | None,
    settings: tuple[str, ...],
    strict: bool,
) -> None:
    """List what is published, print list NAME, or show rule NAME and the windows it gives.

    A list of frames is printed as CSV (sequence, camera, frame); with FILES (sequence files, or
    folders of them) the lines that are there, with file and position. A rule is described; with
    FILES its windows are printed, as sequence and frames.
    """
    from depthdata.windows import WindowRule, load_selection

    if name is None:
        _list(console)
        return
    found = load_selection(name)
    if not isinstance(found, WindowRule):
        if settings or (strict and not files) or (form and files):
            raise UsageError(
                f"{name} is a list of frames; --set is for rules, --strict goes with FILES, --form "
                "without them"
            )
        if files:
            _print_lines(console, found, files, strict)
        else:
            _print_list(console, found, form)
        return
    if form is not None:
        raise UsageError(f"{name} is a rule for windows; --form is for lists of frames")
    rule = found.set(**_parameters(settings))
    if files:
        _print_windows(console, rule, files, strict)
    else:
        _describe(console, rule)


def _list(console: Console) -> None:
    from depthdata.splits import list_splits, load_split
    from depthdata.windows import list_windows, load_windows

    splits = [load_split(each) for each in list_splits()]
    rules = [load_windows(each) for each in list_windows()]
    data: list[dict[str, Any]] = [
        {
            "name": s.name,
            "kind": "frames",
            "frames": len(s.entries),
            "sha256": s.sha256,
            "source": s.source,
        }
        for s in splits
    ]
    data += [
        {"name": r.name, "kind": "windows", "dataset": r.dataset, "source": r.source} for r in rules
    ]
    lines = [f"{s.name:<36} {len(s.entries):>6} frames  {s.source}" for s in splits]
    lines += [f"{r.name:<36} {'rule':>13}  {r.source}" for r in rules]
    console.result(data, "\n".join(lines))


def _print_list(console: Console, split: Split, form: str | None) -> None:
    entries = [list(entry) for entry in split.entries]
    if form is not None:
        text = split.as_text(form).rstrip("\n")
    else:
        text = "\n".join(["sequence,camera,frame", *(",".join(map(str, e)) for e in entries)])
    console.result(
        {"name": split.name, "sha256": split.sha256, "source": split.source, "entries": entries},
        text,
    )


def _print_lines(console: Console, split: Split, files: tuple[Path, ...], strict: bool) -> None:
    from depthdata.cli.files import expand_files
    from depthdata.sequence import open_sequence
    from depthdata.split_files import find_lines

    paths = expand_files(files)
    sequences = []
    for path in paths:
        with open_sequence(path) as sequence:
            sequences.append(sequence)
    rows = sorted(
        (rank, str(paths[lines.file]), t)
        for lines in find_lines(split, sequences, strict=strict)
        for rank, t in zip(lines.rank.tolist(), lines.frame.tolist(), strict=True)
        if t >= 0
    )
    entries = [[*split[rank], path, t] for rank, path, t in rows]
    header = ["sequence", "camera", "frame", "file", "position"]
    console.result(
        {"name": split.name, "sha256": split.sha256, "lines": len(split), "entries": entries},
        "\n".join(",".join(map(str, row)) for row in [header, *entries]),
    )


def _describe(console: Console, rule: WindowRule) -> None:
    data = rule.describe()
    width = max(map(len, data))
    lines = []
    for key, value in data.items():
        values = value if isinstance(value, list) else [value]
        for i, each in enumerate(values or ["none"]):
            lines.append(f"{key if i == 0 else '':<{width}}  {_plain(each)}")
    console.result(data, "\n".join(lines))


def _print_windows(
    console: Console, rule: WindowRule, files: tuple[Path, ...], strict: bool
) -> None:
    from depthdata.cli.files import expand_files
    from depthdata.sequence import open_sequence

    sequences = []
    for path in expand_files(files):
        with open_sequence(path) as sequence:
            sequences.append(sequence)
    clips = rule.resolve_files(sequences, strict=strict)
    console.result(
        {**rule.describe(), "clips": [[clip.sequence, list(clip.frames)] for clip in clips]},
        "\n".join(["sequence,frames", *(f"{clip.sequence},{clip.runs()}" for clip in clips)]),
    )


def _parameters(settings: tuple[str, ...]) -> dict[str, int]:
    parameters = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value.lstrip("-").isdigit():
            raise UsageError(f"--set expects KEY=NUMBER, found {setting!r}")
        parameters[key] = int(value)
    return parameters


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) or "none"
    return str(value)
