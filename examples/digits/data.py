"""The digits that edgetool calibrates with and judges by; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
BATCH = 50

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """The first 200 training digits."""
    images = np.load(DATA / "train.npz")["image"][:200]
    for batch in np.split(images, len(images) // BATCH):
        yield {"image": batch}


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """The 500 digits that training did not see, with their labels."""
    held_out = np.load(DATA / "test.npz")
    for start in range(0, len(held_out["label"]), BATCH):
        rows = slice(start, start + BATCH)
        yield {"image": held_out["image"][rows]}, held_out["label"][rows]
