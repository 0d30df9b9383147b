"""What a recipe wants, and how finely one weight is quantized; apart, because planning needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["MatMul", "Gemm", "Conv", "ConvTranspose"]
OPERATORS: tuple[Operator, ...] = ("MatMul", "Gemm", "Conv", "ConvTranspose")
Method = Literal["nearest", "hqq", "gptq", "awq"]
Bits = Literal[4, 8]

BLOCKS_OPSET = 21
"""The first opset with int4, and with a scale for each block."""
HALF_OPSET = 19
"""The first opset whose DequantizeLinear gives float16."""
CHANNELS_OPSET = 13
"""The first opset with a scale for each channel."""
SMALLEST_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Grain:
    """How one weight is stored, in the terms of DequantizeLinear.

    Attributes:
        bits: of one stored integer.
        symmetric: zero is integer 0, and integers are signed; else each scale has an unsigned zero point.
        axis: of the weight: the blocked one, or with `block` 0 the one whose every index has a scale.
        block: consecutive values along `axis` that share a scale.
        half: the weight is float16, and so are its scales.
    """

    bits: Bits
    symmetric: bool
    axis: int
    block: int
    half: bool = False

    @property
    def opset(self) -> int:
        """The opset that it takes."""
        if self.block or self.bits == 4:
            return BLOCKS_OPSET
        return HALF_OPSET if self.half else CHANNELS_OPSET

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest integer.

        Symmetric int8 leaves -128 out, which some kernels cannot multiply; int4 needs all of its 16 levels.
        """
        if not self.symmetric:
            return 0, (1 << self.bits) - 1
        high = (1 << self.bits - 1) - 1
        return (-high if self.bits == 8 else -high - 1), high

    @property
    def dtype(self) -> str:
        """Name of the stored integers' type."""
        return f"{'int' if self.symmetric else 'uint'}{self.bits}"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user wants quantized, and how.

    Attributes:
        bits: of weights.
        embedding_bits: of embedding tables.
        eight_bits: names of nodes that get 8 bits in any case; `*` and `?` match.
        block: values that share a scale; 0: whole channels.
        symmetric: as in `Grain`.
        op_types: weighted operators to quantize.
        embeddings: also quantize the tables of Gather.
        exclude: names of nodes to leave float; `*` and `?` match.
        min_size: weights with fewer values stay float.
    """

    bits: Bits = 8
    embedding_bits: Bits = 8
    eight_bits: tuple[str, ...] = ()
    block: int = 0
    symmetric: bool = True
    op_types: tuple[Operator, ...] = OPERATORS
    embeddings: bool = True
    exclude: tuple[str, ...] = ()
    min_size: int = 1024
