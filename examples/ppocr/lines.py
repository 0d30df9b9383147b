"""Draws words as a camera or a scanner might see them: fonts, sizes, colours, a slight turn, noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT = 48
MIN_CHARACTERS, MAX_CHARACTERS = 3, 32


@dataclass(frozen=True)
class Line:
    """What is written, and how it looks: uint8 [HEIGHT,width], grey."""

    text: str
    pixels: np.ndarray


def draw_lines(words: list[str], fonts: list[Path], *, count: int) -> Iterator[Line]:
    """`count` lines of one to five consecutive words, always the same ones."""
    random = Random(0)
    noise = np.random.RandomState(0)
    while count:
        start = random.randrange(len(words))
        text = " ".join(words[start : start + random.randint(1, 5)])
        if MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS and text.isascii() and text.isprintable():
            yield Line(text, _scan(_draw(text, random.choice(fonts), random), random, noise))
            count -= 1


def _draw(text: str, font_file: Path, random: Random) -> Image.Image:
    font = ImageFont.truetype(font_file, random.randint(18, 39))
    padding = random.randint(3, 8)
    paper, ink = random.randint(170, 255), random.randint(0, 89)
    if random.random() < 0.3:
        paper, ink = ink, paper
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    image = Image.new("L", (right - left + 2 * padding, bottom - top + 2 * padding), paper)
    ImageDraw.Draw(image).text((padding - left, padding - top), text, fill=ink, font=font)
    return image.rotate(random.uniform(-1.5, 1.5), Image.Resampling.BILINEAR, fillcolor=paper)


def _scan(image: Image.Image, random: Random, noise: np.random.RandomState) -> np.ndarray:
    """Loses resolution, gains noise, and comes at the height that the model wants."""
    shrink = random.uniform(0.45, 1.0)
    small = image.resize([max(1, round(side * shrink)) for side in image.size], Image.Resampling.BILINEAR)
    noisy = np.asarray(small, np.float32) + noise.normal(0, random.uniform(0, 22), small.size[::-1])
    scan = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    width = max(HEIGHT, -(-HEIGHT * scan.width // scan.height))
    return np.asarray(scan.resize((width, HEIGHT), Image.Resampling.BILINEAR))
