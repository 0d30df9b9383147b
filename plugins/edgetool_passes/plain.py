"""Simplifies plain feed-forward networks at once: fuses BatchNormalization, and knows that nothing else is to be done.

The optimizer behind `edgetool.graph.fold` takes most of a second to import, several times what a small convolutional
network needs for everything else. In a network of nothing but the operators below, in which every node computes on
the input, it could find only what every runtime finds when it loads the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import onnx

_KEPT = frozenset(
    {
        "AveragePool", "Conv", "ConvTranspose", "Elu", "Flatten", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
        "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "MaxPool", "Relu", "Sigmoid", "Softmax", "Tanh",
    }
)  # fmt: skip
"""Operators on one computed tensor that have no simpler form."""
_JOINING = frozenset({"Add", "Concat", "Mul"})
"""Operators that have none either when all that they join is computed."""
_FLOAT = 1  # onnx.TensorProto.FLOAT


def simplify_plain(model: onnx.ModelProto) -> bool:
    """Fuse every BatchNormalization of a plain network into the Conv before it, in place.

    Formula, by output channel: `w' = w * k` and `b' = (b - mean) * k + bias` with `k = scale / sqrt(variance +
    epsilon)`; see Jacob et al. 2018, section 3.2. It is computed in float64 and rounded once.

    Returns:
        False when the network is not plain; it was not touched then.
    """
    index = GraphIndex(model.graph)
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not _is_plain(model, index) or not all(_is_fusible(node, index) for node in norms):
        return False
    if norms:
        editor = GraphEditor(model.graph)
        for norm in norms:
            _fuse(norm, index, editor)
        editor.commit()
        model.graph.ClearField("value_info")  # it may speak of tensors that are gone
    return True


def _is_plain(model: onnx.ModelProto, index: GraphIndex) -> bool:
    graph = model.graph
    stored = index.initializers
    if model.functions or graph.sparse_initializer or any(value.name in stored for value in graph.input):
        return False
    used = index.readers.keys() | index.outside
    if any(name not in used for name in stored):
        return False
    return all(_is_simple(node, stored) and all(name in used for name in node.output) for node in graph.node)


def _is_simple(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> bool:
    if node.domain not in ("", "ai.onnx") or not node.input or node.input[0] in stored:
        return False
    if node.op_type in _JOINING:
        return all(name not in stored for name in node.input)
    return node.op_type in _KEPT or node.op_type == "BatchNormalization"


def _is_fusible(norm: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether it follows a Conv whose result nobody else reads, and all that is fused are stored float32 numbers."""
    before = index.producers.get(norm.input[0])
    if before is None or before.op_type != "Conv" or index.only_reader(norm.input[0]) is None:
        return False
    if len(norm.output) != 1 or attribute(norm, "training_mode", 0):
        return False
    constants = [index.initializers.get(name) for name in (*norm.input[1:], *before.input[1:])]
    return all(tensor is not None and tensor.data_type == _FLOAT for tensor in constants)


def _fuse(norm: onnx.NodeProto, index: GraphIndex, editor: GraphEditor) -> None:
    import numpy as np

    conv = index.producers[norm.input[0]]
    scale, shift, mean, variance = (index.values(name).astype(np.float64) for name in norm.input[1:])
    epsilon = next((entry.f for entry in norm.attribute if entry.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    weight = index.values(conv.input[1])
    weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    old_bias = index.values(conv.input[2]) if len(conv.input) > 2 else 0.0
    bias = (old_bias - mean) * factor + shift
    editor.redirect(conv, 1, editor.constant(weight.astype(np.float32), conv.input[1]))
    stored_bias = editor.constant(bias.astype(np.float32), norm.input[2])
    if len(conv.input) > 2:
        editor.redirect(conv, 2, stored_bias)
    else:
        conv.input.append(stored_bias)
    result = norm.output[0]
    editor.retire(norm)
    conv.output[0] = result
