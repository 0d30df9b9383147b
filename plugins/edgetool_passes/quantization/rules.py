"""What a recipe wants quantized; apart from how it is placed, because planning needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["int8", "int8-act16", "float"]
"""Of a layer: int8 throughout, int8 weights with activations in 16 bits, or as it is."""
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
        attention_values: quantize both inputs of products of a Softmax with another activation.
        exclude: names of nodes to leave float; `*` and `?` match.
        layers: precision by name of node, the first pattern that matches counts; all others are int8.
        pools: quantize what a global pool reads whose result is quantized.
        min_channels: leave convolutions with fewer input or output channels float.
    """

    op_types: tuple[Operator, ...] = WEIGHTED
    embeddings: bool = True
    residual_adds: bool = True
    attention_scores: bool = False
    attention_values: bool = False
    exclude: tuple[str, ...] = ()
    min_channels: int = 1
    layers: Mapping[str, Precision] = field(default_factory=dict)
    pools: bool = False

    def precision(self, label: str) -> Precision:
        """Of the node with this name."""
        if any(fnmatchcase(label, pattern) for pattern in self.exclude):
            return "float"
        return next((wanted for pattern, wanted in self.layers.items() if fnmatchcase(label, pattern)), "int8")

    @property
    def wants_16_bits(self) -> bool:
        return "int8-act16" in self.layers.values()
