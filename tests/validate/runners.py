"""Runners for tests: real ONNX models on ONNX Runtime, and engines that are wrong in a known way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetool.runner import Feeds, Runner
from edgetool.signature import DimRange, Signature, TensorSpec
from edgetool_onnxruntime.reference import open_onnx

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("batch", "time", 6)),),
    outputs=(TensorSpec("scores", "float32", ("batch", 4)),),
    dims={"batch": DimRange(1, 2, 5), "time": DimRange(3, 5, 9)},
)


def write_network(path: Path, *, frozen_time: int | None = None, batch: int | str = "batch") -> Path:
    """Mean over time, then a linear layer. `frozen_time` divides by a constant length, as a bad export would."""
    weights = np.random.default_rng(7).normal(size=(6, 4)).astype(np.float32)
    if frozen_time is None:
        pool = [helper.make_node("ReduceMean", ["x"], ["pooled"], axes=[1], keepdims=0)]
        extra = []
    else:
        pool = [
            helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
            helper.make_node("Div", ["sum", "length"], ["pooled"]),
        ]
        extra = [
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(np.float32(frozen_time), "length"),
        ]
    graph = helper.make_graph(
        [*pool, helper.make_node("MatMul", ["pooled", "w"], ["scores"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, "time", 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(weights, "w"), *extra],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def reference(tmp_path: Path) -> Runner:
    return open_onnx(write_network(tmp_path / "net.onnx"), 1)


class Bent(Runner):
    """The reference with its outputs changed."""

    def __init__(self, inner: Runner, bend: Callable[[Feeds, dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
        self.signature = inner.signature
        self._inner = inner
        self._bend = bend

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return self._bend(feeds, self._inner.infer(feeds))

    def close(self) -> None:
        self._inner.close()
