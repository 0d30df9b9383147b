"""Loads a model in an opset whose operators take 16 bits, and finds out the dtype of every value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_HALF_SCALES = 19
"""The first opset whose QuantizeLinear and DequantizeLinear take scales of 16 bits."""


def load_with_half_scales(path: Path, *, newest: int | None) -> tuple[ir.Model, dict[str, JsonValue]]:
    """The model; one with Q/DQ in an opset that lets their scales have 16 bits, if the target reads it.

    Args:
        path: the model.
        newest: opset that the target reads; None for any.

    Returns:
        The model, and as facts its opset before and after.

    Raises:
        ConfigError, ModelError: as `edgetool.graph.load` and `convert_opset`.
    """
    from edgetool.graph.load import load

    proto = load(path, weights=False)
    quantized = any(node.op_type in _QUANTIZERS for node in proto.graph.node)
    return raised(proto, path, opset=_HALF_SCALES if quantized else 0, newest=newest)


def raised(
    proto: onnx.ModelProto, path: Path, *, opset: int, newest: int | None
) -> tuple[ir.Model, dict[str, JsonValue]]:
    """A model that was loaded without weights, in an opset no older than `opset` unless the target does not read it."""
    from edgetool.graph.opset import convert_opset, opset_of
    from edgetool.graph.streaming import as_ir

    before = opset_of(proto)
    if before < opset <= (newest or opset):
        proto = convert_opset(proto, opset, where=str(path))
    return as_ir(proto, path.parent, where=str(path)), {"from": before, "to": opset_of(proto)}


def prepare(graph: ir.Model) -> None:
    """Inline functions, make constants initializers, and find out the dtype of every value."""
    import onnx_ir.passes.common as tidy

    from edgetool.graph.fold import infer_shapes
    from edgetool_passes.fp16.types import infer_dtypes

    tidy.InlinePass()(graph)
    tidy.RemoveInitializersFromInputsPass()(graph)
    tidy.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    infer_shapes(graph)
    infer_dtypes(graph)
