"""Q/DQ that builds, and does not pay: what stays in float after all, and what keeps layers from being fused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgetool_tensorrt.check.finding import Finding, warned
from edgetool_tensorrt.check.quantized import DEQUANTIZE, QUANTIZE
from edgetool_tensorrt.check.subject import Row, Subject

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")
_AGAIN = "quantize with `quantize-static`, which places Q/DQ for every runtime"


def check_fusion(subject: Subject) -> Iterator[Finding]:
    """Warnings only: TensorRT builds all of this."""
    if subject.is_rtx and subject.is_int8:  # measured with 1.7.1: 7.4 MB to 11.7 MB for MobileNetV2
        yield warned(
            "TensorRT-RTX often makes a larger engine of an int8 network than of the float16 one",
            fix='precision = "auto" builds both and takes the better one; float16 is the usual choice here',
        )
    axis, computed, results = [], [], []
    for row in subject.own(*WEIGHTED):
        weight = row.scope.producer(row.input(1))
        if weight is not None and weight.op_type == DEQUANTIZE:
            if _has_wrong_axis(row, weight):
                axis.append(row.label)
            if row.op_type in _WITH_WEIGHTS and _is_computed(row, weight):
                computed.append(row.label)
        if _is_quantized_for_nobody(row):
            results.append(row.label)
    if axis:  # measured with TensorRT-RTX 1.7.1, by the size of the engine
        yield warned(
            "weights are scaled along another axis than their output channels, and stay in float", axis, fix=_AGAIN
        )
    if computed:  # likewise
        yield warned("weights are computed while the model runs, and stay in float", computed, fix=_AGAIN)
    if results:  # source: TensorRT documentation, working with quantized types: placement of Q/DQ
        yield warned(
            "results are quantized that no quantized node reads: it costs accuracy, and keeps layers from being fused",
            results,
            fix=_AGAIN,
        )


def _has_wrong_axis(row: Row, weight: onnx.NodeProto) -> bool:
    scale = row.scope.tensor(weight.input[1])
    blocked = any(entry.name == "block_size" and entry.i for entry in weight.attribute)
    integers = row.scope.tensor(weight.input[0])
    if scale is None or integers is None or blocked or len(scale.dims) != 1 or scale.dims[0] == 1:
        return False
    axis = next((int(entry.i) for entry in weight.attribute if entry.name == "axis"), 1)
    return axis % max(len(integers.dims), 1) != _output_axis(row, len(integers.dims))


def _output_axis(row: Row, rank: int) -> int:
    """Where a weight has its output channels."""
    if row.op_type == "Conv" or (row.op_type == "Gemm" and row.integer("transB", 0)):
        return 0
    return 1 if row.op_type in _WITH_WEIGHTS else rank - 1


def _is_computed(row: Row, weight: onnx.NodeProto) -> bool:
    source = row.scope.producer(weight.input[0])
    if source is not None and source.op_type == QUANTIZE:
        return row.scope.tensor(source.input[0]) is None
    return row.scope.tensor(weight.input[0]) is None


def _is_quantized_for_nobody(row: Row) -> bool:
    """Whether the result goes through a pair that no weighted node reads."""
    pairs = [reader for reader in row.scope.readers.get(row.node.output[0], []) if reader.op_type == QUANTIZE]
    floats = [one.output[0] for pair in pairs for one in row.scope.readers.get(pair.output[0], [])]
    readers = [reader.op_type for name in floats for reader in row.scope.readers.get(name, [])]
    return bool(pairs) and not any(op_type in WEIGHTED for op_type in readers)
