"""Finds out how the bytes of a file want to be coded, by looking at small cells of it.

An engine's file holds weights between other things, and no two runtimes lay them out alike. So nothing is parsed here:
for every cell it is estimated what each code would take, and neighbours that suit the same code become one run. The
estimate is Shannon's entropy of the words of a cell, which Huffman codes come close to, plus what the code's own
tables take.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CELL = 8 << 10
MOST_WORDS = 256
"""Different words that a palette may hold, so that an index is a byte."""

_SWITCH = 8 * 120.0  # bits that another run costs: its tables, and its place in the index
_TABLE = 1.5  # bits of a Huffman table for each symbol, about
_SOLID = 0.85  # xz over many cells against deflate over one, where there is something to find
_SAMPLE = 5  # level of the deflate that stands for xz


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to code bytes.

    Attributes:
        width: bytes of a word; 0 for xz.
        phase: where the first word begins, counted from the window's first byte.
        has_palette: words are indices into a list; otherwise each byte of a word is coded for itself.
    """

    width: int
    phase: int = 0
    has_palette: bool = False


MODES = (
    Mode(0),
    Mode(1),
    *(Mode(2, phase) for phase in range(2)),
    *(Mode(4, phase) for phase in range(4)),
    *(Mode(2, phase, has_palette=True) for phase in range(2)),
    *(Mode(4, phase, has_palette=True) for phase in range(4)),
)


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a window that suits one mode: from `start` up to `end`."""

    start: int
    end: int
    mode: Mode


def runs(window: Array) -> Iterator[Run]:
    """Divide a window into runs.

    Args:
        window: uint8.
    """
    cells = len(window) // CELL
    if cells == 0:
        yield Run(0, len(window), MODES[0])
        return
    chosen = _cheapest_way(_costs(window, cells))
    start = 0
    for cell in range(1, cells + 1):
        if cell == cells or chosen[cell] != chosen[start]:
            end = len(window) if cell == cells else cell * CELL
            yield Run(start * CELL, end, MODES[chosen[start]])
            start = cell


def _cheapest_way(costs: Array) -> Array:
    """The mode of each cell so that the sum of all costs and of all switches is least (Viterbi's algorithm)."""
    import numpy as np

    cells, modes = costs.shape
    came_from = np.empty((cells, modes), np.int64)
    total = costs[0]
    for cell in range(1, cells):
        best = int(total.argmin())
        switching = total[best] + _SWITCH < total
        came_from[cell] = np.where(switching, best, np.arange(modes))
        total = np.where(switching, total[best] + _SWITCH, total) + costs[cell]
    way = np.empty(cells, np.int64)
    way[-1] = total.argmin()
    for cell in range(cells - 1, 0, -1):
        way[cell - 1] = came_from[cell, way[cell]]
    return way


def _costs(window: Array, cells: int) -> Array:
    """float64 [cells, modes]: estimated bits."""
    import numpy as np

    counts = _byte_counts(window, cells)
    columns = []
    for mode in MODES:
        if mode.width == 0:
            columns.append(_deflated_bits(window, cells))
        elif mode.has_palette:
            columns.append(_palette_bits(_words(window, cells, mode), mode.width))
        else:
            columns.append(_plane_bits(counts, _words(window, cells, mode), mode.width))
    return np.stack(columns, axis=1)


def _words(window: Array, cells: int, mode: Mode) -> Array:
    """[cells, words a cell] of the mode's width; the last cell is filled up where the phase cuts it short."""
    import numpy as np

    body = window[mode.phase : cells * CELL]
    if mode.phase:
        body = np.append(body, window[cells * CELL - CELL :][: mode.phase])
    return body.view(f"<u{mode.width}").reshape(cells, -1)


def _byte_counts(window: Array, cells: int) -> Array:
    """[cells, 4, 256]: how often each byte occurs at each place modulo 4."""
    import numpy as np

    body = window[: cells * CELL].reshape(cells, -1, 4)
    bins = (np.arange(cells * 4).reshape(cells, 1, 4) * 256 + body).reshape(-1)
    return np.bincount(bins, minlength=cells * 1024).reshape(cells, 4, 256)


def _deflated_bits(window: Array, cells: int) -> Array:
    import numpy as np

    parts = (window[cell * CELL : (cell + 1) * CELL] for cell in range(cells))
    sizes = np.array([len(zlib.compress(part.tobytes(), _SAMPLE)) for part in parts])
    return 8.0 * np.where(2 * sizes < CELL, _SOLID * sizes, sizes)


def _plane_bits(counts: Array, words: Array, width: int) -> Array:
    """What bytes take when each place of a word has a code of its own, and zero words are left out if they are many."""
    import numpy as np

    zeros = (words == 0).sum(axis=1)
    planes = counts.reshape(len(counts), 4 // width, width, 256).sum(axis=1)
    is_sparse = 2 * zeros > words.shape[1]
    if width > 1:
        planes[:, :, 0] -= np.where(is_sparse, zeros, 0)[:, None]
        planes = np.maximum(planes, 0)  # the phase shifts a few bytes into the next cell
    bits: Array = (_entropy_bits(planes) + _TABLE * (planes > 0).sum(axis=2)).sum(axis=1)
    return bits + np.where(is_sparse & (width > 1), _gap_bits(zeros, words.shape[1]), 0.0)


def _gap_bits(zeros: Array, words: int) -> Array:
    """Bits that say which words are zero."""
    import numpy as np

    return _entropy_bits(np.stack([zeros, words - zeros], axis=-1))


def _entropy_bits(counts: Array) -> Array:
    """[..., symbols] to the bits that all of them take together."""
    import numpy as np

    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits: Array = np.where(counts > 0, counts * np.log2(total / counts), 0.0).sum(axis=-1)
    return bits


def _palette_bits(words: Array, width: int) -> Array:
    """What words take as indices and a list of those that occur; infinite where there are too many."""
    import numpy as np

    length = words.shape[1]
    most = min(MOST_WORDS, length // 2)
    bits = np.full(len(words), np.inf)
    candidates = np.flatnonzero(_firsts(words[:, : 2 * most]).sum(axis=1) <= most)  # a part tells most of them
    is_first = _firsts(words[candidates])
    different = is_first.sum(axis=1)
    firsts = np.flatnonzero(is_first)
    counts = np.diff(firsts, append=is_first.size)
    coded = np.bincount(firsts // length, counts * np.log2(length / counts), len(candidates))
    bits[candidates] = np.where(different <= most, coded + different * (8.0 * width + _TABLE), np.inf)
    return bits


def _firsts(words: Array) -> Array:
    """[cells, words]: for the words of each cell in order, which differ from the one before."""
    import numpy as np

    ordered = np.sort(words, axis=1)
    is_first = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_first[:, 1:])
    return is_first
