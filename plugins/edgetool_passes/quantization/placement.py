"""What to quantize: weighted nodes with constant weights, the identity branch of residual Adds, inputs of pools.

The rules are those of a runtime that fuses from the inputs (TensorRT's): Q/DQ on the inputs of weighted operators and
never on their results, zero points of 0, float biases, and of the two branches of a residual Add the one that does not
come out of a convolution. Softmax, LayerNormalization, masks and matrix products of two activations stay float, which
is what keeps transformers accurate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex, attribute, constant_of
from edgetool_passes.quantization.rules import WEIGHTED, Rules

if TYPE_CHECKING:
    import onnx

Bits: TypeAlias = Literal[8, 16]

_ACTIVATIONS = frozenset({"Relu", "Clip"})
_HANDING_ON = frozenset({"Identity", "Dropout"})
_FLATTENING = frozenset({"Flatten", "Reshape", "Squeeze"})
_QUANTIZED_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv",
     "QLinearMatMul"}
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Site:
    """One node whose weight becomes int8.

    Attributes:
        node: it.
        label: how to speak of it.
        weight: position of the weight among its inputs.
        axis: of the weight, along which every channel gets its own scale.
        activation: position of the activation to quantize; None where there is none (Gather).
        bits: of the activation's integers: 8 or 16.
    """

    node: onnx.NodeProto
    label: str
    weight: int
    axis: int
    activation: int | None
    bits: Bits = 8

    @property
    def weight_name(self) -> str:
        return str(self.node.input[self.weight])


@dataclass(frozen=True, eq=False)
class Reading:
    """An input of a node that is to be quantized.

    Attributes:
        node: it.
        position: of the input.
        bits: of the integers.
    """

    node: onnx.NodeProto
    position: int
    bits: Bits = 8

    @property
    def tensor(self) -> str:
        return str(self.node.input[self.position])


@dataclass(frozen=True, eq=False)
class Placement:
    """The decision for one graph.

    Attributes:
        sites: nodes to quantize, in the graph's order.
        residuals: identity branches of Adds.
        attention: inputs of attention's products of two activations.
        pools: inputs of global pools.
        excluded: label -> reason, for weighted nodes that stay float.
    """

    sites: tuple[Site, ...]
    residuals: tuple[Reading, ...]
    attention: tuple[Reading, ...]
    pools: tuple[Reading, ...]
    excluded: Mapping[str, str]

    def readings(self) -> tuple[Reading, ...]:
        """All inputs to quantize."""
        of_sites = (
            Reading(site.node, site.activation, site.bits) for site in self.sites if site.activation is not None
        )
        return (*of_sites, *self.residuals, *self.attention, *self.pools)

    def activations(self) -> tuple[str, ...]:
        """The tensors that need a pair, each once, in order of first use."""
        return tuple(dict.fromkeys(reading.tensor for reading in self.readings()))


def place(model: onnx.ModelProto, rules: Rules) -> Placement:
    """Decide for every node of the main graph; nodes inside control flow stay float."""
    index = GraphIndex(model.graph)
    fed = {value.name for value in model.graph.input} if model.ir_version >= 4 else set()
    sites: list[Site] = []
    excluded: dict[str, str] = {}
    for number, node in enumerate(model.graph.node):
        label = node_label(node, number)
        site = _site(node, label, index, rules)
        if site is None:
            continue
        reason = _reason_against(site, index, rules, fed)
        if reason is None:
            sites.append(replace(site, bits=_bits(label, rules)))
        elif node.op_type != "Gather":
            excluded[label] = reason
    residuals = tuple(_residuals(model.graph, index, sites, rules)) if rules.residual_adds else ()
    attention = tuple(_attention(model.graph, index, rules))
    pools = tuple(_pools(model.graph, index, sites, rules)) if rules.pools else ()
    return Placement(tuple(sites), residuals, attention, pools, excluded)


def _bits(label: str, rules: Rules) -> Bits:
    return 16 if rules.precision(label) == "int8-act16" else 8


def quantized_nodes(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Labels of the nodes that are quantized already."""
    return tuple(node_label(node, number) for number, node in enumerate(graph.node) if node.op_type in _QUANTIZED_OPS)


def weight_sizes(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, int]]:
    """Weighted nodes and Gather with a constant weight, and how many numbers each holds."""
    index = GraphIndex(graph)
    found = []
    for number, node in enumerate(graph.node):
        site = _site(node, node_label(node, number), index, Rules())
        if site is not None and (values := index.constant(site.weight_name)) is not None:
            found.append((node, int(values.size)))
    return found


def _site(node: onnx.NodeProto, label: str, index: GraphIndex, rules: Rules) -> Site | None:
    """The site that a node could be; None for nodes that have no weight, products of two activations included."""
    if node.domain not in ("", "ai.onnx"):
        return None
    match node.op_type:
        case "Conv":
            return Site(node, label, 1, 0, 0)
        case "ConvTranspose":
            return Site(node, label, 1, 1, 0)
        case "Gemm":
            return Site(node, label, 1, 0 if attribute(node, "transB", 0) else 1, 0)
        case "MatMul":
            return None if index.moving.issuperset(node.input) else Site(node, label, 1, 1, 0)
        case "Gather" if rules.embeddings and index.constant(node.input[0]) is not None:
            return Site(node, label, 0, 0, None)
        case _:
            return None


