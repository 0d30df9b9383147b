"""What a recipe wants of palettes; apart, because planning needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Coding = Literal["entropy", "fixed"]

MOST_VALUES = 256
"""Values of a palette, the zero of pruned weights among them: an index is a byte."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a palette is chosen.

    Attributes:
        bits: with `fixed`, the palette has 2**bits values; with `entropy`, as many as it takes so that an index takes
            about so many bits once it is coded by how often it occurs. Zeros of pruned weights count for neither.
        coding: which of the two.
        group: values that share a palette at least; 0 for the whole weight.
    """

    bits: float
    coding: Coding
    group: int
