"""The outcomes as two tables in Markdown: what runs on the processor, and what TensorRT-RTX builds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_lowercase

from benchmarks.matrix.builders import RTX, RUNTIMES
from benchmarks.matrix.cell import Cell, Place

FLOAT = "(float)"
"""The row of the network that no pass has touched."""

_Results = Mapping[Place, Cell]


def tables(results: _Results, networks: Sequence[str], passes: Sequence[str]) -> str:
    """Both tables, with what TensorRT-RTX refuses, and tracebacks, below."""
    letters = dict(zip(_refusals(results, networks, passes), ascii_lowercase, strict=False))

    def on_processor(network: str, name: str) -> str:
        return _joined([_computed(results.get((network, name, runtime))) for runtime in RUNTIMES])

    def on_rtx(network: str, name: str) -> str:
        cell, float_ = results.get((network, name, RTX)), results.get((network, FLOAT, RTX))
        return _engine(cell, float_, letters)

    compressing = [name for name in passes if name != FLOAT]
    parts = [
        _table(compressing, networks, on_processor),
        _table(passes, networks, on_rtx),
        *(f"- *{letter}*: {reason}" for reason, letter in letters.items()),
        *_failures(results, networks, passes),
    ]
    return "\n".join(parts)


def _table(passes: Sequence[str], networks: Sequence[str], cell: Callable[[str, str], str]) -> str:
    def title(name: str) -> str:
        return name if name == FLOAT else f"`{name}`"

    rows = [(title(name), *(cell(network, name) for network in networks)) for name in passes]
    lines = [f"| {' | '.join(row)} |" for row in [("pass", *networks), *rows]]
    return "\n".join([lines[0], "|---" * (len(networks) + 1) + "|", *lines[1:], ""])


def _joined(runtimes: Sequence[str]) -> str:
    """One word where all runtimes agree."""
    return ", ".join(runtimes if len(set(runtimes)) > 1 else runtimes[:1])


def _computed(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.mark == "ran":
        return "ok" if cell.cosine is None else _fraction(cell.cosine)
    return {"same": "same", "refused": "-"}.get(cell.mark, "FAIL")


def _engine(cell: Cell | None, float_: Cell | None, letters: Mapping[str, str]) -> str:
    """The size of the engine beside the float one's, which is told itself; or why there is none."""
    if cell is None:
        return ""
    if cell.mark == "refused":
        return f"*{letters[cell.reason]}*" if cell.by == RTX else "-"
    cured = " +" if cell.cured else ""
    if cell is float_ and cell.size:
        return f"{cell.size / 1e6:.1f} MB"
    if cell.mark == "built" and cell.size is not None:
        return (f"{cell.size / float_.size:.2f}" if float_ and float_.size else "built") + cured
    return {"same": "same", "parsed": f"parsed{cured}"}.get(cell.mark, "FAIL")


def _fraction(value: float) -> str:
    """`.998`: cut off, so that only what is 1 to four digits is called `1`."""
    thousandths = math.floor(value * 1000)
    return "1" if round(value, 4) >= 1 else f"{thousandths / 1000:.3f}".removeprefix("0")


def _refusals(results: _Results, networks: Sequence[str], passes: Sequence[str]) -> Iterator[str]:
    """Reasons of TensorRT-RTX, each once, in the order of the table."""
    cells = (results.get((network, name, RTX)) for name in passes for network in networks)
    yield from dict.fromkeys(cell.reason for cell in cells if cell and cell.mark == "refused" and cell.by == RTX)


def _failures(results: _Results, networks: Sequence[str], passes: Sequence[str]) -> Iterator[str]:
    for (network, name, builder), cell in results.items():
        if cell.mark == "failed" and network in networks and name in passes:
            yield f"\nFAIL: {network}, {name}, {builder}: {cell.reason}"
