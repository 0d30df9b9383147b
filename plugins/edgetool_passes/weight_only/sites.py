"""Which weights become integers: those of weighted operators and the tables of embeddings, if they are stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgetool_passes.weight_only.grain import OPERATORS, SMALLEST_BLOCK, Bits, Grain, Wishes

if TYPE_CHECKING:
    import onnx_ir as ir

COMPUTED = "its weight is computed while the model runs"
FED = "its weight is an input of the model"
QUANTIZED = "its weight is quantized already"
_FLOATS = ("FLOAT", "FLOAT16")
_LONGEST_ROW = 512
"""So many values may share a scale in 4 bits when blocks do not fit; beyond, 8 bits are taken."""


@dataclass(frozen=True, eq=False)
class Site:
    """One node whose weight becomes integers.

    Attributes:
        node: it.
        label: how to speak of it.
        position: of the weight among its inputs.
        weight: the initializer.
        summed: axis of the weight that is summed over; for a table, the one that is looked up whole.
        grain: how finely.
    """

    node: ir.Node
    label: str
    position: int
    weight: ir.Value
    summed: int
    grain: Grain

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self.weight)


@dataclass(frozen=True, eq=False)
class Sites:
    """The decision for one model.

    Attributes:
        chosen: in the graph's order.
        excluded: label -> reason, for weighted nodes that stay float.
    """

    chosen: tuple[Site, ...]
    excluded: Mapping[str, str]

    @property
    def opset(self) -> int:
        """The opset that they take together; 0 for none."""
        return max((site.grain.opset for site in self.chosen), default=0)


@dataclass(frozen=True, slots=True)
class _Role:
    """Where an operator has its weight.

    Attributes:
        position: among its inputs.
        channels: axis of the weight that suits a scale for each index.
        summed: as in `Site`; blocks lie along it.
    """

    position: int
    channels: int
    summed: int


def find_sites(model: ir.Model, wishes: Wishes) -> Sites:
    """Decide for every node of the main graph; nodes inside control flow stay float."""
    moving = _moving(model.graph)
    chosen: list[Site] = []
    excluded: dict[str, str] = {}
    for number, node in enumerate(model.graph):
        role = _role(node, moving)
        if role is None:
            continue
        label = node.name or f"{node.op_type}#{number}"
        weight = node.inputs[role.position]
        if weight is None:
            continue
        reason = _reason_against(node, label, weight, model, wishes)
        if reason is None:
            grain = _grain(node, label, weight, role, wishes)
            chosen.append(Site(node, label, role.position, weight, role.summed, grain))
        elif node.op_type != "Gather" or reason in (QUANTIZED, FED):
            excluded[label] = reason
    return Sites(tuple(chosen), excluded)


def shape_of(weight: ir.Value) -> tuple[int, ...]:
    """Of an initializer."""
    tensor = weight.const_value
    assert tensor is not None  # only initializers become sites
    return tuple(tensor.shape.numpy())


def _role(node: ir.Node, moving: frozenset[ir.Value]) -> _Role | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    match node.op_type:
        case "MatMul":
            return _role_in_product(node, moving)
        case "Gemm":
            return _Role(1, 0, 1) if node.attributes.get_int("transB", 0) else _Role(1, 1, 0)
        case "Conv":
            return _Role(1, 0, 1)
        case "ConvTranspose":  # with groups, the second axis starts anew in each of them
            return _Role(1, 1 if node.attributes.get_int("group", 1) == 1 else 0, 0)
        case "Gather" if node.attributes.get_int("axis", 0) == 0 and _is_table(node.inputs[0], moving):
            return _Role(0, 0, 1)
        case _:
            return None


def _role_in_product(node: ir.Node, moving: frozenset[ir.Value]) -> _Role | None:
    """The side that is the same on every run, the right one if both are; None for a product of two activations."""
    left, right = node.inputs[:2]
    if right not in moving:
        return _Role(1, 1, 0)
    return _Role(0, 0, 1) if left not in moving else None


def _is_table(value: ir.Value | None, moving: frozenset[ir.Value]) -> bool:
    """Whether a Gather looks up rows of float numbers, and not of shapes."""
    if value is None or value in moving:
        return False
    tensor = value.const_value
    return _dequantizes(value) or (tensor is not None and tensor.dtype.name in _FLOATS and len(tensor.shape) == 2)


def _reason_against(node: ir.Node, label: str, weight: ir.Value, model: ir.Model, wishes: Wishes) -> str | None:
    if any(fnmatchcase(label, pattern) for pattern in wishes.exclude):
        return "excluded by the recipe"
    if node.op_type == "Gather" and not wishes.embeddings:
        return "embeddings are left float by the recipe"
    if node.op_type in OPERATORS and node.op_type not in wishes.op_types:
        return f"{node.op_type} is not in op_types"
    if weight.is_graph_input():
        return FED
    if _dequantizes(weight):
        return QUANTIZED
    tensor = weight.const_value
    if tensor is None or not weight.is_initializer() or weight.graph is not model.graph:
        return COMPUTED
    if tensor.dtype.name not in _FLOATS:
        return f"its weight is {tensor.dtype.name.lower()}"
    shape = shape_of(weight)
    if len(shape) != 2 and node.op_type in ("MatMul", "Gemm"):
        return f"its weight has {len(shape)} dimensions"
    if (size := math.prod(shape)) < wishes.min_size or size == 0:
        return f"its weight has {size} values, fewer than min_size = {wishes.min_size}"
    return None


def _grain(node: ir.Node, label: str, weight: ir.Value, role: _Role, wishes: Wishes) -> Grain:
    shape = shape_of(weight)
    bits = wishes.embedding_bits if node.op_type == "Gather" else wishes.bits
    if any(fnmatchcase(label, pattern) for pattern in wishes.eight_bits):
        bits = 8
    half = weight.const_value is not None and weight.const_value.dtype.name == "FLOAT16"
    block = _fitting_block(shape[role.summed], wishes.block)
    if block:
        return Grain(bits, wishes.symmetric, role.summed, block, half)
    return Grain(_bits_of_rows(shape, role, bits, wishes), wishes.symmetric, role.channels, 0, half)


def _fitting_block(length: int, wanted: int) -> int:
    """The largest block, no larger than wanted, that divides an axis; 0 when none does."""
    block = wanted
    while block >= SMALLEST_BLOCK:
        if length % block == 0:
            return block
        block //= 2
    return 0


def _bits_of_rows(shape: tuple[int, ...], role: _Role, bits: Bits, wishes: Wishes) -> Bits:
    """Where blocks were wanted and none divides the axis, a long row would lose too much in 4 bits."""
    row = math.prod(shape) // shape[role.channels]
    return 8 if wishes.block and row > _LONGEST_ROW else bits


def _dequantizes(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"


def _moving(graph: ir.Graph) -> frozenset[ir.Value]:
    """Values that depend on the graph's inputs; all others are the same on every run."""
    found = {value for value in graph.inputs if not value.is_initializer()}
    for node in graph:
        inside = any(attribute.type.name in ("GRAPH", "GRAPHS") for attribute in node.attributes.values())
        if inside or node.op_type.startswith("Random") or not found.isdisjoint(filter(None, node.inputs)):
            found.update(node.outputs)
    return frozenset(found)
