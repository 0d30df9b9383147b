"""Watches that look at several tensors of one sample together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgetool_passes.quantization.histogram import Watch

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def together(names: Iterable[str], see: Callable[[Mapping[str, Array]], None]) -> dict[str, Watch]:
    """A watch for each tensor; once all have seen their values of a sample, `see` gets them by name."""
    wanted, held = tuple(dict.fromkeys(names)), dict[str, "Array"]()

    def hold(name: str, values: Array) -> None:
        held[name] = values
        if len(held) == len(wanted):
            see(dict(held))
            held.clear()

    return {name: _Part(name, hold) for name in wanted}


class _Part:
    def __init__(self, name: str, hold: Callable[[str, Array], None]) -> None:
        self._name = name
        self._hold = hold

    def see(self, values: Array) -> None:
        self._hold(self._name, values)
