"""Files of 28 kinds, as the 2048 bytes of each that the model looks at; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

FILES = Path(__file__).parent / "data" / "files.npz"
BATCH = 16
CALIBRATE_WITH_EVERY = 4

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """Every fourth file, so that every kind is among them."""
    files = np.load(FILES)["bytes"]
    for batch in _batches(files[::CALIBRATE_WITH_EVERY]):
        yield {"bytes": batch}


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """The other files; the label of a file is a row of 214 booleans: which answers are right."""
    files = np.load(FILES)
    others = np.arange(len(files["bytes"])) % CALIBRATE_WITH_EVERY != 0
    for batch, accepted in zip(_batches(files["bytes"][others]), _batches(files["accepted"][others]), strict=True):
        yield {"bytes": batch}, accepted


def metric(outputs: list[Feeds], labels: list[np.ndarray]) -> float:
    """Share of the files whose most probable kind is a right answer."""
    answers = np.concatenate([output["target_label"].argmax(axis=1) for output in outputs])
    accepted = np.concatenate(labels)
    return float(np.take_along_axis(accepted, answers[:, None], axis=1).mean())


def _batches(rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, range(BATCH, len(rows), BATCH))
