"""TensorRT's version numbers, as its banner, its wheels, its packages and its plan files spell them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOTTED = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_BANNER = re.compile(r"v?(\d{4,6})")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Four numbers, compared in order. An engine fits the version that built it, all four of them."""

    major: int
    minor: int
    patch: int = 0
    build: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """Of `10.3.0`, `10.3.0.30-1+cuda12.5` and the like. Raises ValueError."""
        found = _DOTTED.match(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a TensorRT version")
        return cls(*(int(part or 0) for part in found.groups()))

    @classmethod
    def of_banner(cls, text: str) -> Version:
        """Of trtexec's `v8502` (two digits for minor and patch from 10 on: `v100300`). Raises ValueError."""
        found = _BANNER.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not the version in a banner of trtexec")
        digits = found.group(1)
        if len(digits) == 4:  # 8.5.2 is v8502: one digit, one digit, two digits
            return cls(int(digits[0]), int(digits[1]), int(digits[2:]))
        number = int(digits)
        return cls(number // 10000, number // 100 % 100, number % 100)

    def release(self) -> tuple[int, int]:
        """Major and minor."""
        return self.major, self.minor

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}.{self.build}" if self.build else text
