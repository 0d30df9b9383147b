"""Studio recordings of four voices saying words and sentences: the telephone prompts of Asterisk.

They are packages of Debian, under CC-BY-SA-3.0 (the Russian ones CC-BY-3.0): credit them in what you derive from them.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.fetch import Package, fetch

RATE = 16_000
"""Samples a second, of what `read` returns."""


@dataclass(frozen=True)
class Voice:
    """One speaker."""

    language: str
    folder: str
    sha256: str

    def recordings(self, *, min_bytes: int) -> list[Path]:
        """Spoken ones of at least this size, sorted by name."""
        package = Package("debian", f"asterisk-core-sounds-{self.language}-wav", "1.6.1-1")
        paths = fetch(package, f"usr/share/asterisk/sounds/{self.folder}/*.wav", sha256=self.sha256)
        return [path for path in paths if path.stat().st_size >= min_bytes and _is_spoken(path)]


ENGLISH = Voice("en", "en_US_f_Allison", "5f8c6c039a855d5d6355013005e9e9a721aea998c3c083c089ec318feec61b98")
FRENCH = Voice("fr", "fr_CA_f_June", "8153cd863a3778ba95731d7ab0ade9f85a3bec130d793b9636ba14b67aafb0dd")
ITALIAN = Voice("it", "it_IT_m_Carlo", "b12b92e59230424e5b3f898fa48f27359449459172ee1c556d5eb56fc6581392")
RUSSIAN = Voice("ru", "ru_RU_f_IvrvoiceRU", "bd02baeff5a0ad38e66bbfd8089057e57876210ace1c7a3c21f1a51a7b381d0f")


def _is_spoken(path: Path) -> bool:
    """As far as the names of the file and its folder tell."""
    name = f"{path.parent.name}/{path.name}"
    return not any(word in name for word in ("beep", "tone", "silence", "tt-", "moh", "ascending"))


def read(path: Path) -> np.ndarray:
    """The samples [n] float32 in -1..1, brought from 8 to 16 kHz."""
    with wave.open(str(path)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    return _twice_the_rate(samples / np.float32(32768))


def _twice_the_rate(samples: np.ndarray) -> np.ndarray:
    """Zeros in between, then a low-pass: a sinc of half the new band under a Kaiser window."""
    reach = 20
    low_pass = np.sinc(np.arange(-reach, reach + 1) / 2) * np.kaiser(2 * reach + 1, 5.0)
    spread = np.zeros(2 * len(samples))
    spread[::2] = samples
    return np.convolve(spread, 2 * low_pass / low_pass.sum(), mode="same").astype(np.float32)
