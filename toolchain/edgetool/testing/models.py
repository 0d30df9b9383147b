"""Tiny deterministic models, one for each thing that backends and passes stumble over.

Each function writes one ONNX file into a folder and returns its Model; weights come from a fixed seed, so that the
bytes are the same everywhere. None takes longer than a few milliseconds to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.artifact import Model
from edgetool.signature import DimRange

if TYPE_CHECKING:
    import numpy as np
    import onnx

MakeModel: TypeAlias = Callable[[Path], Model]
"""Writes a model into a folder."""

BATCH = DimRange(min=1, opt=2, max=4)
LENGTH = DimRange(min=1, opt=5, max=9)

_OPSET, _IR_VERSION = 18, 10


def tiny_mlp(folder: Path) -> Model:
    """Two layers, static shapes: `x [1, 6] -> y [1, 3]`."""
    from onnx import helper

    weights = _weights(hidden=(6, 8), hidden_bias=(8,), head=(8, 3), head_bias=(3,))
    nodes = [
        helper.make_node("Gemm", ["x", "hidden", "hidden_bias"], ["h"], name="hidden"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "head", "head_bias"], ["y"], name="head"),
    ]
    return _save(folder / "tiny_mlp.onnx", nodes, [_float("x", 1, 6)], [_float("y", 1, 3)], weights)


def tiny_cnn(folder: Path) -> Model:
    """Two convolutions, pooling and a head, dynamic batch: `x [batch, 3, 8, 8] -> y [batch, 4]`."""
    from onnx import helper

    weights = _weights(
        stem=(8, 3, 3, 3), stem_bias=(8,), body=(8, 8, 3, 3), body_bias=(8,), head=(4, 8), head_bias=(4,)
    )
    nodes = [
        helper.make_node("Conv", ["x", "stem", "stem_bias"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem_relu"),
        helper.make_node("Conv", ["r1", "body", "body_bias"], ["c2"], name="body", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="body_relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "head", "head_bias"], ["y"], name="head", transB=1),
    ]
    values = [_float("x", "batch", 3, 8, 8)], [_float("y", "batch", 4)]
    return _save(folder / "tiny_cnn.onnx", nodes, *values, weights, dims={"batch": BATCH})


def tiny_int8_cnn(folder: Path) -> Model:
    """`tiny_cnn` as typed ONNX: symmetric int8, Q/DQ on the inputs of weighted nodes, weights per channel."""
    from onnx import helper

    weights = _weights(
        stem=(8, 3, 3, 3), stem_bias=(8,), body=(8, 8, 3, 3), body_bias=(8,), head=(4, 8), head_bias=(4,)
    )
    stored = {name: weights[name] for name in ("stem_bias", "body_bias", "head_bias")}
    nodes = [
        *(_quantized_weight(name, weights[name], stored) for name in ("stem", "body", "head")),
        *_quantized_activation("x", 0.03, stored),
        helper.make_node("Conv", ["x_dq", "stem_dq", "stem_bias"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem_relu"),
        *_quantized_activation("r1", 0.02, stored),
        helper.make_node("Conv", ["r1_dq", "body_dq", "body_bias"], ["c2"], name="body", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="body_relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        *_quantized_activation("f", 0.01, stored),
        helper.make_node("Gemm", ["f_dq", "head_dq", "head_bias"], ["y"], name="head", transB=1),
    ]
    values = [_float("x", "batch", 3, 8, 8)], [_float("y", "batch", 4)]
    return _save(folder / "tiny_int8_cnn.onnx", nodes, *values, stored, dims={"batch": BATCH})


def tiny_lstm(folder: Path) -> Model:
    """An LSTM over a dynamic length: `x [batch, length, 4] -> y [batch, 3]`."""
    import numpy as np
    from onnx import helper

    weights = _weights(w=(1, 20, 4), r=(1, 20, 5), b=(1, 40), head=(5, 3))
    weights["first_axis"] = np.array([0], np.int64)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="time_first", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r", "b"], ["", "last", ""], name="lstm", hidden_size=5),
        helper.make_node("Squeeze", ["last", "first_axis"], ["s"], name="squeeze"),
        helper.make_node("MatMul", ["s", "head"], ["y"], name="head"),
    ]
    values = [_float("x", "batch", "length", 4)], [_float("y", "batch", 3)]
    return _save(folder / "tiny_lstm.onnx", nodes, *values, weights, dims={"batch": BATCH, "length": LENGTH})


def tiny_branches(folder: Path) -> Model:
    """Control flow: an If that takes the mean's sign, so that both branches are reached by real inputs."""
    import numpy as np
    from onnx import helper

    weights = _weights(w=(4, 4))
    weights["zero"] = np.array(0, np.float32)
    branches = {
        branch: helper.make_graph(
            [helper.make_node(op, ["m"], [f"{branch}_y"], name=f"{branch}_{op.lower()}")],
            branch,
            [],
            [_float(f"{branch}_y", "batch", 4)],
        )
        for branch, op in (("then", "Relu"), ("else", "Tanh"))
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="matmul"),
        helper.make_node("ReduceMean", ["m"], ["mean"], name="mean", keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"], name="positive"),
        helper.make_node(
            "If", ["positive"], ["y"], name="branch", then_branch=branches["then"], else_branch=branches["else"]
        ),
    ]
    values = [_float("x", "batch", 4)], [_float("y", "batch", 4)]
    return _save(folder / "tiny_branches.onnx", nodes, *values, weights, dims={"batch": BATCH})


