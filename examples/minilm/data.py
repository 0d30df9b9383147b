"""News texts as token ids, one text a feed and each as long as it is; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """48 texts of the same kind as those of the evaluation, and none of them."""
    return _feeds(np.load(DATA / "background.npz"))


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """50 texts; the label of each is its row of the scores that people gave: how like every text it is, 0 to 1."""
    lee = np.load(DATA / "lee.npz")
    return zip(_feeds(lee), lee["scores"], strict=True)


def metric(outputs: list[Feeds], labels: list[np.ndarray]) -> float:
    """Pearson correlation of cosine and score over all pairs of texts; only the upper triangle has scores."""
    embeddings = np.concatenate([output["embedding"] for output in outputs]).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = np.triu_indices(len(embeddings), k=1)
    cosines = embeddings @ embeddings.T
    return float(np.corrcoef(cosines[pairs], np.stack(labels)[pairs])[0, 1])


def _feeds(texts: Mapping[str, np.ndarray]) -> Iterator[Feeds]:
    for ids, length in zip(texts["ids"], texts["length"], strict=True):
        input_ids = ids[None, :length]
        yield {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)}
