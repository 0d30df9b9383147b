"""Small networks with what quantization stumbles over, and the passes applied to them as the framework does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.graph import read_model
from edgetool.passes.base import AnyPass, PassResult
from edgetool.runner import Runner
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]
OUTLIER = 3
"""The channel of `transformer_block` that is ten times larger than the others."""


@dataclass
class Applied:
    """A result, what the user was told meanwhile, and how often a network was opened to be run."""

    result: PassResult
    notes: list[str] = field(default_factory=list)
    runs: int = 0

    def opened(self, path: Path) -> Runner:
        self.runs += 1
        return open_onnx(path, 1)

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.result.model.path)


ApplyPass = Callable[..., Applied]


@pytest.fixture
def apply_pass(tmp_path: Path) -> ApplyPass:
    """Applies a pass class with options to a model, with samples or without."""

    def apply(
        kind: type[AnyPass],
        model: Model,
        samples: Sequence[Feed] | None = None,
        kept: MutableMapping[str, Any] | None = None,
        **options: Any,
    ) -> Applied:
        workdir = tmp_path / f"work{len(list(tmp_path.glob('work*')))}"
        workdir.mkdir()
        applied = Applied(PassResult(model, changed=False))
        context = PassContext(
            threads=1,
            open_reference=applied.opened,
            calibration=None if samples is None else GivenSamples(samples),
            kept=kept,
            note=applied.notes.append,
        )
        applied.result = kind(kind.Options(**options)).apply(model, workdir, context)
        return applied

    return apply


def pictures(count: int, *, seed: int = 0) -> list[Feed]:
    """Feeds for `residual_cnn`: smooth random images, float32 [2, 3, 16, 16]."""
    chance = np.random.default_rng(seed)
    coarse = chance.normal(size=(count, 2, 3, 4, 4)).astype(np.float32)
    return [{"image": np.kron(one, np.ones((1, 1, 4, 4), np.float32))} for one in coarse]


def sentences(count: int, *, seed: int = 0) -> list[Feed]:
    """Feeds for `transformer_block`: word numbers, int64 [2, 8]."""
    chance = np.random.default_rng(seed)
    return [{"ids": chance.integers(0, 40, (2, 8))} for _ in range(count)]


@pytest.fixture
def residual_cnn(tmp_path: Path) -> Model:
    return make_residual_cnn(tmp_path)


@pytest.fixture
def transformer_block(tmp_path: Path) -> Model:
    return make_transformer_block(tmp_path)


def make_residual_cnn(folder: Path, *, opset: int = 17) -> Model:
    """A stem, a max pool, a residual block with a depthwise convolution, a pool and a classifier."""
    chance = np.random.default_rng(1)

    def weight(*shape: int) -> Array:
        fan_in = np.prod(shape[1:])
        return (chance.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    stored = {
        "stem_w": weight(16, 3, 3, 3), "stem_b": weight(16, 1)[:, 0], "wide_w": weight(32, 16, 1, 1),
        "wide_b": weight(32, 1)[:, 0] * 0.1, "deep_w": weight(32, 1, 3, 3), "deep_b": weight(32, 1)[:, 0] * 0.1,
        "thin_w": weight(16, 32, 1, 1), "head_w": weight(10, 16), "head_b": weight(10, 1)[:, 0],
        "zero": np.array(0, np.float32), "six": np.array(6, np.float32),
    }  # fmt: skip
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "stem_w", "stem_b"], ["stem"], "stem", **pads),
        helper.make_node("Relu", ["stem"], ["stem_out"], "stem_relu"),
        helper.make_node("MaxPool", ["stem_out"], ["pooled"], "max_pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "wide_w", "wide_b"], ["wide"], "wide"),
        helper.make_node("Clip", ["wide", "zero", "six"], ["wide_out"], "wide_clip"),
        helper.make_node("Conv", ["wide_out", "deep_w", "deep_b"], ["deep"], "deep", group=32, **pads),
        helper.make_node("Clip", ["deep", "zero", "six"], ["deep_out"], "deep_clip"),
        helper.make_node("Conv", ["deep_out", "thin_w"], ["thin"], "thin"),
        helper.make_node("Add", ["pooled", "thin"], ["sum"], "add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "average_pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "head_w", "head_b"], ["logits"], "head", transB=1),
    ]
    values = {"image": ("batch", 3, 16, 16)}, {"logits": ("batch", 10)}
    return save_model(folder / "cnn.onnx", nodes, stored, *values, opset=opset, dims={"batch": DimRange(1, 2, 4)})


def make_transformer_block(folder: Path) -> Model:
    """Embeddings, one post-norm attention block with GELU, a mean: with the outlier channel that BERT-likes have."""
    chance = np.random.default_rng(2)
    width, hidden = 32, 64

    def weight(rows: int, columns: int) -> Array:
        return (chance.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)

    stored = {
        "words": weight(40, width) * 5,
        "scale1": np.ones(width, np.float32), "shift1": np.zeros(width, np.float32),
        "scale2": np.ones(width, np.float32), "shift2": np.zeros(width, np.float32),
        **{f"{name}_w": weight(width, width) for name in ("query", "key", "value", "out")},
        **{f"{name}_b": weight(width, 1)[:, 0] for name in ("query", "key", "value", "out")},
        "up_w": weight(width, hidden), "up_b": weight(hidden, 1)[:, 0], "down_w": weight(hidden, width),
        "mask": np.where(np.arange(8) < 6, 0, -10000).astype(np.float32), "root": np.array(width**-0.5, np.float32),
        "sqrt2": np.array(2**0.5, np.float32), "one": np.array(1, np.float32), "half": np.array(0.5, np.float32),
    }  # fmt: skip
    stored["scale1"][OUTLIER] = 10
    stored["up_w"][OUTLIER] /= 10
    nodes = [helper.make_node("Gather", ["words", "ids"], ["embedded"], "embed"), *_norm("embedded", "x", "1")]
    for name in ("query", "key", "value"):
        nodes += [
            helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_m"], name),
            helper.make_node("Add", [f"{name}_b", f"{name}_m"], [name], f"{name}_bias"),
        ]
    nodes += [
        helper.make_node("Transpose", ["key"], ["keys"], "transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["query", "keys"], ["products"], "scores"),
        helper.make_node("Mul", ["products", "root"], ["scaled"], "scale"),
        helper.make_node("Add", ["scaled", "mask"], ["masked"], "add_mask"),
        helper.make_node("Softmax", ["masked"], ["weights"], "softmax", axis=-1),
        helper.make_node("MatMul", ["weights", "value"], ["context"], "weigh"),
        helper.make_node("MatMul", ["context", "out_w"], ["out_m"], "out"),
        helper.make_node("Add", ["out_m", "out_b"], ["attended"], "out_bias"),
        helper.make_node("Add", ["attended", "x"], ["resid"], "residual"),
        *_norm("resid", "y", "2"),
        helper.make_node("MatMul", ["y", "up_w"], ["up_m"], "up"),
        helper.make_node("Add", ["up_m", "up_b"], ["up"], "up_bias"),
        helper.make_node("Div", ["up", "sqrt2"], ["g1"], "gelu_div"),
        helper.make_node("Erf", ["g1"], ["g2"], "gelu_erf"),
        helper.make_node("Add", ["g2", "one"], ["g3"], "gelu_add"),
        helper.make_node("Mul", ["up", "g3"], ["g4"], "gelu_mul"),
        helper.make_node("Mul", ["g4", "half"], ["gelu"], "gelu_half"),
        helper.make_node("MatMul", ["gelu", "down_w"], ["down"], "down"),
        helper.make_node("Add", ["down", "y"], ["hidden"], "residual2"),
        helper.make_node("ReduceMean", ["hidden"], ["vector"], "mean", axes=[1], keepdims=0),
    ]
    values = {"ids": ("batch", 8)}, {"vector": ("batch", width)}
    return save_model(folder / "bert.onnx", nodes, stored, *values, dims={"batch": DimRange(1, 2, 4)})


def _norm(source: str, result: str, number: str) -> list[onnx.NodeProto]:
    inputs = [source, f"scale{number}", f"shift{number}"]
    return [helper.make_node("LayerNormalization", inputs, [result], f"norm{number}", axis=-1)]


def save_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    stored: Mapping[str, Array],
    inputs: Mapping[str, tuple[int | str, ...]],
    outputs: Mapping[str, tuple[int | str, ...]],
    *,
    opset: int = 17,
    dims: Mapping[str, DimRange] | None = None,
) -> Model:
    """Write a model; inputs whose name is `ids` are int64, all else is float32."""

    def values(shapes: Mapping[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
        kinds = {"ids": onnx.TensorProto.INT64}
        return [
            helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), shape)
            for name, shape in shapes.items()
        ]

    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(list(nodes), path.stem, values(inputs), values(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return read_model(path, dims or {})


def run(path: Path, feeds: Sequence[Feed]) -> Array:
    """The first output of an ONNX file in ONNX Runtime, for all feeds along axis 0."""
    with open_onnx(path, 1) as runner:
        return np.concatenate([next(iter(runner.infer(feed).values())) for feed in feeds])


def cosine(a: Array, b: Array) -> float:
    """Smallest cosine of two stacks of vectors, row by row."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


def by_name(proto: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.name: node for node in proto.graph.node}


def producer(proto: onnx.ModelProto, tensor: str) -> onnx.NodeProto | None:
    return next((node for node in proto.graph.node if tensor in node.output), None)


def constant(proto: onnx.ModelProto, name: str) -> Array:
    return numpy_helper.to_array(next(tensor for tensor in proto.graph.initializer if tensor.name == name))
