"""The few pieces of markup that all sections are made of. Text is escaped here and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from edgetool.report.document import Outcome

MARKS: dict[Outcome, str] = {"passed": "✓", "failed": "✗", "unverified": "?", "known": "=", "not-run": "–"}
WORDS: dict[Outcome, str] = {
    "passed": "passed",
    "failed": "failed",
    "unverified": "unverified",
    "known": "known deviation",
    "not-run": "not run",
}

MOST_ROWS = 200
"""Rows of one table; a page must stay light enough for a phone."""


def text(value: object) -> str:
    """Safe anywhere in the page, in attributes, too."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode())


def badge(outcome: Outcome) -> str:
    """The verdict as a sign, a word and a colour: never by colour alone."""
    return f'<span class="badge {outcome}"><span aria-hidden="true">{MARKS[outcome]}</span> {WORDS[outcome]}</span>'


def section(title: str, *parts: str, anchor: str = "") -> str:
    """A part of a report with its heading; empty when all its parts are."""
    body = "".join(parts)
    name = f' id="{text(anchor)}"' if anchor else ""
    return f"<section{name}><h3>{text(title)}</h3>{body}</section>" if body else ""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table that scrolls sideways by itself where the screen is narrow.

    Args:
        caption: what it shows, as text.
        head: titles of the columns, as text.
        rows: cells, as markup: `text` makes it.
        numbers: columns that are aligned right.
    """
    found = list(rows)
    if not found:
        return ""

    def kind(column: int) -> str:
        return ' class="number"' if column in numbers else ""

    titles = "".join(f'<th scope="col"{kind(at)}>{text(title)}</th>' for at, title in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in found[:MOST_ROWS]
    )
    more = (
        f"<p>… and {len(found) - MOST_ROWS} more; the JSON report has all of them.</p>"
        if len(found) > MOST_ROWS
        else ""
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table><caption>{text(caption)}'
        f"</caption><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, as a description list; values are markup."""
    found = "".join(f"<div><dt>{text(name)}</dt><dd>{value}</dd></div>" for name, value in rows if value)
    return f"<dl>{found}</dl>" if found else ""


def folded(title: str, *parts: str) -> str:
    """What is not needed at first sight."""
    body = "".join(parts)
    return f"<details><summary>{text(title)}</summary>{body}</details>" if body else ""
