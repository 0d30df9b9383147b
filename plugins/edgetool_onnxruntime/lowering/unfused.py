"""Finds quantized operators that ONNX Runtime runs in float: there int8 costs time instead of saving it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_WEIGHTED = frozenset(
    {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
)


def unfused_nodes(engine: Path, *, threads: int = 1) -> tuple[str, ...]:
    """Names of weighted nodes that read dequantized weights in the graph that ONNX Runtime optimized for this machine.

    Args:
        engine: a .onnx file; () for one that is not quantized.
        threads: for the session that optimizes the graph.
    """
    import onnx

    from edgetool.graph import load
    from edgetool_onnxruntime.session import SessionSettings, open_session

    if not any(node.op_type == "DequantizeLinear" for node in load(engine, weights=False).graph.node):
        return ()
    entries = {
        "session.optimized_model_external_initializers_file_name": "weights",
        "session.optimized_model_external_initializers_min_size_in_bytes": "64",
    }
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / "optimized.onnx"
        open_session(engine, SessionSettings(threads=threads, entries=entries, optimized_path=dump))
        return unfused_in(onnx.load(str(dump), load_external_data=False).graph)


def unfused_in(graph: onnx.GraphProto) -> tuple[str, ...]:
    """As `unfused_nodes`, for a graph that ONNX Runtime has optimized already; its weights need not be loaded."""
    from edgetool.graph import node_label

    dequantized = _dequantized_weights(graph)
    return tuple(
        node_label(node, position)
        for position, node in enumerate(graph.node)
        if node.op_type in _WEIGHTED and not dequantized.isdisjoint(node.input)
    )


def _dequantized_weights(graph: onnx.GraphProto) -> set[str]:
    """Results of DequantizeLinear nodes that read stored tensors; seen through one Transpose or Reshape."""
    stored = {tensor.name for tensor in graph.initializer}
    found: set[str] = set()
    for node in graph.node:
        reads_weights = node.op_type == "DequantizeLinear" and node.input[0] in stored
        hands_on = node.op_type in ("Transpose", "Reshape") and node.input[0] in found
        if reads_weights or hands_on:
            found.update(node.output)
    return found
