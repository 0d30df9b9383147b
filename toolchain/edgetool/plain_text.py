"""How things read in plain text: so many of them, and in columns."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 build`, `3 builds`; `things` is the plural that an s does not make."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def table(rows: Sequence[Sequence[str]], *, headers: Sequence[str] = ()) -> str:
    """Columns as wide as their widest cell, two spaces apart; the last column may be as long as it likes."""
    lines = [headers, *rows] if headers else list(rows)
    columns = max((len(line) for line in lines), default=0)
    widths = [max(len(line[at]) for line in lines if len(line) > at) for at in range(columns)]
    return "\n".join("  ".join(cell.ljust(widths[at]) for at, cell in enumerate(line)).rstrip() for line in lines)
