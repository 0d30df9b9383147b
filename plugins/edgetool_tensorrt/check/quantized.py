"""Q/DQ that TensorRT's parser refuses, or reads as something else than ONNX means by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from edgetool.backends import Legalization
from edgetool.graph.element import ELEMENTS
from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.opsets import newest_opset
from edgetool_tensorrt.check.subject import Row, Subject

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_SYMMETRIC = frozenset({"int8", "int4", "float8_e4m3fn", "float4_e2m1fn"})
_HALF_SCALES_SINCE = 19
"""Opset of ONNX whose Q/DQ first take float16."""
_REPAIR = Legalization("repair-qdq")
_REPAIR_FIX = 'put { use = "repair-qdq" } into the recipe'
_AGAIN = "quantize the float model again, with `quantize-static`"

Form: TypeAlias = Literal["bias", "scalar", "unsigned", "shifted", "computed", "other"]

_REASONS: dict[Form, str] = {
    "bias": "int32 is dequantized: TensorRT wants biases in float",
    "scalar": "a single number is stored as an integer: TensorRT does not build that",
    "unsigned": "quantized to uint8: TensorRT knows int8 only, and where no zero point tells the difference it "
    "cuts off the upper half without a word",
    "shifted": "a zero point is not zero: TensorRT quantizes symmetrically only",
    "computed": "a zero point is computed while the model runs: TensorRT wants zeros that it can see",
    "other": "quantized to a type that TensorRT does not know: it takes int8, int4, float8_e4m3fn and float4_e2m1fn",
}


def check_quantization(subject: Subject) -> Iterator[Finding]:
    """All that is to say about the form of Q/DQ nodes; whether they pay is another question."""
    yield from _forms(subject)
    yield from _stored_for_others(subject)
    yield from _half_scales(subject)
    yield from _channels(subject)
    yield from _blocks(subject)


def quantized_type(row: Row) -> str | None:
    """Element type of the integers that a Q/DQ node makes or reads; None where it is not to be found out."""
    if zero_point := row.input(2):
        return row.scope.element(zero_point)
    if row.op_type == DEQUANTIZE:
        return row.element(0)
    number = row.integer("output_dtype", 0)
    return ELEMENTS[number].name if number in ELEMENTS else "uint8"


def _forms(subject: Subject) -> Iterator[Finding]:
    found: dict[tuple[Form, bool], list[str]] = {}
    for row in subject.own(QUANTIZE, DEQUANTIZE):
        form = _form(row, subject)
        if form is not None:
            found.setdefault((form, _is_repairable(row, form)), []).append(row.label)
    for (form, repairable), labels in found.items():
        if repairable:
            yield refused(_REASONS[form], labels, fix=_REPAIR_FIX, cure=_REPAIR)
        else:
            yield refused(_REASONS[form], labels, fix=_AGAIN)


def _form(row: Row, subject: Subject) -> Form | None:
    """What is wrong with a node; None for the symmetric one."""
    kind = quantized_type(row)
    if kind is None:
        return None
    if kind == "int32" and row.op_type == DEQUANTIZE:
        return "bias"
    if kind == "uint8":
        return "unsigned"
    if kind not in _SYMMETRIC:
        return "other"
    stored = row.scope.tensor(row.input(0)) if row.op_type == DEQUANTIZE else None
    if stored is not None and not stored.dims:  # measured with TensorRT-RTX 1.7.1: "Quantized constant ..."
        return "scalar"
    if not row.input(2):
        return None
    zero_point = subject.values(row.scope, row.input(2))
    if zero_point is None:
        return "computed"
    return "shifted" if zero_point.astype(float).any() else None


def _is_repairable(row: Row, form: Form) -> bool:
    """Whether `repair-qdq` reaches it: constants, and pairs of the main graph that nobody else sees."""
    if form in ("computed", "other") or row.scope.outer is not None or row.owner != row.label:
        return False
    if row.scope.tensor(row.input(0)) is not None:
        return True
    if form == "bias":
        return False
    tensor = row.node.output[0] if row.op_type == QUANTIZE else row.input(0)
    producer = row.scope.producer(tensor)
    readers = row.scope.readers.get(tensor, [])
    return (
        tensor not in row.scope.results
        and producer is not None
        and producer.op_type == QUANTIZE
        and all(reader.op_type == DEQUANTIZE for reader in readers)
    )


def _stored_for_others(subject: Subject) -> Iterator[Finding]:
    """Stored int8 is a quantized constant to TensorRT, and has to go into a DequantizeLinear at once."""
    labels = [
        row.label
        for row in subject.rows
        if row.op_type != DEQUANTIZE
        and row.op_type != "Constant"
        and any(
            name and _is_stored_int8(row, name) for name in row.node.input[: 2 if row.op_type == QUANTIZE else None]
        )
    ]
    if labels:  # measured with TensorRT-RTX 1.7.1: "Quantized constant ... is only allowed before DQ"
        yield refused(
            "stored int8 is read by another operator than DequantizeLinear",
            labels,
            fix="dequantize first, and gather or reshape the result; or store int32",
        )


def _is_stored_int8(row: Row, name: str) -> bool:
    tensor = row.scope.tensor(name)
    return tensor is not None and ELEMENTS[tensor.data_type].name == "int8"


def _half_scales(subject: Subject) -> Iterator[Finding]:
    """Q/DQ with float16 scales came with opset 19; TensorRT-RTX reads them in older models, TensorRT may not."""
    labels = [
        row.label
        for row in subject.own(QUANTIZE, DEQUANTIZE)
        if row.opset < _HALF_SCALES_SINCE and row.element(1) == "float16"
    ]
    if not labels:
        return
    reason = f"float16 scales came with opset {_HALF_SCALES_SINCE}, and the model is of opset {subject.opset}"
    newest = newest_opset(subject)
    if newest is not None and newest < _HALF_SCALES_SINCE:
        yield refused(
            f"{reason}; {subject.product} reads no newer one than {newest}",
            labels,
            fix="quantize the float32 model, and leave out `cast-fp16`",
        )
    else:
        yield refused(
            reason,
            labels,
            fix=f'put {{ use = "convert-opset", opset = {_HALF_SCALES_SINCE} }} into the recipe',
            cure=Legalization("convert-opset", {"opset": _HALF_SCALES_SINCE}),
        )


def _channels(subject: Subject) -> Iterator[Finding]:
    """Activations have one scale in TensorRT; TensorRT-RTX builds others, and runs them in float."""
    labels = [
        row.label
        for row in subject.own(QUANTIZE)
        if row.scope.tensor(row.input(0)) is None and not row.integer("block_size", 0) and _scales(row) > 1
    ]
    if labels:  # source: TensorRT documentation, working with quantized types; measured with TensorRT-RTX 1.7.1
        reason = "activations are quantized for each channel"
        if subject.is_rtx:
            yield warned(f"{reason}: TensorRT-RTX runs what reads them in float", labels, fix=_AGAIN)
        else:
            yield refused(f"{reason}: TensorRT takes one scale for each activation", labels, fix=_AGAIN)


def _scales(row: Row) -> int:
    """How many scales a node has; 1 where they are computed."""
    tensor = row.scope.tensor(row.input(1))
    count = 1
    for dim in tensor.dims if tensor is not None else ():
        count *= dim
    return count


def _blocks(subject: Subject) -> Iterator[Finding]:
    """Scales in blocks have the shape of the integers, but for the axis that is divided."""
    labels = []
    for row in subject.own(DEQUANTIZE):
        block = row.integer("block_size", 0)
        integers, scale = (row.scope.tensor(row.input(position)) for position in (0, 1))
        if not block or integers is None or scale is None:
            continue
        wanted = list(integers.dims)
        axis = row.integer("axis", 1)
        if -len(wanted) <= axis < len(wanted):
            wanted[axis] = -(-wanted[axis] // block)
        if list(scale.dims) != wanted:
            labels.append(row.label)
    if labels:
        yield refused(
            "scales in blocks do not fit their weights: only the axis of the blocks may have fewer of them",
            labels,
            fix="quantize again with blocks along the input channels: axis 0 of a MatMul's weights, and no Gemm",
        )
