"""The weights that can be factored, each with all nodes that read it, and why the others cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.factorize.forms import Form, forms_of

if TYPE_CHECKING:
    import onnx

Operator: TypeAlias = Literal["MatMul", "Gemm", "Conv"]
Kernels: TypeAlias = Literal["channels", "separable"]
OPERATORS: tuple[Operator, ...] = ("MatMul", "Gemm", "Conv")

FED = "its weight is an input of the model"
COMPUTED = "its weight is computed while the model runs"
_FLOAT, _HALVES = 1, {10: "float16", 16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the recipe asks for.

    Attributes:
        op_types: operators.
        embeddings: also tables.
        exclude: patterns for names of nodes that stay whole.
        min_size: weights with fewer values stay whole.
        kernels: how convolutions with a kernel are factored; None leaves it to what fits.
    """

    op_types: tuple[Operator, ...]
    embeddings: bool
    exclude: tuple[str, ...]
    min_size: int
    kernels: Kernels | None


@dataclass(frozen=True, eq=False)
class Layer:
    """A stored weight.

    Attributes:
        label: name of the first node that reads it.
        weight: name of the initializer.
        shape: of it.
        nodes: all that read it, in the same way.
        forms: ways to factor it.
    """

    label: str
    weight: str
    shape: tuple[int, ...]
    nodes: tuple[onnx.NodeProto, ...]
    forms: tuple[Form, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Layers:
    """The decision for one graph.

    Attributes:
        chosen: in the graph's order.
        left: label -> reason, for weighted nodes that stay whole.
    """

    chosen: tuple[Layer, ...]
    left: Mapping[str, str]


def find_layers(model: onnx.ModelProto, wishes: Wishes) -> Layers:
    """Decide for every weighted node of the main graph; constants must be stored."""
    index = GraphIndex(model.graph)
    fed = {value.name for value in model.graph.input} if model.ir_version >= 4 else set()
    labels = {tuple(node.output): node_label(node, number) for number, node in enumerate(model.graph.node)}
    chosen: dict[str, Layer] = {}
    left: dict[str, str] = {}
    for node in model.graph.node:
        place = _place(node, index, wishes)
        if place is None:
            continue
        label, weight = labels[tuple(node.output)], node.input[place]
        reason = _reason_against(node, label, weight, index, fed, wishes)
        if reason is not None:
            left[label] = reason
        elif weight not in chosen:
            shape = tuple(index.initializers[weight].dims)
            forms = forms_of(node, shape)
            wanted = [form for form in forms if len(forms) == 1 or wishes.kernels in (None, form.name)]
            chosen[weight] = Layer(label, weight, shape, tuple(index.readers[weight]), tuple(wanted))
    return Layers(tuple(chosen.values()), left)


def _place(node: onnx.NodeProto, index: GraphIndex, wishes: Wishes) -> int | None:
    """Where a node has its weight among its inputs; None for nodes without one, and for those that nobody asks for."""
    if node.domain not in ("", "ai.onnx") or index.moving.isdisjoint(node.output):
        return None
    if node.op_type == "Gather":
        table = index.initializers.get(node.input[0])
        is_table = table is not None and len(table.dims) == 2 and node.input[1] in index.moving
        return 0 if wishes.embeddings and is_table and attribute(node, "axis", 0) == 0 else None
    if node.op_type not in wishes.op_types:
        return None
    return None if node.op_type == "MatMul" and index.moving.issuperset(node.input) else 1


def _reason_against(
    node: onnx.NodeProto, label: str, weight: str, index: GraphIndex, fed: set[str], wishes: Wishes
) -> str | None:
    if any(fnmatchcase(label, pattern) for pattern in wishes.exclude):
        return "excluded by the recipe"
    if weight in fed:
        return FED
    tensor = index.initializers.get(weight)
    if tensor is None:
        stored_left = node.op_type == "MatMul" and node.input[0] in index.initializers
        return "its weight is its first input" if stored_left else COMPUTED
    if tensor.data_type in _HALVES:
        return f"its weight is {_HALVES[tensor.data_type]}: put this pass in front of the one that casts"
    if tensor.data_type != _FLOAT:
        return "its weight is not float32"
    if reason := _reason_of_kind(node, tensor) or _reason_of_sharing(node, weight, index):
        return reason
    small = math.prod(tensor.dims) < wishes.min_size
    return f"it has fewer than min_size = {wishes.min_size} weights" if small else None


def _reason_of_kind(node: onnx.NodeProto, tensor: onnx.TensorProto) -> str | None:
    if node.op_type == "Conv":
        groups = attribute(node, "group", 1)
        if groups == 1:
            return None
        return "it is depthwise: its kernels share nothing" if tensor.dims[1] == 1 else f"it has {groups} groups"
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return "its input is transposed"
    return None if len(tensor.dims) == 2 else f"its weight has {len(tensor.dims)} dimensions"


def _reason_of_sharing(node: onnx.NodeProto, weight: str, index: GraphIndex) -> str | None:
    """Whether all that read the weight read it in the same way."""
    if weight in index.outside:
        return "its weight is an output of the model, or read inside control flow"
    for other in index.readers[weight]:
        same_place = [name == weight for name in other.input[:2]] == [name == weight for name in node.input[:2]]
        if other.op_type != node.op_type or not same_place or _attributes(other) != _attributes(node):
            return f"{other.op_type} node {other.name or other.output[0]!r} reads its weight, too, in another way"
    return None


def _attributes(node: onnx.NodeProto) -> list[bytes]:
    return sorted(entry.SerializeToString() for entry in node.attribute)