def tiny_text(folder: Path) -> Model:
    """Two inputs, one of them int64, and two outputs: token ids and a mask to a pooled embedding and a score."""
    import numpy as np
    from onnx import TensorProto, helper

    weights = _weights(table=(16, 6), head=(6, 1))
    weights |= {"last_axis": np.array([-1], np.int64), "length_axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], name="embed"),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["m"], name="widen"),
        helper.make_node("Mul", ["e", "m"], ["masked"], name="apply_mask"),
        helper.make_node("ReduceMean", ["masked", "length_axis"], ["embedding"], name="pool", keepdims=0),
        helper.make_node("MatMul", ["embedding", "head"], ["s"], name="head"),
        helper.make_node("Sigmoid", ["s"], ["score"], name="sigmoid"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])
    inputs = [ids, _float("mask", "batch", "length")]
    outputs = [_float("embedding", "batch", 6), _float("score", "batch", 1)]
    return _save(folder / "tiny_text.onnx", nodes, inputs, outputs, weights, dims={"batch": BATCH, "length": LENGTH})


def foreign_operator(folder: Path) -> Model:
    """A node named `mystery` whose operator no runtime knows: what every backend has to refuse.

    Its domain is one that edgetool leaves to the backends to judge.
    """
    from onnx import helper

    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Mystery", ["r"], ["y"], name="mystery", domain="com.microsoft"),
    ]
    opsets = {"": _OPSET, "com.microsoft": 1}
    return _save(folder / "foreign_operator.onnx", nodes, [_float("x", 1, 4)], [_float("y", 1, 4)], {}, opsets=opsets)


ALL_MODELS: tuple[MakeModel, ...] = (tiny_mlp, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_branches, tiny_text)
"""Every model of this module that a backend should take, refuse with a reason, or have specialised."""


def _save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, np.ndarray[Any, Any]],
    *,
    dims: Mapping[str, DimRange] | None = None,
    opsets: Mapping[str, int] | None = None,
) -> Model:
    from onnx import helper, numpy_helper

    from edgetool.graph import read_signature, save

    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initializers)
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": _OPSET}).items()]
    proto: onnx.ModelProto = helper.make_model(
        graph, opset_imports=imports, ir_version=_IR_VERSION, producer_name="edgetool.testing"
    )
    signature = read_signature(proto, dims or {}, where=str(path))
    save(proto, path)  # uses up `proto`
    return Model(path, signature)


def _float(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    import numpy as np

    generator = np.random.default_rng(2024)
    return {name: generator.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def _quantized_weight(
    name: str, weight: np.ndarray[Any, Any], stored: dict[str, np.ndarray[Any, Any]]
) -> onnx.NodeProto:
    """`NAME_dq` from int8 `NAME_q`, symmetric, one scale for each output channel (axis 0)."""
    import numpy as np
    from onnx import helper

    peak = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = (peak / 127).astype(np.float32)
    shaped = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    stored[f"{name}_q"] = np.clip(np.rint(weight / shaped), -127, 127).astype(np.int8)
    stored[f"{name}_scale"] = scale
    stored[f"{name}_zero"] = np.zeros(len(weight), np.int8)
    return helper.make_node(
        "DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [f"{name}_dq"], name=f"{name}_dq", axis=0
    )


def _quantized_activation(
    value: str, scale: float, stored: dict[str, np.ndarray[Any, Any]]
) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """`VALUE_dq` from `VALUE`, symmetric int8, one scale."""
    import numpy as np
    from onnx import helper

    parameters = [f"{value}_scale", f"{value}_zero"]
    stored[parameters[0]] = np.array(scale, np.float32)
    stored[parameters[1]] = np.array(0, np.int8)
    return (
        helper.make_node("QuantizeLinear", [value, *parameters], [f"{value}_q"], name=f"{value}_q"),
        helper.make_node("DequantizeLinear", [f"{value}_q", *parameters], [f"{value}_dq"], name=f"{value}_dq"),
    )
