"""Fetches the recogniser, fonts and words, and draws lines of text to read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx

from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date
from examples.ppocr import lines

HERE = Path(__file__).parent
MODEL = HERE / "models" / "ppocr_rec.onnx"
CHARACTERS = HERE / "data" / "characters.txt"
LINES = HERE / "data" / "lines.npz"

RAPIDOCR = Package("pypi", "rapidocr", "3.10.0")
RAPIDOCR_SHA256 = "95bfce23ee5fef1f2576504dc1cf1fcaeb0e0958d36e8fa44b913b1983bd7d34"
GENSIM = Package("pypi", "gensim", "4.4.0")
GENSIM_SHA256 = "4506abeda45be0a34f78697c0984f9c4b71550f8b7ad154f37e1df719ce2a022"
MATPLOTLIB = Package("pypi", "matplotlib", "3.11.2")
MATPLOTLIB_SHA256 = "c88a33ee8df56338d137cdbc41cb3004bd2bd43c51403bceeff7210d208f8977"

LINE_COUNT = 84


def main() -> None:
    if up_to_date([MODEL, CHARACTERS, LINES], code=[__file__, lines.__file__]):
        return
    (model,) = fetch(RAPIDOCR, "rapidocr/models/PP-OCRv6_rec_small.onnx", sha256=RAPIDOCR_SHA256)
    with replacing(MODEL) as aside:
        shutil.copyfile(model, aside)
    with replacing(CHARACTERS) as aside:
        aside.write_text(characters(model), encoding="utf-8")
    (lee,) = fetch(GENSIM, "gensim/test/test_data/lee.cor", sha256=GENSIM_SHA256)
    fonts = fetch(MATPLOTLIB, "matplotlib/mpl-data/fonts/ttf/DejaVuS[ae]*.ttf", sha256=MATPLOTLIB_SHA256)
    drawn = lines.draw_lines(
        lee.read_text(encoding="latin-1").split(),
        [font for font in fonts if "Display" not in font.name],
        count=LINE_COUNT,
    )
    with replacing(LINES) as aside:
        save(aside, list(drawn))


def characters(model: Path) -> str:
    """One a line, in the order of the classes 1, 2, ...: the model carries them in its metadata."""
    (value,) = (entry.value for entry in onnx.load(model).metadata_props if entry.key == "character")
    return value


def save(path: Path, drawn: list[lines.Line]) -> None:
    """`texts`, `widths`, and the `pixels` of all lines side by side."""
    np.savez(
        path,
        texts=[line.text for line in drawn],
        widths=[line.pixels.shape[1] for line in drawn],
        pixels=np.concatenate([line.pixels for line in drawn], axis=1),
    )


if __name__ == "__main__":
    main()
