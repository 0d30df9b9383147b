"""Views and crops of photos, normalised as MobileNetV2 was trained; `prepare` writes the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

PHOTOS = Path(__file__).parent / "data" / "photos.npz"
BATCH = 10
UNLABELLED = -1

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """100 random crops of photos that evaluation does not use."""
    return _batches(np.load(PHOTOS)["calibration"])


def evaluation() -> Iterator[tuple[Feeds, np.ndarray]]:
    """200 views of 20 labelled photos, then 100 crops without a label: on these only agreement with float counts."""
    photos = np.load(PHOTOS)
    pixels = np.concatenate([photos["views"], photos["held_out"]])
    labels = np.concatenate([photos["labels"], np.full(len(photos["held_out"]), UNLABELLED)])
    return zip(_batches(pixels), np.split(labels, len(labels) // BATCH), strict=True)


def metric(outputs: list[Feeds], labels: list[np.ndarray]) -> float:
    """Share of the labelled views whose highest logit is their class."""
    predicted = np.concatenate([output["logits"].argmax(axis=1) for output in outputs])
    wanted = np.concatenate(labels)
    labelled = wanted != UNLABELLED
    return float((predicted == wanted)[labelled].mean())


def _batches(pixels: np.ndarray) -> Iterator[Feeds]:
    for batch in np.split(pixels, len(pixels) // BATCH):
        yield {"image": _normalise(batch)}


def _normalise(pixels: np.ndarray) -> np.ndarray:
    """uint8 [b,h,w,3] -> float32 [b,3,h,w]."""
    return ((pixels / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2)
