"""Small ONNX models, sound and unsound, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape] | None = None,
    outputs: Mapping[str, Shape] | None = None,
    weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    *,
    opset: int = 17,
) -> onnx.ModelProto:
    """A float model; `x [batch, 4] -> y [batch, 4]` unless it is told otherwise."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (inputs or {"x": ["batch", 4]}).items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (outputs or {"y": ["batch", 4]}).items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def linear(weight: np.ndarray[Any, Any] | None = None, **options: Any) -> onnx.ModelProto:
    """`y = relu(x @ w)`."""
    weight = np.eye(4, dtype=np.float32) if weight is None else weight
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Relu", ["h"], ["y"], name="rectify"),
    ]
    return model(nodes, weights={"w": weight}, **options)


def written(proto: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def with_external_weight(folder: Path, entries: Mapping[str, str] | None = None, *, data: bytes | None = None) -> Path:
    """`linear` with its weight in `w.bin`; `entries` replace or add external-data keys, None of `data` writes none."""
    proto = linear()
    weight = proto.graph.initializer[0]
    raw = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "offset": "0", "length": str(len(raw)), **(entries or {})}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (folder / "w.bin").write_bytes(raw if data is None else data)
    return written(proto, folder / "model.onnx")


def run(path: Path, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """What ONNX Runtime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))
