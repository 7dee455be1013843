"""Where the published weights of a model lie: among given files and folders, or in the cache."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from depthdata.errors import UsageError
from depthzoo.models import Card, list_models

__all__ = ["WeightsPlace", "read_places"]


class WeightsPlace:
    """Files and folders that were given, for every model or for one.

    Parameters
    ----------
    anywhere : iterable of path
        Files, archives and folders, searched for every model.
    own : dict
        Model -> file, archive or folder of it.
    """

    def __init__(self, anywhere: Iterable[Path] = (), own: dict[str, Path] | None = None) -> None:
        self.anywhere = tuple(anywhere)
        self.own = dict(own or {})

    def find(self, card: Card, *, alone: bool = False) -> Path | None:
        """Return the path for `depthzoo.load` (``weights=``), or None.

        Parameters
        ----------
        card : Card
            A model with weights.
        alone : bool
            No other model is looked for: a file that was given is of this one, whatever its name.
        """
        if card.name in self.own:
            return self.own[card.name]
        for place in self.anywhere:
            found = _in_file(card, place) if place.is_file() else _in_folder(card, place)
            if found is None and alone and place.is_file():
                found = place
            if found is not None:
                return found
        from depthzoo.weights import cache_folder

        return _in_folder(card, cache_folder()) if not self.anywhere else None


def read_places(given: Iterable[str]) -> WeightsPlace:
    """Return the places of ``PATH`` and ``MODEL=PATH``.

    >>> read_places(["sgbm=setup.cfg"]).own
    {'sgbm': PosixPath('setup.cfg')}
    """
    anywhere, own = [], {}
    for text in given:
        model, equals, path = text.partition("=")
        if equals and model in list_models():
            own[model] = Path(path)
        else:
            anywhere.append(Path(text))
    for path_ in (*anywhere, *own.values()):
        if not path_.exists():
            raise UsageError(
                f"weights {path_}: no such file or folder; give PATH or MODEL=PATH of a download"
            )
    return WeightsPlace(anywhere, own)


def _in_file(card: Card, path: Path) -> Path | None:
    names = [file.file for file in card.weights]
    if path.name in {card.weights[0].archive, *(names if len(names) == 1 else ())}:
        if path.name in names or not zipfile.is_zipfile(path):
            return path
        with zipfile.ZipFile(path) as archive:
            inside = {name.split("/")[-1] for name in archive.namelist()}
        return path if set(names) <= inside else None
    return None


def _in_folder(card: Card, root: Path) -> Path | None:
    """Return the file, the archive or the folder of a card below a folder."""
    if not root.is_dir():
        return None
    names = [file.file for file in card.weights]
    own = root / card.name
    if all((own / name).is_file() for name in names):
        return own
    holders = [
        file.parent
        for file in sorted(root.rglob(_literal(names[0])))
        if all((file.parent / name).is_file() for name in names)
    ]
    if len(names) == 1 and holders:
        return holders[0] / names[0]
    if holders and not _shared(card):
        return holders[0]
    # names such as encoder.pth are those of many models: the folder must tell which
    tags = {card.name.rpartition("/")[2], Path(card.weights[0].archive or "-").stem}
    for holder in holders:
        if tags & set(holder.relative_to(root.parent).parts):
            return holder
    archive = card.weights[0].archive
    for file in sorted(root.rglob(_literal(archive))) if archive else ():
        if _in_file(card, file) is not None:
            return file
    return None


def _shared(card: Card) -> bool:
    from depthzoo.models import model_card

    mine = {file.file for file in card.weights}
    others = (model_card(name) for name in list_models() if name != card.name)
    return any(mine & {file.file for file in other.weights} for other in others)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in name)
