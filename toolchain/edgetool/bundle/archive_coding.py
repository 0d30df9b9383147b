"""Codes the bytes of a file: words as indices into palettes, gaps between rare words, Huffman codes for the rest.

Weights are nearly random numbers: no matches are to be found in them, only values that are more frequent than others.
Deflate with Huffman codes alone takes 1 or 2 % more than the entropy of such numbers, which is less than xz takes, and
is packed and restored ten times faster. Where one word is more frequent than all others together, as in pruned
weights, a code of whole bits would be too long: the distances between the other words are coded then (Han et al. 2016,
"Deep Compression", section 2).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.bundle.archive_cells import MOST_WORDS, Mode, Run, runs
from edgetool.bundle.archive_index import Segment

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_XZ = Mode(0)
_PIECE = 1024  # words by which runs of a palette are taken together
_SWITCH = 8 * 100  # bits that another segment costs
_SAMPLE = 64 << 10
_GAIN = 0.98
_LONGEST_GAP = 255


@dataclass(frozen=True, slots=True)
class Coded:
    """One segment with its bytes.

    Attributes:
        segment: its place in the index.
        data: its streams, one behind the other.
        rest: what it puts into the rest stream.
    """

    segment: Segment
    data: bytes
    rest: bytes


def code(window: Array) -> Iterator[Coded]:
    """Code a window of a file, of at most `MAX_SEGMENT` bytes.

    Args:
        window: uint8.
    """
    waiting = 0
    for run in _exact(list(runs(window)), window):
        if run.mode == _XZ:
            continue
        for part in _palette_parts(run, window) if run.mode.has_palette else [run]:
            if waiting < part.start:
                yield _plain(window[waiting : part.start])
            yield _coded(window[part.start : part.end], part.mode)
            waiting = part.end
    if waiting < len(window):
        yield _plain(window[waiting:])


def _plain(data: Array) -> Coded:
    return Coded(Segment(len(data)), b"", data.tobytes())


def _exact(rough: list[Run], window: Array) -> Iterator[Run]:
    """Runs of whole words; those of palettes reach as far into their neighbours as their words go on."""
    end = 0
    for place, run in enumerate(rough):
        if run.mode == _XZ:
            yield run
            continue
        width = run.mode.width
        start = max(run.start, end)
        start += (run.mode.phase - start) % width
        stop = start + (run.end - start) // width * width
        if run.mode.has_palette:
            known = _different(window[start:stop].view(f"<u{width}"))
            low = end + (run.mode.phase - end) % width
            start -= width * _alike(window[low:start].view(f"<u{width}")[::-1], known)
            limit = rough[place + 1].end if place + 1 < len(rough) else len(window)
            beyond = window[stop : stop + (limit - stop) // width * width]
            stop += width * _alike(beyond.view(f"<u{width}"), known)
        if start < stop:
            end = stop
            yield Run(start, stop, run.mode)


def _different(words: Array) -> Array:
    import numpy as np

    return np.unique(words)


def _alike(words: Array, known: Array) -> int:
    """How many words at the beginning are known."""
    import numpy as np

    strange = np.flatnonzero(~np.isin(words, known))
    return int(strange[0]) if len(strange) else len(words)


def _palette_parts(run: Run, window: Array) -> Iterator[Run]:
    """Parts of a run that take fewer bits with palettes of their own."""
    import numpy as np

    width = run.mode.width
    words = window[run.start : run.end].view(f"<u{width}")
    start, held = 0, _Histogram(words[:0], np.zeros(0, np.int64))
    for place in range(0, len(words), _PIECE):
        piece = _Histogram.of(words[place : place + _PIECE])
        both = held.joined(piece)
        apart = held.bits(width) + piece.bits(width) + _SWITCH
        if place and (len(both.words) > MOST_WORDS or both.bits(width) > apart):
            yield Run(run.start + start * width, run.start + place * width, run.mode)
            start, held = place, piece
        else:
            held = both
    yield Run(run.start + start * width, run.end, run.mode)


@dataclass(frozen=True, eq=False)
class _Histogram:
    """Different words in order, and how often each occurs."""

    words: Array
    counts: Array

    @staticmethod
    def of(words: Array) -> _Histogram:
        import numpy as np

        return _Histogram(*np.unique(words, return_counts=True))

    def joined(self, other: _Histogram) -> _Histogram:
        import numpy as np

        words, places = np.unique(np.concatenate([self.words, other.words]), return_inverse=True)
        weights = np.concatenate([self.counts, other.counts])
        return _Histogram(words, np.bincount(places, weights, len(words)).astype(np.int64))

    def bits(self, width: int) -> float:
        import numpy as np

        total = self.counts.sum()
        return float((self.counts * np.log2(total / self.counts)).sum()) + 8 * width * len(self.words)


def _coded(data: Array, mode: Mode) -> Coded:
    import numpy as np

    words = data.view(f"<u{mode.width}")
    palette = b""
    count = 0
    if mode.has_palette:
        listed, indices = np.unique(words, return_inverse=True)
        palette, count = listed.tobytes(), len(listed)
        words = indices.astype(np.uint8).reshape(-1)
    fill = _frequent(words)
    if fill is None:
        streams = [_deflated(plane) for plane in _planes(words)]
        filled = None
    else:
        gaps, stored = _apart(words, fill)
        streams = [*(_deflated(plane) for plane in _planes(stored)), _deflated(gaps)]
        filled = len(stored)
        palette += words[:0].dtype.type(fill).tobytes()
    segment = Segment(len(data), mode.width, count, filled, tuple(map(len, streams)))
    return Coded(segment, b"".join(streams), palette)


def _planes(words: Array) -> list[Array]:
    """The first bytes of all words, then the second ones, and so on."""
    import numpy as np

    rows = words.view(np.uint8).reshape(len(words), words.itemsize)
    return [np.ascontiguousarray(rows[:, place]) for place in range(rows.shape[1])]


def _frequent(words: Array) -> int | None:
    """The word that is more frequent than all others together, if one is."""
    import numpy as np

    middle = np.partition(words, len(words) // 2)[len(words) // 2]  # a majority holds the middle
    return int(middle) if 2 * int((words == middle).sum()) > len(words) else None


def _apart(words: Array, fill: int) -> tuple[Array, Array]:
    """Distances between the words that are not `fill`, and these words; distances that are too long get a stop at a
    word that is."""
    import numpy as np

    places = np.flatnonzero(words != words.dtype.type(fill))
    gaps = np.diff(places, prepend=-1)
    stops = (gaps - 1) // _LONGEST_GAP
    which = np.repeat(np.arange(len(places)), stops)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(stops) - stops, stops) + 1
    before = places - gaps
    all_places = np.sort(np.concatenate([places, before[which] + nth * _LONGEST_GAP]))
    return np.diff(all_places, prepend=-1).astype(np.uint8), words[all_places]


def _deflated(data: Array) -> bytes:
    """Raw deflate: with Huffman codes alone, unless a sample shows that looking for matches pays."""
    sample = data[:_SAMPLE]
    alone = len(_deflate(sample, zlib.Z_HUFFMAN_ONLY))
    matching = len(_deflate(sample, zlib.Z_DEFAULT_STRATEGY))
    return _deflate(data, zlib.Z_DEFAULT_STRATEGY if matching < _GAIN * alone else zlib.Z_HUFFMAN_ONLY)


def _deflate(data: Array, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
    return packer.compress(data.tobytes()) + packer.flush()
