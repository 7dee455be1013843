"""The errors that depthdata and depthzoo raise for wrong input.

Every message is one line: what is wrong, where, what was expected, what was found, what to do.
"""

from __future__ import annotations

__all__ = [
    "AbsentFrameError",
    "DepthdataError",
    "DownloadError",
    "FormatError",
    "MissingDependencyError",
    "SourceError",
    "TermsError",
    "UsageError",
]


class DepthdataError(Exception):
    """Root of every error that the user can act on; the command line prints it as one line."""


class FormatError(DepthdataError):
    """A file is damaged, incomplete, or not what its format says."""


class SourceError(DepthdataError):
    """A raw dataset tree is not as its source publishes it.

    Parameters
    ----------
    message : str
        One line: what, where, expected, found, what to do.
    incomplete : bool
        True when files are missing, so that ``--skip-incomplete`` may go on without the sequence.
    """

    def __init__(self, message: str, *, incomplete: bool = False) -> None:
        super().__init__(message)
        self.incomplete = incomplete

    def __reduce__(self) -> tuple[object, ...]:
        """Keep `incomplete` when a worker process hands the error back."""
        return _rebuild_source_error, (str(self), self.incomplete)


def _rebuild_source_error(message: str, incomplete: bool) -> SourceError:
    return SourceError(message, incomplete=incomplete)


class DownloadError(DepthdataError):
    """A file could not be fetched, or is not what its source publishes."""


class AbsentFrameError(DepthdataError, KeyError):
    """A frame was asked for in which the stream is not present."""

    def __str__(self) -> str:
        """Return the plain message (KeyError would quote it)."""
        return str(self.args[0]) if self.args else ""


class TermsError(DepthdataError):
    """The terms of a dataset were not accepted."""


class MissingDependencyError(DepthdataError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class UsageError(DepthdataError, ValueError):
    """An argument is wrong."""
