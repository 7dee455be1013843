"""The program ``depthdata``."""

from __future__ import annotations

import click

from depthdata._version import __version__
from depthdata.cli.base import LazyCommand, LazyGroup

_COMMANDS = {
    name: LazyCommand(f"depthdata.cli.{module}:command", summary)
    for name, module, summary in [
        ("list", "list_", "The datasets that can be converted."),
        ("info", "info", "What a dataset is, or what a sequence file holds."),
        ("download", "download", "A dataset from its owner: verified, unpacked, resumable."),
        ("convert", "convert", "Raw dataset to sequence files."),
        ("verify", "verify", "Is every byte of a sequence file as it was written?"),
        ("check", "check", "Do images, depth, poses and times of a file agree?"),
        ("export", "export", "Sequence files back to a dataset's own layout."),
        ("compare", "compare", "The differences between two files or folders."),
        ("split", "split", "Published splits: list, show, print in the authors' form."),
        ("view", "view", "Contact sheet (PNG) or video (MP4) of a sequence."),
        ("cite", "cite", "BibTeX and terms of what files were made from."),
        ("doctor", "doctor", "Is everything here that the programs need?"),
        ("synth", "synth", "Render a synthetic scene with exact truth."),
    ]
}


@click.group(
    cls=LazyGroup,
    commands_by_name=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="depthdata")
def main() -> None:
    """Datasets for depth in dynamic scenes, in one HDF5 format."""
