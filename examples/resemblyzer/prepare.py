"""Fetches the weights and recordings of four voices, and turns the recordings into mel spectrograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from examples import voices
from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date
from examples.resemblyzer import mels

HERE = Path(__file__).parent
WEIGHTS = HERE / "models" / "resemblyzer.safetensors"
UTTERANCES = HERE / "data" / "utterances.npz"

SOURCE = Package("pypi", "resemblyzer", "0.1.4")
SHA256 = "19f6a7c367cdc083476ae2e7b11774cc89f8881116e6a4e868d1476400b366d6"

VOICES = (voices.ENGLISH, voices.FRENCH, voices.ITALIAN, voices.RUSSIAN)
UTTERANCES_PER_VOICE = 30
MIN_BYTES = 45_000

WINDOW, STEP = 160, 80
"""Frames that the encoder hears at once, and from one time to the next."""

MAX_WINDOWS = 16


def main() -> None:
    if up_to_date([WEIGHTS, UTTERANCES], code=[__file__, mels.__file__, voices.__file__]):
        return
    (checkpoint,) = fetch(SOURCE, "resemblyzer/pretrained.pt", sha256=SHA256)
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["model_state"]
    with replacing(WEIGHTS) as aside:
        save_file({name: tensor for name, tensor in state.items() if not name.startswith("similarity_")}, aside)

    random = np.random.RandomState(0)
    chosen = [random.permutation(voice.recordings(min_bytes=MIN_BYTES))[:UTTERANCES_PER_VOICE] for voice in VOICES]
    heard = [windows(mels.mel_spectrogram(voices.read(path))) for turn in zip(*chosen, strict=True) for path in turn]
    with replacing(UTTERANCES) as aside:
        np.savez(
            aside,
            mels=np.concatenate(heard),
            windows=[len(utterance) for utterance in heard],
            speaker=np.tile(np.arange(len(VOICES)), UTTERANCES_PER_VOICE),
        )


def windows(spectrogram: np.ndarray) -> np.ndarray:
    """[frames,mels] -> [n,WINDOW,mels], overlapping by half, of the beginning."""
    views = np.lib.stride_tricks.sliding_window_view(spectrogram, WINDOW, axis=0)[::STEP]
    return views[:MAX_WINDOWS].transpose(0, 2, 1)


if __name__ == "__main__":
    main()
