"""docs/protocols.md is made from the protocols."""

from __future__ import annotations

from support import ROOT

from depthzoo.evaluation.markdown import protocols_page


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    hint = "run: python -m depthzoo.evaluation.markdown > docs/protocols.md"
    assert page == protocols_page(), hint
