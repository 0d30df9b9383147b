"""Small networks of every operator that has weights, and `quantize-weights` applied to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.graph import read_model
from edgetool.passes.base import PassResult
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_weights import QuantizeWeights

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]


@dataclass
class Applied:
    """A result, and what the user was told meanwhile."""

    result: PassResult
    notes: list[str] = field(default_factory=list)

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.result.model.path)

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self.result.facts)

    def stored(self, name: str) -> Array:
        """An initializer; four-bit integers as int32."""
        (tensor,) = (tensor for tensor in self.proto.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(tensor)
        return values if values.dtype.kind == "f" else values.astype(np.int32)

    def node(self, name: str) -> onnx.NodeProto:
        (found,) = (node for node in self.proto.graph.node if node.name == name)
        return found

    def dequantizers(self) -> dict[str, dict[str, int]]:
        """Output of every DequantizeLinear -> its attributes."""
        return {
            node.output[0]: {entry.name: entry.i for entry in node.attribute}
            for node in self.proto.graph.node
            if node.op_type == "DequantizeLinear"
        }


def quantize(model: Model, folder: Path, samples: Sequence[Feed] | None = None, **options: Any) -> Applied:
    """Check and apply the pass into a new folder; small weights count."""
    folder.mkdir()
    applied = Applied(PassResult(model, changed=False))
    context = PassContext(
        threads=1,
        open_reference=lambda path: open_onnx(path, 1),
        calibration=None if samples is None else GivenSamples(samples),
        note=applied.notes.append,
    )
    subject = QuantizeWeights(QuantizeWeights.Options(**{"min_size": 1, **options}))
    refusals = [problem for problem in subject.check(model) if problem.severity == "refuse"]
    assert not refusals, refusals
    applied.result = subject.apply(model, folder, context)
    return applied


def weight(*shape: int, seed: int = 0, spread: float = 0.1) -> Array:
    """Normal float32 numbers with a few outliers, as trained weights have them."""
    chance = np.random.default_rng(seed)
    values = chance.normal(0, spread, shape)
    values *= np.where(chance.random(shape) < 0.01, 4, 1)
    return values.astype(np.float32)


def save_network(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    stored: Mapping[str, Array],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    ir_version: int = 8,
    fed: Sequence[str] = (),
) -> Model:
    """Write a model; the input `ids` is int64, all else has `dtype`. Names in `fed` are inputs with a default."""
    kinds = {"ids": TensorProto.INT64}
    values = [
        helper.make_tensor_value_info(name, kinds.get(name, dtype), shape)
        for name, shape in (*inputs.items(), *((name, stored[name].shape) for name in fed))
    ]
    results = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()]
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(list(nodes), path.stem, values, results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.save(model, path)
    return read_model(path, {"batch": DimRange(1, 2, 4)})


def product(folder: Path, *, inputs: int = 64, outputs: int = 48, seed: int = 0, opset: int = 17) -> Model:
    """`x [batch, 5, inputs] -> y`: one MatMul named `product` with the weight `w`."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    stored = {"w": weight(inputs, outputs, seed=seed)}
    return save_network(
        folder / "product.onnx", nodes, stored, {"x": ["batch", 5, inputs]}, {"y": ["batch", 5, outputs]}, opset=opset
    )


def perceptron(folder: Path) -> Model:
    """`x [batch, 64] -> y [batch, 32]`: two Gemm, one of them turned, with biases."""
    nodes = [
        helper.make_node("Gemm", ["x", "a", "a_bias"], ["h"], "first", transB=1),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "b", "b_bias"], ["y"], "second"),
    ]
    stored = {"a": weight(96, 64), "a_bias": weight(96), "b": weight(96, 32, seed=1), "b_bias": weight(32)}
    return save_network(folder / "perceptron.onnx", nodes, stored, {"x": ["batch", 64]}, {"y": ["batch", 32]})


def convolutions(folder: Path) -> Model:
    """`x [batch, 32, 8, 8] -> y`: a full, a depthwise, a grouped, a pointwise and two transposed convolutions."""
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "full", "bias"], ["c1"], "full", **pads),
        helper.make_node("Conv", ["c1", "depth"], ["c2"], "depth", group=64, **pads),
        helper.make_node("Conv", ["c2", "grouped"], ["c3"], "grouped", group=2),
        helper.make_node("Conv", ["c3", "point"], ["c4"], "point"),
        helper.make_node("ConvTranspose", ["c4", "up"], ["c5"], "up", strides=[2, 2]),
        helper.make_node("ConvTranspose", ["c5", "up_grouped"], ["y"], "up_grouped", group=4),
    ]
    stored = {
        "full": weight(64, 32, 3, 3), "bias": weight(64), "depth": weight(64, 1, 3, 3, seed=1),
        "grouped": weight(32, 32, 1, 1, seed=2), "point": weight(64, 32, 1, 1, seed=3),
        "up": weight(64, 32, 2, 2, seed=4), "up_grouped": weight(32, 4, 1, 1, seed=5),
    }  # fmt: skip
    return save_network(
        folder / "convolutions.onnx", nodes, stored, {"x": ["batch", 32, 8, 8]}, {"y": ["batch", 16, 16, 16]}
    )


def reader(folder: Path) -> Model:
    """`ids [batch, 6] -> y [batch, 6, 40]`: an embedding and a product."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], "embed"),
        helper.make_node("MatMul", ["e", "w"], ["y"], "head"),
    ]
    stored = {"table": weight(50, 64), "w": weight(64, 40, seed=1)}
    return save_network(folder / "reader.onnx", nodes, stored, {"ids": ["batch", 6]}, {"y": ["batch", 6, 40]})


def feeds(model: Model, count: int, *, seed: int = 0) -> list[dict[str, Array]]:
    """Random feeds of two samples each; word numbers stay below 50."""
    chance = np.random.default_rng(seed)
    shapes = model.signature.input_shapes("opt")
    return [
        {
            spec.name: chance.integers(0, 50, shapes[spec.name])
            if spec.dtype == "int64"
            else chance.normal(size=shapes[spec.name]).astype(spec.dtype)
            for spec in model.signature.inputs
        }
        for _ in range(count)
    ]


def correlated(model: Model, count: int, *, seed: int = 0) -> list[dict[str, Array]]:
    """Feeds for `product` whose channels depend on each other, and whose first four are ten times larger."""
    chance = np.random.default_rng(seed)
    channels = model.signature.input_shapes("opt")["x"][-1]
    mixing = np.random.default_rng(99).normal(size=(channels // 4, channels))
    scale = np.where(np.arange(channels) < 4, 10, 1)
    return [
        {"x": (chance.normal(size=(2, 5, channels // 4)) @ mixing * scale).astype(np.float32)} for _ in range(count)
    ]


def run(path: Path, samples: Sequence[Feed]) -> Array:
    """The first output of an ONNX file in ONNX Runtime, for all feeds along axis 0."""
    with open_onnx(path, 1) as runner:
        return np.concatenate([next(iter(runner.infer(feed).values())) for feed in samples])


def relative_error(result: Array, expected: Array) -> float:
    return float(np.linalg.norm(result.astype(np.float64) - expected) / np.linalg.norm(expected.astype(np.float64)))
