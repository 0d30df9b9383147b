"""Constant folding and cleaning up, by onnxscript's optimizer under our limits.

Compared on PP-OCR, magika, silero, MiniLM, MobileNetV2 and ResNet-18 (onnxscript 0.7, onnxslim 0.1.98): both keep
the outputs, onnxscript to the last bit on twelve of fourteen. onnxslim leaves up to a quarter fewer nodes, but takes
two to six times as long on transformers, let one model with control flow grow by 44 %, and needs every weight in one
proto, which ends at 2 GB. onnxscript works on onnx_ir's lazy tensors, and inlines the branch of an `If` whose
condition became constant.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

_ROUNDS = 4
"""Folding exposes fusions, and fusions expose constants; real networks settle in two or three rounds."""
_SMALL = 1024
"""Elements up to which a filled constant is stored: shapes and pads, never weights."""
_TRACES = ("pkg.onnxscript.", "pkg.torch.onnxscript.")


def fold(model: ir.Model) -> None:
    """Fold constants, fuse, remove what is dead; in place. Inputs, outputs and `metadata_props` stay.

    Tensors over 256 Ki elements are not folded into, so that the model cannot blow up.

    Raises:
        onnx_ir.passes.PassError: the optimizer met something that it cannot handle; the model is unusable then.
    """
    import onnx_ir.passes.common as tidy
    import onnxscript.optimizer

    with _quiet():
        tidy.RemoveInitializersFromInputsPass()(model)
        # First, because the fusions recognise weights only as initializers.
        tidy.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        onnxscript.optimizer.optimize_ir(model, num_iterations=_ROUNDS, should_fold=_should_fold)
    _drop_unread(model)
    drop_traces(model)


def infer_shapes(model: ir.Model) -> None:
    """Fill in shapes and dtypes as far as onnx can infer them, in place; weights are not read."""
    import onnx_ir.passes.common as tidy

    with _quiet():
        tidy.ShapeInferencePass(check_type=False, strict_mode=False)(model)


def _drop_unread(model: ir.Model) -> None:
    """Remove initializers that only the nodes of a removed branch still refer to."""
    alive = set(model.graph.all_nodes())
    results = {value for graph in (model.graph, *model.graph.subgraphs()) for value in graph.outputs}
    for graph in (model.graph, *model.graph.subgraphs()):
        for name, value in list(graph.initializers.items()):
            if value not in results and not any(node in alive for node, _ in value.uses()):
                del graph.initializers[name]


def _should_fold(node: ir.Node) -> bool | None:
    """Fold small ConstantOfShape, which the optimizer spares: pads and reshapes hang on them."""
    if node.op_type != "ConstantOfShape" or node.domain:
        return None
    shape = node.inputs[0].const_value if node.inputs and node.inputs[0] is not None else None
    if shape is None or shape.size > 8:
        return None
    count = 1
    for size in shape.numpy().tolist():
        count *= size
    return True if 0 <= count <= _SMALL else None


def drop_traces(model: ir.Model) -> None:
    """Remove the optimizer's notes about itself from nodes and values."""
    for graph in (model.graph, *model.graph.subgraphs()):
        values = list(graph.initializers.values())
        for node in graph:
            _without_traces(node.metadata_props)
            values += node.outputs
        for value in values:
            _without_traces(value.metadata_props)


def _without_traces(props: dict[str, str]) -> None:
    for key in [key for key in props if key.startswith(_TRACES)]:
        del props[key]


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries report what they could not fold or infer as warnings; leaving it as it is is harmless."""
    loggers = [logging.getLogger("onnxscript"), logging.getLogger("onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
