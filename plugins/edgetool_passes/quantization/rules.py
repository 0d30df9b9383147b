"""What a recipe wants quantized; apart from how it is placed, because planning needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["Conv", "ConvTranspose", "MatMul", "Gemm"]
WEIGHTED: tuple[Operator, ...] = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the user wants quantized.

    Attributes:
        op_types: weighted operators to quantize.
        embeddings: also store the tables of Gather in int8.
        residual_adds: quantize the identity branch of residual Adds.
        attention_scores: quantize both inputs of products of two activations that a Softmax reads.
        exclude: names of nodes to leave float; `*` and `?` match.
        min_channels: leave convolutions with fewer input or output channels float.
    """

    op_types: tuple[Operator, ...] = WEIGHTED
    embeddings: bool = True
    residual_adds: bool = True
    attention_scores: bool = False
    exclude: tuple[str, ...] = ()
    min_channels: int = 1
