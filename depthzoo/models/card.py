"""What a model is, as plain facts: where it comes from, what it needs, what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Card", "Needs", "PublishedNumber", "WeightsFile"]


@dataclass(frozen=True)
class Needs:
    """What a sample must hold for `predict`; the evaluator builds windows from it.

    Parameters
    ----------
    views : tuple of str
        Cameras, the predicted one first: ``("left", "right")`` is a rectified pair.
    offsets : tuple of int
        Frames of a window, relative to the predicted one.
    intrinsics, poses : bool
        Whether the cameras' intrinsics and poses are used.
    """

    views: tuple[str, ...] = ("left",)
    offsets: tuple[int, ...] = (0,)
    intrinsics: bool = False
    poses: bool = False


@dataclass(frozen=True)
class WeightsFile:
    """Where the weights are published.

    Parameters
    ----------
    file : str
        Name of the file (inside the archive, where `url` is one).
    url : str
        Download address of the file or of the archive around it.
    archive : str, optional
        Name of that archive.
    sha256 : str, optional
        Digest of the file, verified.
    sha256_prefix : str, optional
        Beginning of the digest as a third party states it; a difference is reported, not refused.
    archive_md5 : str, optional
        Digest of the archive, where its authors state one.
    allow : tuple
        Classes, or dotted names of classes, beyond tensors that the file names.
    prefix : str
        What its keys begin with in the whole network, where that is stored in several files.
    ignore : tuple of str
        Patterns of its keys that the network does not have, or may lack in the file.
    """

    file: str
    url: str
    archive: str | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    archive_md5: str | None = None
    allow: tuple[Any, ...] = ()
    prefix: str = ""
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedNumber:
    """A result as its authors state it."""

    dataset: str
    metric: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Card:
    """Facts about a model.

    Parameters
    ----------
    name : str
        ``family`` or ``family/weights``.
    family, title : str
    licence : str
        Of the authors' code and weights.
    paper, homepage : str
        Addresses.
    needs : Needs
    gives : tuple of str
        Quantities in its `Prediction`.
    invariance : str
        Of that prediction.
    weights : tuple of WeightsFile
        Empty when the model needs none.
    trained_on : tuple of str
        Datasets, in order of training.
    numbers : tuple of PublishedNumber
    network : str, optional
        Name for `depthzoo.networks.create`.
    settings : mapping
        Inference settings its authors use.
    notes : tuple of str
        What a user should know, a line each.
    """

    name: str
    family: str
    title: str
    licence: str
    paper: str
    homepage: str
    needs: Needs
    gives: tuple[str, ...]
    invariance: str
    weights: tuple[WeightsFile, ...] = ()
    trained_on: tuple[str, ...] = ()
    numbers: tuple[PublishedNumber, ...] = ()
    network: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as a plain dictionary that JSON can hold."""
        facts = asdict(self)
        for file in facts["weights"]:
            file["allow"] = [getattr(c, "__name__", str(c)) for c in file["allow"]]
        return facts
