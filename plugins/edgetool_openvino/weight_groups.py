"""Weights in blocks, and the groups that activations are quantized in to be multiplied by them.

OpenVINO keeps 4- and 8-bit weights as they are and rounds the activations of such a product to int8 while it runs, in
groups. A group must not be larger than a block of the weights: else the product is computed in float, in about twice
the time (MiniLM in 4 bits with blocks of 32: 32 ms instead of 17).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DYNAMIC_GROUP = 128
"""Values that share a scale where activations are quantized at run time: 20 % faster on MiniLM than OpenVINO's own
choice of 32, at a cosine of 0.9988 instead of 0.9991."""

_STORED = frozenset({"i4", "u4", "i8", "u8"})


def activation_group(network: Any) -> int:
    """Values of an activation that share a scale in products with the network's stored integers.

    Args:
        network: an `openvino.Model`.
    """
    return min((DYNAMIC_GROUP, *_blocks(network)))


def _blocks(network: Any) -> Iterator[int]:
    """Sizes of the blocks of weights: an axis with one scale for all of it, which a Reshape before a MatMul joins."""
    for op in network.get_ops():
        if op.get_type_name() != "MatMul":
            continue
        reshape = op.input_value(1).get_node()
        if reshape.get_type_name() != "Reshape":
            continue
        scaled = reshape.input_value(0).get_node()
        if scaled.get_type_name() == "Multiply" and _is_stored(scaled.input_value(0).get_node()):
            shape, scales = (list(scaled.input_value(place).get_shape()) for place in (0, 1))
            yield from (size for size, count in zip(shape, scales, strict=False) if count == 1 < size)


def _is_stored(node: Any) -> bool:
    """Whether a tensor is a stored integer, widened, and perhaps moved by a zero point."""
    while node.get_type_name() in ("Convert", "Subtract"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in _STORED
