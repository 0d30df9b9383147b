"""Utterances of nine speakers, in batches as long as their longest; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
BATCH = 10

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """All 270 training utterances."""
    for feeds, _ in _batches(DATA / "train.npz"):
        yield feeds


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """The 370 test utterances with their speakers; recorded apart from the training ones."""
    return _batches(DATA / "test.npz")


def _batches(path: Path) -> Iterator[tuple[Feeds, np.ndarray]]:
    """Sorted by length, so that batches differ in length and hold little padding."""
    utterances = np.load(path)
    x, length, label = utterances["x"], utterances["length"], utterances["label"]
    for rows in np.array_split(np.argsort(length, kind="stable"), len(length) // BATCH):
        longest = length[rows].max()
        yield {"x": x[rows, :longest], "length": length[rows]}, label[rows]
