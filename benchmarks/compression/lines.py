"""Lines of text that the example does not use: those that its generator draws after its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgetool.runner import Feeds
from examples.fetch import fetch
from examples.ppocr.data import MIN_WIDTH
from examples.ppocr.lines import draw_lines
from examples.ppocr.prepare import GENSIM, GENSIM_SHA256, LINE_COUNT, MATPLOTLIB, MATPLOTLIB_SHA256

_COUNT = 200


def unlabelled() -> Sequence[Feeds]:
    """200 lines as feeds of one each, as wide as they are."""
    (lee,) = fetch(GENSIM, "gensim/test/test_data/lee.cor", sha256=GENSIM_SHA256)
    fonts = fetch(MATPLOTLIB, "matplotlib/mpl-data/fonts/ttf/DejaVuS[ae]*.ttf", sha256=MATPLOTLIB_SHA256)
    drawn = draw_lines(
        lee.read_text(encoding="latin-1").split(),
        [font for font in fonts if "Display" not in font.name],
        count=LINE_COUNT + _COUNT,
    )
    pictures = [line.pixels for line in drawn][LINE_COUNT:]
    return [_feeds(grey) for grey in pictures]


def _feeds(grey: np.ndarray) -> Feeds:
    x = np.zeros((1, 3, len(grey), max(MIN_WIDTH, grey.shape[1])), np.float32)
    x[..., : grey.shape[1]] = grey / np.float32(127.5) - 1
    return {"x": x}
