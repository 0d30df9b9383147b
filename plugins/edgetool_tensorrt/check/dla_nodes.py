"""Which single nodes a DLA runs; the numbers are in `dla.toml`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from edgetool_tensorrt.check.subject import Row, Subject

_XAVIER = 72


@dataclass(frozen=True, slots=True)
class Limits:
    """What the hardware can do.

    Attributes:
        batch: largest product of all dimensions but the last three.
        size: of any other dimension.
        loadables: pieces of networks that a core holds at a time.
        kernel, stride: of convolutions.
        window: of pooling.
        resize: factor.
    """

    batch: int
    size: int
    loadables: int
    kernel: int
    stride: int
    window: int
    resize: int


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((Path(__file__).parent / "dla.toml").read_text(encoding="utf-8"))


@cache
def limits() -> Limits:
    """Read the table."""
    return Limits(**_table()["limits"])


def reason_off_dla(row: Row, subject: Subject) -> str | None:
    """Why the DLA does not run a node; None when it does, or when the node is gone once the engine is built."""
    if not computes(row):
        return None
    operators = _table()["operators"]
    if not row.is_own or row.op_type not in operators["native"]:
        return f"the DLA does not run {row.op_type}"
    if row.op_type in operators["orin_only"] and _XAVIER in subject.sms:
        return f"the DLA of Xavier does not run {row.op_type}"
    return _type(row, subject) or _shape(row, subject) or _rule(row, subject)


def computes(row: Row) -> bool:
    """Whether a node is still there once the engine is built: neither folded, nor a mere change of shape or type."""
    constant = bool(row.node.input) and all(row.scope.tensor(name) is not None for name in row.node.input if name)
    return not (constant or (row.is_own and row.op_type in _table()["operators"]["folded"]))


def _type(row: Row, subject: Subject) -> str | None:
    """It computes in float16 and int8. Q/DQ make int8 of what stands between them."""
    kind = row.element(0)
    if kind in (None, "float16", "int8") or (kind == "float32" and subject.is_int8):
        return None
    return f"the DLA computes in float16 and int8, not in {kind}"


def _shape(row: Row, subject: Subject) -> str | None:
    most = limits()
    for name in (*row.node.input, *row.node.output):
        if name not in subject.largest or row.scope.tensor(name) is not None:
            continue
        shape = subject.largest[name].shape
        batch = math.prod(shape[:-3]) if len(shape) > 3 else (shape[0] if len(shape) == 2 else 1)
        if batch > most.batch:
            return f"a batch of {batch} is over the DLA's {most.batch}"
        sizes = shape[-3:] if len(shape) > 2 else shape[-1:]
        if max(sizes, default=0) > most.size:
            return f"a size of {max(sizes)} is over the DLA's {most.size}"
    return None


def _rule(row: Row, subject: Subject) -> str | None:
    rule = _RULES.get(row.op_type)
    return rule(row, subject) if rule else None


def _convolution(row: Row, subject: Subject) -> str | None:
    weight = _weight(row)
    most = limits()
    if weight is None:
        return "the DLA wants stored weights"
    kernel = weight[2:]
    if len(kernel) != 2:
        return "the DLA convolves over two dimensions only"
    if max(kernel) > most.kernel:
        return f"a kernel of {max(kernel)} is over the DLA's {most.kernel}"
    if max(row.integers("strides"), default=1) > most.stride:
        return f"a stride of {max(row.integers('strides'))} is over the DLA's {most.stride}"
    if max(weight[:2]) > most.size:
        return f"{max(weight[:2])} channels are over the DLA's {most.size}"
    return None


def _transposed_convolution(row: Row, subject: Subject) -> str | None:
    if row.integer("group", 1) != 1:
        return "the DLA runs no transposed convolution in groups"
    if any(size != 1 for size in row.integers("dilations")):
        return "the DLA runs no transposed convolution with gaps"
    if any(row.integers("pads")) or any(row.integers("output_padding")):
        return "the DLA runs no transposed convolution with padding"
    return _convolution(row, subject)


def _product(row: Row, subject: Subject) -> str | None:
    return None if _weight(row) is not None else "the DLA multiplies by stored weights only"


def _pool(row: Row, subject: Subject) -> str | None:
    window = row.integers("kernel_shape")
    if len(window) != 2:
        return "the DLA pools over two dimensions only"
    if max(window) > limits().window:
        return f"a window of {max(window)} is over the DLA's {limits().window}"
    if row.op_type == "AveragePool" and any(row.integers("pads")) and not row.integer("count_include_pad", 0):
        return "the DLA counts padding when it averages"
    return None


def _concat(row: Row, subject: Subject) -> str | None:
    shape = subject.largest.get(row.node.output[0])
    rank = len(shape.shape) if shape else 4
    axis = row.integer("axis", 1) % max(rank, 1)
    return None if axis == max(rank - 3, 1) else "the DLA concatenates along channels only"


def _clip(row: Row, subject: Subject) -> str | None:
    low = subject.values(row.scope, row.input(1)) if row.input(1) else None
    old = next((entry.f for entry in row.node.attribute if entry.name == "min"), None)
    starts_at_zero = old == 0 if low is None else not low.any()
    return None if starts_at_zero else "the DLA clips from zero up only"


def _slope(row: Row, subject: Subject) -> str | None:
    return None if row.scope.tensor(row.input(1)) is not None else "the DLA wants stored slopes"


def _local_normalization(row: Row, subject: Subject) -> str | None:
    return None if row.integer("size", 0) in (3, 5, 7, 9) else "the DLA normalizes over 3, 5, 7 or 9 channels"


def _resize(row: Row, subject: Subject) -> str | None:
    before, after = subject.largest.get(row.input(0)), subject.largest.get(row.node.output[0])
    if before is None or after is None or len(before.shape) != 4:
        return "the DLA resizes four known dimensions only"
    if before.shape[:2] != after.shape[:2]:
        return "the DLA resizes height and width only"
    factors = [new / old for old, new in zip(before.shape[2:], after.shape[2:], strict=True)]
    if any(factor != int(factor) or not 1 <= factor <= limits().resize for factor in factors):
        return f"the DLA enlarges by whole factors up to {limits().resize} only"
    return None


def _weight(row: Row) -> tuple[int, ...] | None:
    """Shape of the stored weight, seen through the Q/DQ in front of it; None when it is computed."""
    name = row.input(1)
    for _ in range(2):
        producer = row.scope.producer(name)
        if producer is None or producer.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            break
        name = producer.input[0]
    tensor = row.scope.tensor(name)
    return None if tensor is None else tuple(tensor.dims)


Rule: TypeAlias = Callable[[Row, Subject], str | None]
_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "AveragePool": _pool,
        "Clip": _clip,
        "Concat": _concat,
        "Conv": _convolution,
        "ConvTranspose": _transposed_convolution,
        "Gemm": _product,
        "LRN": _local_normalization,
        "MatMul": _product,
        "MaxPool": _pool,
        "PRelu": _slope,
        "Resize": _resize,
        "Upsample": _resize,
    }
)
