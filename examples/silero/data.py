"""Recordings in noise, one a feed and each as long as it is; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

CLIPS = Path(__file__).parent / "data" / "clips.npz"
CALIBRATION_CLIPS = 12
THRESHOLD = 0.5

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """The first 12 clips, four of each voice."""
    for feeds, _ in _clips()[:CALIBRATION_CLIPS]:
        yield feeds


def evaluation() -> list[tuple[Feeds, np.ndarray]]:
    """The other 60 clips; the label says of each frame whether it is speech."""
    return _clips()[CALIBRATION_CLIPS:]


def metric(outputs: list[Feeds], labels: list[np.ndarray]) -> float:
    """Share of the frames that are told right at a probability of a half."""
    detected = np.concatenate([output["speech_probs"] for output in outputs]) > THRESHOLD
    return float((detected == np.concatenate(labels)).mean())


def _clips() -> list[tuple[Feeds, np.ndarray]]:
    stored = np.load(CLIPS)
    ends = stored["lengths"].cumsum()[:-1]
    state = np.zeros((1, 1, 128), np.float32)
    return [
        ({"input": frames, "h": state, "c": state}, speech)
        for frames, speech in zip(np.split(stored["frames"], ends), np.split(stored["speech"], ends), strict=True)
    ]
