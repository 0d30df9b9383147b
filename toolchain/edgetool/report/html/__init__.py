"""One self-contained page: no script, nothing loaded from anywhere, readable on a phone and on paper."""

from edgetool.report.html.page import render

__all__ = ["render"]
