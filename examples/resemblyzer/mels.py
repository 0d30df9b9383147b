"""From samples to what the encoder hears: the power in 40 mel bands, a hundred times a second."""

from __future__ import annotations

import numpy as np

from examples.voices import RATE

WINDOW, HOP, BANDS = 400, 160, 40
LOUDNESS_DB = -30.0


def mel_spectrogram(samples: np.ndarray) -> np.ndarray:
    """A recording [n], brought to one loudness -> [frames,BANDS] float32; frames are centred, with zeros outside."""
    samples = samples * 10 ** (LOUDNESS_DB / 20) / np.sqrt(np.square(samples).mean())
    padded = np.pad(samples, WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(windows)) ** 2
    return (power @ _mel_filters().T).astype(np.float32)


def _mel_filters() -> np.ndarray:
    """Triangles of equal area, evenly spaced on Slaney's mel scale: [BANDS,WINDOW/2+1]."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    corners = _to_hertz(np.linspace(0, _to_mel(RATE / 2), BANDS + 2))
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


BREAK_HERTZ, HERTZ_A_MEL = 1000.0, 200 / 3
BREAK_MEL = BREAK_HERTZ / HERTZ_A_MEL
LOG_STEP = np.log(6.4) / 27
"""Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic above."""


def _to_mel(hertz: float) -> float:
    """Of a frequency above the break."""
    return BREAK_MEL + np.log(hertz / BREAK_HERTZ) / LOG_STEP


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < BREAK_MEL, mel * HERTZ_A_MEL, BREAK_HERTZ * np.exp((mel - BREAK_MEL) * LOG_STEP))
