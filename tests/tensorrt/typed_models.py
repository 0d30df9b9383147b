"""Typed ONNX in every number format that TensorRT-RTX has to judge: one weighted node each, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.graph import read_model

Array = np.ndarray[Any, Any]

FLOATS: Mapping[str, tuple[Any, int]] = {
    "float32": (np.float32, TensorProto.FLOAT),
    "float16": (np.float16, TensorProto.FLOAT16),
    "bfloat16": (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
}
_K, _N, _BLOCK = 256, 128, 128
_RANDOM = np.random.default_rng(0)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, int, Sequence[Any]]],
    constants: Mapping[str, Array] | None = None,
    *,
    opset: int = 21,
) -> Path:
    """Write a model; inputs and outputs are `(name, element type, shape)`."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(*row) for row in inputs],
        [helper.make_tensor_value_info(*row) for row in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def convolution(folder: Path, base: str) -> Model:
    """`Conv` in one float type."""
    dtype, number = FLOATS[base]
    kernel = _RANDOM.normal(size=(8, 8, 3, 3)).astype(dtype)
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    x, y = ("x", number, (2, 8, 8, 8)), ("y", number, (2, 8, 6, 6))
    return read_model(save(folder / f"conv-{base}.onnx", [node], [x], [y], {"w": kernel}, opset=22))


def product(folder: Path, base: str) -> Model:
    """`MatMul` in one float type."""
    dtype, _ = FLOATS[base]
    return _matmul(
        folder / f"product-{base}.onnx", base, "x", "w", [], {"w": _RANDOM.normal(size=(_K, _N)).astype(dtype)}
    )


def int8(folder: Path, base: str) -> Model:
    """Q/DQ on the activation, int8 weights by channel, scales in `base`."""
    activation = _pair("x", np.array(0, np.int8))
    weight = helper.make_node("DequantizeLinear", ["wq", "ws"], ["wd"], name="wd", axis=1)
    constants = {
        **_scale("xs", base),
        **_scale("ws", base, (_N,)),
        "xz": np.array(0, np.int8),
        "wq": _integers(np.int8),
    }
    return _matmul(folder / f"int8-{base}.onnx", base, "xd", "wd", [*activation, weight], constants)


def int8_weights(folder: Path, base: str) -> Model:
    """Only the weights are int8."""
    weight = helper.make_node("DequantizeLinear", ["wq", "ws"], ["wd"], name="wd", axis=1)
    constants = {**_scale("ws", base, (_N,)), "wq": _integers(np.int8)}
    return _matmul(folder / f"int8w-{base}.onnx", base, "x", "wd", [weight], constants)


def int4_blocks(folder: Path, base: str) -> Model:
    """Only the weights are quantized: int4 in blocks of 128 along axis 0."""
    weight = helper.make_node("DequantizeLinear", ["wq", "ws"], ["wd"], name="wd", axis=0, block_size=_BLOCK)
    constants = {**_scale("ws", base, (_K // _BLOCK, _N)), "wq": _integers(ml_dtypes.int4)}
    return _matmul(folder / f"int4-{base}.onnx", base, "x", "wd", [weight], constants)


def float8(folder: Path, base: str) -> Model:
    """Q/DQ to float8 on activation and weight."""
    zero = np.array(0).astype(ml_dtypes.float8_e4m3fn)
    weight = helper.make_node("DequantizeLinear", ["wq", "xs", "xz"], ["wd"], name="wd")
    stored = _RANDOM.normal(size=(_K, _N)).astype(ml_dtypes.float8_e4m3fn)
    constants = {**_scale("xs", base), "xz": zero, "wq": stored}
    return _matmul(folder / f"float8-{base}.onnx", base, "xd", "wd", [*_pair("x", zero), weight], constants, opset=23)


def float4_blocks(folder: Path, base: str) -> Model:
    """Only the weights are quantized: float4 in blocks of 16 along axis 0."""
    weight = helper.make_node("DequantizeLinear", ["wq", "ws"], ["wd"], name="wd", axis=0, block_size=16)
    stored = _RANDOM.normal(size=(_K, _N)).astype(ml_dtypes.float4_e2m1fn)
    constants = {**_scale("ws", base, (_K // 16, _N)), "wq": stored}
    return _matmul(folder / f"float4-{base}.onnx", base, "x", "wd", [weight], constants, opset=23)


def _matmul(
    path: Path,
    base: str,
    left: str,
    right: str,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    *,
    opset: int = 22,
) -> Model:
    _, number = FLOATS[base]
    product_node = helper.make_node("MatMul", [left, right], ["y"], name="product")
    x, y = ("x", number, (2, _K)), ("y", number, (2, _N))
    return read_model(save(path, [*nodes, product_node], [x], [y], constants, opset=opset))


def _pair(name: str, zero: Array) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    parameters = [f"{name}s", f"{name}z"]
    return (
        helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}q"], name=f"{name}q"),
        helper.make_node("DequantizeLinear", [f"{name}q", *parameters], [f"{name}d"], name=f"{name}d"),
    )


def _scale(name: str, base: str, shape: tuple[int, ...] = ()) -> dict[str, Array]:
    return {name: np.full(shape, 0.01).astype(FLOATS[base][0])}


def _integers(dtype: Any) -> Array:
    return _RANDOM.integers(-7, 8, (_K, _N)).astype(dtype)
