"""Lowers typed ONNX for OpenVINO, where another spelling of the same numbers is the faster one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Lowering
from edgetool.graph import load, save
from edgetool.graph.walk import graphs

if TYPE_CHECKING:
    import onnx

_QUANTIZERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})


def lower(source: Path, destination: Path) -> tuple[Lowering, ...]:
    """Write the lowered model to `destination`; nothing is written when there is nothing to lower.

    - Symmetric int8 wastes half of its levels on what follows a ReLU. OpenVINO's convolutions have their fast path for
      uint8 there: 20 % faster on MobileNetV2, 13 % on a ResNet-18. Signed tensors stay as they are: with a zero
      point in the middle of uint8 OpenVINO's matrix products are 20 % slower.
    - Quantization at run time is left to OpenVINO: MiniLM takes 14 ms instead of 41.

    Args:
        source: the typed ONNX.
        destination: the .onnx file to write.
    """
    from edgetool.qdq.pairs import use_full_range
    from edgetool_openvino.dynamic_int8 import use_stored_weights

    if not _QUANTIZERS & operators(load(source, weights=False)):
        return ()
    proto = load(source)
    lowerings = tuple(
        Lowering(name, summary, count)
        for name, summary, count in (
            (
                "int8-to-uint8",
                "tensors that cannot be negative are quantized to uint8 instead of int8: same range, half the step",
                use_full_range(proto.graph, "uint8"),
            ),
            (
                "dynamic-to-stored-int8",
                "only the weights are stored as int8; OpenVINO quantizes the activations while it runs",
                use_stored_weights(proto.graph),
            ),
        )
        if count
    )
    if lowerings:
        save(proto, destination)
    return lowerings


def declared_precision(proto: onnx.ModelProto, otherwise: str) -> str:
    """`int8` when activations are quantized, `mixed` for quantized weights alone, and `otherwise` for a float model.

    Args:
        proto: the typed ONNX; its weights need not be loaded.
        otherwise: what float operations compute in.
    """
    found = operators(proto)
    if found & _QUANTIZERS:
        return "int8"
    return "mixed" if "DequantizeLinear" in found else otherwise


def operators(proto: onnx.ModelProto) -> frozenset[str]:
    """The operators of the graph and its subgraphs."""
    return frozenset(node.op_type for graph in graphs(proto.graph) for node in graph.node)
