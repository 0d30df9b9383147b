"""Quantities as people write them ("12ms", "20MiB", "1%") and as code wants them (seconds, bytes, fractions)."""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ%]*)\s*")

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1, "KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_FRACTION = {"%": 0.01}


def _parse(value: object, units: dict[str, float] | dict[str, int], example: str) -> float:
    if isinstance(value, str) and (match := _QUANTITY.fullmatch(value)) and match[2] in units:
        return float(match[1]) * units[match[2]]
    raise ValueError(f'wants a number with a unit ({", ".join(units)}), such as "{example}", got {value!r}')


def seconds(value: object) -> float:
    """`"12ms"` -> 0.012. Raises ValueError."""
    return _parse(value, _SECONDS, "12ms")


def byte_count(value: object) -> int:
    """`"20MiB"` -> 20971520. Raises ValueError."""
    return round(_parse(value, _BYTES, "20MiB"))


def fraction(value: object) -> float:
    """`"1%"` or 0.01 -> 0.01. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) > 1:
            raise ValueError(f'wants a share of 1 or a percentage such as "1%", got {value!r}')
        return float(value)
    return _parse(value, _FRACTION, "1%")


def _written(units: dict[str, float] | dict[str, int], example: str) -> pydantic.WithJsonSchema:
    """What editors are told: the file holds text, not the number that it becomes."""
    pattern = rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(units)})\s*$"
    return pydantic.WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]}, mode="validation")


_FRACTION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": -1, "maximum": 1},
        {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$", "examples": ["1%"]},
    ]
}

Seconds = Annotated[float, pydantic.BeforeValidator(seconds), _written(_SECONDS, "12ms")]
Bytes = Annotated[int, pydantic.BeforeValidator(byte_count), _written(_BYTES, "20MiB")]
Fraction = Annotated[
    float, pydantic.BeforeValidator(fraction), pydantic.WithJsonSchema(_FRACTION_SCHEMA, mode="validation")
]


def format_bytes(count: int) -> str:
    """3250585 -> `3.1 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_seconds(value: float) -> str:
    """0.0042 -> `4.20 ms`."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
