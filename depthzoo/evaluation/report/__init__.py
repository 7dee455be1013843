"""The HTML report: one file that needs nothing else, for light and dark screens."""

from __future__ import annotations

from depthzoo.evaluation.report.page import render_html, write_html

__all__ = ["render_html", "write_html"]
