"""What to cite for a model: the entry point ``depthdata.citations``, for ``depthdata cite``."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["model_facts"]


def model_facts(name: str) -> dict[str, Any] | None:
    """Return title, BibTeX, licence, terms and training data of a model; None for other names.

    Examples
    --------
    >>> model_facts("raft_stereo/eth3d")["bibtex"]
    '@misc{arXiv:2109.07547, eprint = {2109.07547}, archivePrefix = {arXiv}, \
url = {https://arxiv.org/abs/2109.07547}, note = {RAFT-Stereo, ETH3D}}'
    """
    from depthzoo.models import list_models, model_card

    if name not in list_models():
        return None
    card = model_card(name)
    found = re.fullmatch(r"https://arxiv\.org/abs/(\S+)", card.paper or "")
    eprint = f"eprint = {{{found[1]}}}, archivePrefix = {{arXiv}}, " if found else ""
    key = f"arXiv:{found[1]}" if found else card.family
    return {
        "title": card.title,
        "bibtex": f"@misc{{{key}, {eprint}url = {{{card.paper}}}, note = {{{card.title}}}}}",
        "licence": card.licence,
        "terms_url": card.homepage,
        "made_from": list(card.trained_on),
    }
