"""Utterances of four speakers as windows of mel frames, one utterance a feed; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

UTTERANCES = Path(__file__).parent / "data" / "utterances.npz"
CALIBRATION_UTTERANCES = 20

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """The first 20 utterances, five of each voice."""
    for feeds, _ in _utterances()[:CALIBRATION_UTTERANCES]:
        yield feeds


def evaluation() -> list[tuple[Feeds, int]]:
    """The other 100 utterances with their speakers."""
    return _utterances()[CALIBRATION_UTTERANCES:]


def metric(outputs: list[Feeds], labels: list[int]) -> float:
    """1 - EER of telling whether two utterances are by one speaker, over all pairs.

    An utterance is the mean of its windows. The equal error rate is where as many pairs of one speaker are rejected as
    pairs of two are accepted.
    """
    embeddings = np.stack([output["embedding"].mean(axis=0) for output in outputs]).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(embeddings), k=1)
    cosines = (embeddings[first] * embeddings[second]).sum(axis=1)
    speakers = np.asarray(labels)
    same = (speakers[first] == speakers[second])[cosines.argsort()]
    rejected = same.cumsum() / same.sum()
    accepted = 1 - (~same).cumsum() / (~same).sum()
    balance = np.abs(rejected - accepted).argmin()
    return float(1 - (rejected[balance] + accepted[balance]) / 2)


def _utterances() -> list[tuple[Feeds, int]]:
    stored = np.load(UTTERANCES)
    heard = np.split(stored["mels"], stored["windows"].cumsum()[:-1])
    return [({"mels": mels}, int(speaker)) for mels, speaker in zip(heard, stored["speaker"], strict=True)]
