"""Fetches the detector and recordings, and puts the recordings in noise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from examples import voices
from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
MODEL = HERE / "models" / "silero_vad_16k_sequence.onnx"
CLIPS = HERE / "data" / "clips.npz"

SILERO = Package("pypi", "silero-vad", "6.2.3")
SILERO_SHA256 = "31626c3e1cc89e886c2d5f6b2d63b426b186f7db77c630ceaf7524caf0048100"

VOICES = (voices.ENGLISH, voices.FRENCH, voices.ITALIAN)
CLIPS_PER_VOICE = 24
MIN_BYTES = 30_000

FRAME, CONTEXT = 512, 64
"""Samples of a frame, and how many of the frame before it the model also gets."""

MAX_FRAMES = 512

SNR_DB = 5.0


def main() -> None:
    if up_to_date([MODEL, CLIPS], code=[__file__, voices.__file__]):
        return
    (model,) = fetch(SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx", sha256=SILERO_SHA256)
    with replacing(MODEL) as aside:
        shutil.copyfile(model, aside)
    random = np.random.RandomState(0)
    clips = [clip(voices.read(path), random) for path in choose(random)]
    with replacing(CLIPS) as aside:
        np.savez(
            aside,
            frames=np.concatenate([frames for frames, _ in clips]),
            speech=np.concatenate([speech for _, speech in clips]),
            lengths=[len(speech) for _, speech in clips],
        )


def choose(random: np.random.RandomState) -> list[Path]:
    """The same number of recordings of every voice, in turns."""
    chosen = [random.permutation(voice.recordings(min_bytes=MIN_BYTES))[:CLIPS_PER_VOICE] for voice in VOICES]
    return [Path(path) for turn in zip(*chosen, strict=True) for path in turn]


def clip(recording: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """A pause and a recording in noise: frames [n,CONTEXT+FRAME] float32, and whether each is speech [n] bool."""
    recording = recording * (0.5 / np.abs(recording).max())
    pause = np.zeros(random.randint(voices.RATE // 2, voices.RATE * 3 // 2), np.float32)
    audio = np.concatenate([pause, recording])
    audio = audio[: min(len(audio) // FRAME, MAX_FRAMES) * FRAME]
    speech = is_speech(audio)
    noise = pink_noise(len(audio), random)
    power = np.square(audio[speech]).mean() / np.square(noise).mean()
    noisy = audio + noise * np.float32(np.sqrt(power / 10 ** (SNR_DB / 10)))
    return framed(noisy), speech.reshape(-1, FRAME).mean(axis=1) > 0.5


def is_speech(audio: np.ndarray) -> np.ndarray:
    """Of each sample of the clean recording: within 35 dB of the loudest 30 ms, pauses under 200 ms included."""
    window = voices.RATE * 30 // 1000
    energy = np.convolve(np.square(audio), np.ones(window) / window, mode="same")
    loud = np.flatnonzero(energy > energy.max() * 10**-3.5)
    speech = np.zeros(len(audio), bool)
    for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > voices.RATE // 5) + 1):
        speech[stretch[0] : stretch[-1] + 1] = True
    return speech


def pink_noise(samples: int, random: np.random.RandomState) -> np.ndarray:
    """Noise whose amplitude falls with the square root of the frequency."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def framed(audio: np.ndarray) -> np.ndarray:
    """Each frame behind the end of the one before it; the first behind zeros."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(audio, (CONTEXT, 0)), CONTEXT + FRAME)[::FRAME]


if __name__ == "__main__":
    main()
