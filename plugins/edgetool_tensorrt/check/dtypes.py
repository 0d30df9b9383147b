"""Which element types the target's TensorRT and its GPU take: inside of the network, and in and out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.issues import issues_of
from edgetool_tensorrt.check.subject import Row, Subject

_TAKEN = frozenset(
    {"float32", "float16", "bfloat16", "float64", "float8_e4m3fn", "float4_e2m1fn", "int8", "int4", "uint8", "int32",
     "int64", "bool"}
)  # fmt: skip
"""Operator tables of onnx-tensorrt, 8.6 to 10.15; asked of TensorRT-RTX 1.7.1 as well."""
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_CARRIES_UINT8 = _QUANTIZERS | {"Cast", "CastLike", "Identity", "Constant", "ConstantOfShape"}
"""Tables of 10.0 and later: uint8 only goes in and out of a network. For int16 and the like there is nothing at all."""
_PRODUCTS = ("MatMul", "Gemm", "Einsum", "LSTM", "GRU", "RNN", "Attention")
"""Operators that TensorRT-RTX 1.7.1 refuses in float32 on 7.5; it takes convolutions."""
_RECURRENT = ("GRU", "LSTM", "RNN")
_HALVES: Mapping[str, str] = MappingProxyType({"float16": "cast-fp16", "bfloat16": "cast-bf16"})
"""16-bit floats, and the pass that a model most likely has them from."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an element type needs.

    Attributes:
        release: first TensorRT release that takes it.
        sm: smallest compute capability times ten, for TensorRT and for TensorRT-RTX.
        rtx_sm: the same for TensorRT-RTX.
        instead: what to do without it.
    """

    release: str
    sm: int
    rtx_sm: int
    instead: str


_NEEDS: Mapping[str, Needs] = MappingProxyType(
    {
        # Releases: change logs of onnx-tensorrt. Capabilities: support matrix of TensorRT, hardware and precision;
        # those of TensorRT-RTX 1.7.1 by building for each.
        "bfloat16": Needs("9.0", 80, 80, "use float16: `cast-fp16` on the float32 model"),
        "float8_e4m3fn": Needs("9.0", 89, 89, "use int8: `quantize-static` on the float model"),
        "int4": Needs("10.0", 75, 80, "use int8 weights: `quantize-static` on the float model"),
        "float4_e2m1fn": Needs("10.8", 100, 120, "use int8: `quantize-static` on the float model"),
    }
)


def check_types(subject: Subject) -> Iterator[Finding]:
    """All that is to say about element types."""
    yield from _signature(subject)
    yield from _inside(subject)
    yield from _narrow(subject)
    yield from _products(subject)
    yield from _recurrent(subject)
    yield from _stated(subject)


def _signature(subject: Subject) -> Iterator[Finding]:
    signature = subject.model.signature
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype == "float64":
            yield refused(
                f"{spec.name!r} is float64, and the engine's would be float32: TensorRT replaces it without a word",
                fix="export the model with float32 inputs and outputs",
            )
        elif spec.dtype == "uint8" and subject.lacks("8.5"):  # change log of onnx-tensorrt, 8.5
            yield refused(
                f"{spec.name!r} is uint8, which goes in and out from TensorRT 8.5 on; the target has {subject.version}",
                fix="feed float32, or update TensorRT",
            )
        elif spec.dtype == "int64" and subject.lacks("9.0"):  # change log of onnx-tensorrt, 9.0
            yield warned(
                f"{spec.name!r} is int64, and the engine's is int32: {subject.product} has no int64, and from "
                "TensorRT 9 on the same model makes an int64 one",
                fix=f"let the program that runs the engine feed {spec.name!r} by the type that the engine states",
            )
        elif spec.dtype not in _TAKEN:
            yield refused(
                f"{spec.name!r} is {spec.dtype}, which TensorRT takes neither in nor out",
                fix="convert before and after the model, to float32 or int32, say",
            )


def _inside(subject: Subject) -> Iterator[Finding]:
    """Types that are no types of TensorRT, and float64, which it replaces."""
    foreign: dict[str, list[str]] = {}
    double: list[str] = []
    for row in subject.rows:
        for name in dict.fromkeys(_elements(row)):
            if name == "float64":
                double.append(row.label)
            elif _is_foreign(name, row):
                foreign.setdefault(name, []).append(row.label)
    for name, labels in foreign.items():
        yield refused(
            f"TensorRT does not compute in {name}" + (", which only goes in and out" if name == "uint8" else ""),
            labels,
            fix="cast to int32 or float32 around these nodes"
            if name != "string"
            else "handle text outside of the model",
        )
    if double:
        yield warned(
            "these nodes compute in float64, and the engine will in float32: TensorRT replaces it without a word",
            double,
            fix="export in float32, so that what is validated is what was trained",
        )


def _is_foreign(name: str, row: Row) -> bool:
    if row.is_own and row.op_type in _QUANTIZERS:  # they have rules of their own
        return False
    return name not in _TAKEN or (name == "uint8" and row.op_type not in _CARRIES_UINT8)


def _elements(row: Row) -> Iterator[str]:
    for name in (*row.node.input, *row.node.output):
        found = row.scope.element(name) if name else None
        if found is not None:
            yield found


def _narrow(subject: Subject) -> Iterator[Finding]:
    """Types that are as new as the releases and GPUs that take them."""
    using: dict[str, list[str]] = {}
    for row in subject.rows:
        for name in dict.fromkeys(_elements(row)):
            if name in _NEEDS:
                using.setdefault(name, []).append(row.label)
    for name, labels in using.items():
        needs = _NEEDS[name]
        least = needs.rtx_sm if subject.is_rtx else needs.sm
        weak = [sm for sm in subject.sms if sm < least]
        if subject.lacks(needs.release):
            yield refused(
                f"{name} is taken from TensorRT {needs.release} on, and the target has {subject.version}",
                labels,
                fix=needs.instead,
            )
        elif weak:
            yield refused(
                f"{name} needs compute capability {least / 10:.1f}, and the engine is for {weak[0] / 10:.1f}",
                labels,
                fix=needs.instead,
            )


def _products(subject: Subject) -> Iterator[Finding]:
    """TensorRT-RTX multiplies no float32 matrices on Turing."""
    if not subject.is_rtx or 75 not in subject.sms:
        return
    labels = [row.label for row in subject.own(*_PRODUCTS) if row.element(0) == "float32"]
    if labels:
        yield refused(
            "TensorRT-RTX multiplies no float32 matrices on compute capability 7.5",
            labels,
            fix='put { use = "cast-fp16" } into the recipe; Q/DQ then needs scales in float16, too',
        )


def _recurrent(subject: Subject) -> Iterator[Finding]:
    """Recurrent layers in 16 bits: TensorRT-RTX's parser mixes them with constants that it makes in float32."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in subject.own(*_RECURRENT) if subject.is_rtx else ():
        half = row.element(0) or ""
        if half not in _HALVES:
            continue
        if row.input(4):  # measured with TensorRT-RTX 1.7.1, as below: "ISelectLayer must have ... same types"
            found.setdefault((half, row.op_type, " with lengths of sequences"), []).append(row.label)
        elif row.op_type == "GRU" and half == "bfloat16":  # "SUB must have same input types"
            found.setdefault((half, row.op_type, ""), []).append(row.label)
    for (half, op_type, what), labels in found.items():
        yield refused(
            f"TensorRT-RTX reads no {op_type}{what} in {half}",
            labels,
            fix=f'leave it in float32: {{ use = "{_HALVES[half]}", keep = ["{op_type}"] }}',
        )


def _stated(subject: Subject) -> Iterator[Finding]:
    """Precisions that the target says its GPU does not have, where nothing else says so already."""
    for fact, name in (("int8", "int8"), ("fp16", "float16"), ("fp8", "float8_e4m3fn")):
        if subject.facts.get(fact) is not False or _is_told(name, subject):
            continue
        if name == "int8" and not subject.is_int8:  # weights alone may be int8 on any GPU
            continue
        labels = [row.label for row in subject.rows if name in _elements(row)]
        if labels:
            yield refused(
                f"the target's GPU does not compute in {name}",
                labels,
                fix=f"use another recipe; if the GPU does, correct `{fact}` in [targets.NAME.facts]",
            )


def _is_told(name: str, subject: Subject) -> bool:
    """Whether the capability, or what is known of the chip, speaks against a type."""
    if name == "int8":
        return any(issue.int8 and issue.severity == "refuse" for issue in issues_of(subject))
    needs = _NEEDS.get(name)
    return needs is not None and any(sm < needs.sm for sm in subject.sms)
