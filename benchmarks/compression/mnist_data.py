"""MNIST digits of a project that `mnist.py` wrote: this file goes there as `data.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

DATA = Path(__file__).absolute().parent / "data"
BATCH = 50
CALIBRATE_WITH = 1000

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """The first 1000 training digits."""
    images = np.load(DATA / "train.npz")["image"][:CALIBRATE_WITH]
    for batch in np.split(images, len(images) // BATCH):
        yield {"image": batch}


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """The 2000 digits that training did not see, with their labels."""
    held_out = np.load(DATA / "test.npz")
    for start in range(0, len(held_out["label"]), BATCH):
        rows = slice(start, start + BATCH)
        yield {"image": held_out["image"][rows]}, held_out["label"][rows]
