"""One difference between two things compared."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Difference"]


@dataclass(frozen=True)
class Difference:
    """One difference.

    Parameters
    ----------
    where : str
        File, camera, stream, frame: as far as it goes.
    message : str
        What is found there, and what was expected.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"
