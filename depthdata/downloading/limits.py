"""How much an archive may unpack to, so that a bomb is refused and a real dataset never is."""

from __future__ import annotations

from dataclasses import dataclass, field

from depthdata.downloading.diagnosis import human
from depthdata.errors import DownloadError

__all__ = ["Limits", "Tally"]


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. The defaults are above every published dataset.

    Parameters
    ----------
    members : int
        Files and folders.
    bytes : int
        Bytes of all files together, unpacked.
    ratio, ratio_from : float, int
        Unpacked bytes per packed byte; it counts once more than `ratio_from` bytes come out. Masks
        and empty depth maps pack well: single files are above 1000, whole datasets below 100.
    depth : int
        Folders inside one another. An archive inside an archive is a file like any other.
    name_bytes : int
        Bytes of a member's name, folders included; one part of it has at most 255.
    index_bytes : int
        Bytes of an index that has to be held in memory (7z).
    """

    members: int = 10_000_000
    bytes: int = 64 << 40
    ratio: float = 250.0
    ratio_from: int = 4 << 30
    depth: int = 64
    name_bytes: int = 2048
    index_bytes: int = 1 << 30


@dataclass
class Tally:
    """Counts what an archive holds against its limits.

    >>> tally = Tally("a.zip", Limits(members=1))
    >>> tally.member()
    >>> tally.member()
    Traceback (most recent call last):
        ...
    depthdata.errors.DownloadError: a.zip: more than 1 members; nothing of this kind is published
    """

    archive: object
    limits: Limits
    members: int = field(default=0, init=False)
    bytes: int = field(default=0, init=False)

    def member(self) -> None:
        """Count a member; DownloadError where there are too many."""
        self.members += 1
        if self.members > self.limits.members:
            self._refuse(f"more than {self.limits.members} members")

    def add(self, unpacked: int, packed: int) -> None:
        """Count bytes that come out, given all packed bytes that they come from so far."""
        self.bytes += unpacked
        if self.bytes > self.limits.bytes:
            self._refuse(f"more than {human(self.limits.bytes)} unpacked")
        if self.bytes > self.limits.ratio_from and self.bytes > self.limits.ratio * packed:
            self._refuse(
                f"{human(packed)} that unpack to {human(self.bytes)} or more, above the ratio of "
                f"{self.limits.ratio:g}"
            )

    def _refuse(self, what: str) -> None:
        raise DownloadError(f"{self.archive}: {what}; nothing of this kind is published")
