"""What every command of both programs shares: lazy loading, options, output, exit codes.

Results go to stdout (as text, or as JSON with ``--json``); everything else goes to stderr.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar, cast

import click

from depthdata.errors import DepthdataError, TermsError, UsageError

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_PARTLY_FAILED",
    "EXIT_TERMS",
    "EXIT_USAGE",
    "Console",
    "LazyCommand",
    "LazyGroup",
    "common_options",
]

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PARTLY_FAILED, EXIT_TERMS = range(5)
EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])


class LazyCommand(NamedTuple):
    """Where a command lives and what ``--help`` says of it without importing it."""

    target: str  # "package.module:attribute"
    summary: str


class LazyGroup(click.Group):
    """A click group that imports a command only when it is run.

    Parameters
    ----------
    commands_by_name : Mapping[str, LazyCommand]
        In the order in which ``--help`` lists them.
    """

    def __init__(self, *args: Any, commands_by_name: Mapping[str, LazyCommand], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.lazy = dict(commands_by_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        return cast(click.Command, getattr(import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.lazy.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run and turn known errors into one line and an exit code."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except DepthdataError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(exit_code(error))
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output went away: nothing to tell it
            sys.exit(EXIT_FAILED)
        sys.exit(code if isinstance(code, int) else EXIT_OK)


def exit_code(error: DepthdataError) -> int:
    """Return the exit code that stands for an error.

    >>> exit_code(UsageError("no such camera"))
    2
    """
    if isinstance(error, TermsError):
        return EXIT_TERMS
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


class Console:
    """Where a command writes: results to stdout, remarks and progress to stderr."""

    def __init__(self, *, as_json: bool, verbosity: int) -> None:
        self.as_json = as_json
        self.verbosity = verbosity

    def result(self, data: object, text: str) -> None:
        """Print the result: `data` as JSON when asked for, else `text`."""
        click.echo(json.dumps(data, indent=2, sort_keys=False) if self.as_json else text)

    def note(self, message: str) -> None:
        """Say something to the person watching (not with ``-q``)."""
        if self.verbosity >= 0:
            click.echo(message, err=True)

    def progress(self, unit: str) -> Callable[[int, int, str], None] | None:
        """Return a callback ``(done, total, name)`` that draws a bar, or None off a terminal."""
        if self.verbosity < 0 or not sys.stderr.isatty():
            return None
        from tqdm import tqdm

        bar = tqdm(unit=unit, file=sys.stderr, leave=False)

        def update(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return update


def common_options(command: F) -> F:
    """Add ``--json``, ``-v`` and ``-q``; the command receives a `Console` first."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
    @click.option("-v", "--verbose", count=True, help="Say more (-vv: everything).")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but the result and errors.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, verbose: int, quiet: bool, **kwargs: Any) -> Any:
        verbosity = -1 if quiet else verbose
        level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(verbosity)
        logging.basicConfig(
            level=logging.DEBUG if level is None else level,
            format="%(levelname)s: %(message)s",
            stream=sys.stderr,
        )
        console = Console(as_json=as_json, verbosity=verbosity)
        return command(console, *args, **kwargs)

    return cast(F, wrapped)
