"""The program ``depthzoo``."""

from __future__ import annotations

import click

from depthdata._version import __version__
from depthdata.cli.base import LazyCommand, LazyGroup

_COMMANDS = {
    name: LazyCommand(f"depthzoo.cli.{module}:command", summary)
    for name, module, summary in [
        ("list", "list_", "The models, or the evaluation protocols."),
        ("info", "info", "What a model or a protocol is."),
        ("download", "download", "The authors' weights, into the cache."),
        ("predict", "predict", "Predictions of a model for sequence files."),
        ("view", "view", "Predictions of a model as a video, in space, or as a recording."),
        ("evaluate", "evaluate", "A model under a named protocol: table, JSON, HTML."),
        ("compare", "compare", "Results of evaluations beside one another: table, JSON, HTML."),
        ("reproduce", "reproduce", "A published table again: published, ours, delta."),
        ("bench", "bench", "Time and memory of models."),
        ("parity", "parity", "A network against golden vectors, array by array."),
    ]
}


@click.group(
    cls=LazyGroup,
    commands_by_name=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="depthzoo")
def main() -> None:
    """Run published depth models on any sequence and evaluate them under named protocols."""
