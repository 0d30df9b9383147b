"""Drawn lines of text, one a feed and each as wide as it is; `prepare` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
MIN_WIDTH = 320
CALIBRATION_LINES = 24
BLANK = ""

Feeds = dict[str, np.ndarray]


def calibration() -> Iterator[Feeds]:
    """The first 24 lines."""
    for feeds, _ in _lines()[:CALIBRATION_LINES]:
        yield feeds


def evaluation() -> list[tuple[Feeds, str]]:
    """The other 60 lines, with what is written there."""
    return _lines()[CALIBRATION_LINES:]


def metric(outputs: list[Feeds], labels: list[str]) -> float:
    """Share of the lines that are read without a mistake."""
    classes = [BLANK, *(DATA / "characters.txt").read_text(encoding="utf-8").split("\n"), " "]
    read = ["".join(_decode(output["fetch_name_0"][0], classes)) for output in outputs]
    return float(np.mean([text == wanted for text, wanted in zip(read, labels, strict=True)]))


def _decode(probabilities: np.ndarray, classes: list[str]) -> Iterator[str]:
    """Greedy CTC: of each run of one class a single character, and none of the blank."""
    for winner, _ in groupby(probabilities.argmax(axis=1)):
        yield classes[winner]


def _lines() -> list[tuple[Feeds, str]]:
    stored = np.load(DATA / "lines.npz")
    pictures = np.split(stored["pixels"], stored["widths"].cumsum()[:-1], axis=1)
    return [({"x": _normalise(grey)}, str(text)) for grey, text in zip(pictures, stored["texts"], strict=True)]


def _normalise(grey: np.ndarray) -> np.ndarray:
    """uint8 [h,w] -> float32 [1,3,h,w] in -1..1; a narrow line gets zeros on its right."""
    x = np.zeros((1, 3, len(grey), max(MIN_WIDTH, grey.shape[1])), np.float32)
    x[..., : grey.shape[1]] = grey / np.float32(127.5) - 1
    return x