def _reason_against(site: Site, index: GraphIndex, rules: Rules, fed: set[str]) -> str | None:
    node, weight = site.node, index.constant(site.weight_name)
    if rules.precision(site.label) == "float":
        return "excluded by the recipe"
    if node.op_type in WEIGHTED and node.op_type not in rules.op_types:
        return f"{node.op_type} is not in op_types"
    if site.weight_name in fed:
        return "its weight is an input of the model"
    if weight is None:
        return "its weight is computed while the model runs"
    if weight.dtype.name != "float32":
        return f"its weight is {weight.dtype.name}"
    return _reason_of_shape(site, weight.shape, rules)


def _reason_of_shape(site: Site, shape: tuple[int, ...], rules: Rules) -> str | None:
    node = site.node
    if any(entry.f != 1.0 for entry in node.attribute if entry.name in ("alpha", "beta") and node.op_type == "Gemm"):
        return "its alpha or beta is not 1"
    if 0 in shape:
        return "its weight is empty"
    if node.op_type in ("MatMul", "Gemm", "Gather"):
        if len(shape) != 2:
            return f"its weight has {len(shape)} dimensions"
        if node.op_type == "Gather":
            return None if attribute(node, "axis", 0) == 0 else "it does not look up rows"
        if node.op_type == "Gemm" and attribute(node, "transA", 0):
            return "its input is transposed"
        return "a single row or column gains nothing" if 1 in shape else None
    if node.op_type == "ConvTranspose" and attribute(node, "group", 1) != 1:
        return "a grouped ConvTranspose has no channel axis to scale along"
    channels = (shape[0], shape[1] * attribute(node, "group", 1))
    if min(channels) < rules.min_channels:
        return f"{min(channels)} channels are fewer than min_channels = {rules.min_channels}"
    return None


def _residuals(graph: onnx.GraphProto, index: GraphIndex, sites: list[Site], rules: Rules) -> Iterator[Reading]:
    """Of Adds that a convolution can absorb, the other branch."""
    convolutions = {site.node.output[0] for site in sites if site.node.op_type == "Conv"}
    for number, node in enumerate(graph.node):
        if node.op_type != "Add" or not index.moving.issuperset(node.input):  # a bias is no branch
            continue
        label = node_label(node, number)
        absorbed = [name in convolutions and index.only_reader(name) is not None for name in node.input]
        if any(absorbed) and rules.precision(label) != "float":
            yield Reading(node, 0 if absorbed[1] else 1, _bits(label, rules))


def _attention(graph: onnx.GraphProto, index: GraphIndex, rules: Rules) -> Iterator[Reading]:
    """Both inputs of the products of two activations around a Softmax that are asked for."""
    for number, node in enumerate(graph.node):
        if node.op_type != "MatMul" or not index.moving.issuperset(node.input):
            continue
        label = node_label(node, number)
        wanted = (rules.attention_scores and _becomes_softmax(node.output[0], index)) or (
            rules.attention_values and any(_is_softmax(name, index) for name in node.input)
        )
        if wanted and rules.precision(label) != "float":
            yield from (Reading(node, position, _bits(label, rules)) for position in (0, 1))


def _is_softmax(tensor: str, index: GraphIndex) -> bool:
    """Whether a tensor is the result of a Softmax, perhaps handed on."""
    producer = index.producers.get(_behind(tensor, index, _HANDING_ON))
    return producer is not None and producer.op_type == "Softmax"


def _becomes_softmax(tensor: str, index: GraphIndex) -> bool:
    """Whether scaling and masking is all that happens to a tensor before a Softmax."""
    while (reader := index.only_reader(tensor)) is not None:
        if reader.op_type == "Softmax":
            return True
        if reader.op_type not in ("Mul", "Div", "Add", "Where"):
            return False
        tensor = reader.output[0]
    return False


def _pools(graph: onnx.GraphProto, index: GraphIndex, sites: list[Site], rules: Rules) -> Iterator[Reading]:
    """Global pools between a quantized convolution, perhaps with its activation, and a quantized layer."""
    written = {site.node.output[0] for site in sites if site.node.op_type == "Conv"}
    read = {site.node.input[site.activation] for site in sites if site.activation is not None}
    for number, node in enumerate(graph.node):
        if node.op_type not in ("GlobalAveragePool", "ReduceMean") or node.input[0] not in index.moving:
            continue
        label = node_label(node, number)
        source = _behind(node.input[0], index, _ACTIVATIONS)
        result = _ahead(node.output[0], index, _FLATTENING)
        if source in written and result in read and rules.precision(label) != "float":
            yield Reading(node, 0, _bits(label, rules))


def _behind(tensor: str, index: GraphIndex, through: frozenset[str]) -> str:
    """The tensor before the operators that are looked through."""
    while (producer := index.producers.get(tensor)) is not None and producer.op_type in through:
        tensor = producer.input[0]
    return tensor


def _ahead(tensor: str, index: GraphIndex, through: frozenset[str]) -> str:
    """The tensor after the operators that are looked through."""
    while (reader := index.only_reader(tensor)) is not None and reader.op_type in through:
        tensor = reader.output[0]
    return tensor


def store_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers, where weights are looked for."""
    from onnx import numpy_helper

    for place in reversed(range(len(graph.node))):
        node = graph.node[place]
        values = constant_of(node)
        if values is not None:
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            del graph.node[place]
