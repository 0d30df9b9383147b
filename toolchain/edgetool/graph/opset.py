"""Moves a model to another opset: up with onnx's version converter, down by our own rules; weights stay aside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.downgrade import OLDEST_TARGET, downgrade
from edgetool.graph.external_data import is_external
from edgetool.graph.structure import OLDEST_OPSET
from edgetool.graph.walk import graphs, node_label

if TYPE_CHECKING:
    import onnx

_DETACH_OVER = 1024  # bytes; the converter looks into shapes and axes, and those are small
_NO_ADAPTER = re.compile(r"No (?:Adapter (?:From|To) Version \$?\d+ for|Previous Version of) (\w+)")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators that the model is written in."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def convert_opset(model: onnx.ModelProto, opset: int, *, where: str) -> onnx.ModelProto:
    """The model in another opset, up or down. `model` lends its weights to the result: do not use it afterwards.

    Args:
        model: weights may be inline or external; they are carried over unread.
        opset: the version of ONNX's own operators to move to.
        where: the file, for messages.

    Raises:
        ModelError: `opset-conversion-failed`, naming the nodes that have no counterpart in the other opset.
    """
    import onnx
    import onnx.inliner
    import onnx.version_converter

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ModelError(
            "opset-conversion-failed", f"opset {opset} is not between {OLDEST_OPSET} and {newest}", where=where
        )
    if opset_of(model) == opset:
        return model
    if model.functions:  # the converter does not look inside functions
        model = onnx.inliner.inline_local_functions(model)
    large = _detach(model)
    if max(opset, OLDEST_TARGET) < opset_of(model):
        model = _lowered(model, max(opset, OLDEST_TARGET), where)
    if opset != opset_of(model):
        metadata = list(model.metadata_props)
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except RuntimeError as error:  # the C++ converter knows no other kind; ConvertError is one
            raise _refusal(model, opset, str(error), where) from error
        del model.metadata_props[:]
        model.metadata_props.extend(metadata)
    _attach(model, large)
    return model


def _lowered(model: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    """The model in an older opset by our own rules.

    onnx's converter is not asked, where they end: downwards it turns a Softmax over an inner axis into another one
    without a word (1.23).
    """
    import onnx
    import onnx.shape_inference

    if obstacle := downgrade(model, opset):
        place = f"{where}: node {obstacle.node}"
        raise ModelError("opset-conversion-failed", obstacle.reason, where=place, hint=_HINT)
    try:  # the older versions may not take the types at hand, which only inference finds out
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            "opset-conversion-failed",
            f"opset {opset} does not take the types of this model: {str(error).splitlines()[-1]}",
            where=where,
            hint=_HINT,
        ) from error
    return model


def _detach(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Turn large initializers into inputs, so that the converter neither copies nor serializes them."""
    import onnx.helper

    inputs = {value.name for value in model.graph.input}
    large: list[onnx.TensorProto] = []
    small: list[onnx.TensorProto] = []
    for tensor in model.graph.initializer:
        (large if tensor.ByteSize() > _DETACH_OVER or is_external(tensor) else small).append(_copy(tensor))
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    for tensor in large:
        if tensor.name not in inputs:
            model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return large


def _copy(tensor: onnx.TensorProto) -> onnx.TensorProto:
    import onnx

    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy


def _attach(model: onnx.ModelProto, large: list[onnx.TensorProto]) -> None:
    """Give the weights back, and leave only true inputs."""
    stored = {tensor.name for tensor in large} | {tensor.name for tensor in model.graph.initializer}
    true_inputs = [value for value in model.graph.input if value.name not in stored]
    kept = [type(value).FromString(value.SerializeToString()) for value in true_inputs]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(large)


def _refusal(model: onnx.ModelProto, opset: int, text: str, where: str) -> ModelError:
    match = _NO_ADAPTER.search(text)
    if not match:
        first = text.strip().splitlines()[-1] if text.strip() else "no reason given"
        return ModelError(
            "opset-conversion-failed", f"the converter to opset {opset} failed: {first}", where=where, hint=_HINT
        )
    op_type = match[1]
    nodes = [
        node_label(node, index)
        for graph in graphs(model.graph)
        for index, node in enumerate(graph.node)
        if node.op_type == op_type
    ]
    shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
    return ModelError(
        "opset-conversion-failed",
        f"{op_type} cannot be expressed in opset {opset}",
        where=f"{where}: node {shown}" if nodes else where,
        hint=_HINT,
    )


_HINT = "Export the model to that opset in its framework, or choose one nearer to its own."
