"""Small networks, one for each way in which channels hang together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool.signature import DimRange

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]


@dataclass
class Net:
    """Collects nodes and weights."""

    inputs: Mapping[str, tuple[int | str, ...]]
    outputs: Mapping[str, tuple[int | str, ...]]
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, Array] = field(default_factory=dict)
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def weight(self, name: str, *shape: int) -> str:
        """A weight whose channels differ in size, as trained ones do."""
        values = self.chance.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)
        scale = np.exp(self.chance.normal(size=(shape[0], *(1,) * (len(shape) - 1))) / 2)
        self.stored[name] = (values * scale).astype(np.float32)
        return name

    def numbers(self, name: str, *values: int) -> str:
        self.stored[name] = np.array(values, np.int64)
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def conv(self, data: str, name: str, channels: int, source: int, kernel: int = 3, **attributes: Any) -> str:
        """A convolution of the same size with a bias; `source` input channels a group."""
        pads = [kernel // 2] * 4
        weights = (self.weight(f"{name}_w", channels, source, kernel, kernel), self.weight(f"{name}_b", channels))
        return self.add("Conv", (data, *weights), name, pads=pads, **attributes)

    def dense(self, data: str, name: str, rows: int, columns: int) -> str:
        """A MatMul and its bias."""
        product = self.add("MatMul", (data, self.weight(f"{name}_w", rows, columns)), f"{name}_product")
        return self.add("Add", (product, self.weight(f"{name}_b", columns)), name)

    def head(self, data: str, channels: int) -> str:
        """Mean over space and a classifier, called `y`."""
        pooled = self.add("Flatten", [self.add("GlobalAveragePool", [data], "mean")], "flat")
        weights = (self.weight("head_w", 5, channels), self.weight("head_b", 5))
        return self.add("Gemm", (pooled, *weights), "y", transB=1)

    def save(self, folder: Path) -> Model:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.outputs.items()],
            [numpy_helper.from_array(values, name) for name, values in self.stored.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        folder.mkdir(exist_ok=True, parents=True)
        onnx.save(model, folder / "net.onnx")
        return read_model(folder / "net.onnx", {"batch": DimRange(1, 2, 4)})


def pictures(count: int = 8, *, batch: int = 4, seed: int = 0) -> list[Feed]:
    """Feeds `x`: smooth random pictures, float32 [batch, 3, 8, 8]."""
    chance = np.random.default_rng(seed)
    coarse = chance.normal(size=(count, batch, 3, 4, 4)).astype(np.float32)
    return [{"x": np.kron(one, np.ones((1, 1, 2, 2), np.float32))} for one in coarse]


def sentences(count: int = 8, *, batch: int = 4, seed: int = 0) -> list[Feed]:
    """Feeds `x`: random sequences, float32 [batch, 6, 12]."""
    chance = np.random.default_rng(seed)
    return [{"x": chance.normal(size=(batch, 6, 12)).astype(np.float32)} for _ in range(count)]


def _picture_net(**options: Any) -> Net:
    return Net({"x": ("batch", 3, 8, 8)}, {"y": ("batch", 5)}, **options)


def chain() -> Net:
    """Convolutions with BatchNormalization, a pool, and a flattened picture that a Gemm reads."""
    net = _picture_net()
    first = net.conv("x", "first", 12, 3)
    norm = [net.weight(f"norm_{name}", 12) for name in ("scale", "shift", "mean")]
    net.stored["norm_variance"] = np.abs(net.chance.normal(size=12)).astype(np.float32) + 0.5
    first = net.add("BatchNormalization", (first, *norm, "norm_variance"), "norm")
    pooled = net.add("MaxPool", [net.add("Relu", [first], "r1")], "pool", kernel_shape=[2, 2], strides=[2, 2])
    second = net.add("Relu", [net.conv(pooled, "second", 10, 12)], "r2")
    hidden = (net.weight("hidden_w", 10 * 16, 14), net.weight("hidden_b", 14))
    flat = net.add("Relu", [net.add("Gemm", (net.add("Flatten", [second], "flat"), *hidden), "hidden")], "r3")
    net.add("Gemm", (flat, net.weight("head_w", 5, 14), net.weight("head_b", 5)), "y", transB=1)
    return net


def residual() -> Net:
    """Two blocks with shortcuts, an expanded depthwise convolution in each."""
    net = _picture_net()
    stream = net.add("Relu", [net.conv("x", "stem", 8, 3)], "r0")
    net.stored["six"] = np.array(6, np.float32)
    net.stored["zero"] = np.array(0, np.float32)
    for block in "ab":
        wide = net.add("Clip", (net.conv(stream, f"{block}_wide", 16, 8, 1), "zero", "six"), f"{block}_clip")
        deep = net.add("Clip", (net.conv(wide, f"{block}_deep", 16, 1, group=16), "zero", "six"), f"{block}_clip2")
        stream = net.add("Add", (stream, net.conv(deep, f"{block}_thin", 8, 16, 1)), f"{block}_sum")
    net.head(stream, 8)
    return net


def concatenated() -> Net:
    """A split into uneven halves, two branches, and a join with the input itself."""
    net = _picture_net()
    stem = net.conv("x", "stem", 12, 3)
    net.numbers("sizes", 5, 7)
    net.nodes.append(helper.make_node("Split", [stem, "sizes"], ["left", "right"], name="split", axis=1))
    left, right = net.conv("left", "a", 6, 5), net.conv("right", "b", 9, 7)
    joined = net.add("Concat", (left, right, "x"), "joined", axis=1)
    net.head(net.add("Relu", [net.conv(joined, "last", 10, 18)], "r"), 10)
    return net


def squeeze_excite() -> Net:
    """Channels gated by what two small convolutions make of their means."""
    net = _picture_net()
    stem = net.add("HardSwish", [net.conv("x", "stem", 12, 3)], "act")
    means = net.add("ReduceMean", [stem], "means", axes=[2, 3])
    gate = net.add("Relu", [net.conv(means, "squeeze", 6, 12, 1)], "squeezed")
    gate = net.add("Sigmoid", [net.conv(gate, "excite", 12, 6, 1)], "gate")
    net.head(net.add("Relu", [net.conv(net.add("Mul", (stem, gate), "gated"), "last", 8, 12)], "r"), 8)
    return net


def grouped() -> Net:
    """A convolution of four groups."""
    net = _picture_net()
    stem = net.add("Relu", [net.conv("x", "stem", 16, 3)], "r")
    wide = net.add("Relu", [net.conv(stem, "groups", 24, 4, group=4)], "r2")
    net.head(net.add("Relu", [net.conv(wide, "last", 8, 24, 1)], "r3"), 8)
    return net


def shuffled() -> Net:
    """Two halves of the channels, interleaved."""
    net = _picture_net()
    stem = net.conv("x", "stem", 12, 3)
    halves = net.add("Reshape", (stem, net.numbers("apart", 0, 2, 6, 8, 8)), "halves")
    turned = net.add("Transpose", [halves], "turned", perm=[0, 2, 1, 3, 4])
    mixed = net.add("Reshape", (turned, net.numbers("together", 0, 12, 8, 8)), "mixed")
    net.head(net.add("Relu", [net.conv(mixed, "last", 8, 12)], "r"), 8)
    return net


def resized() -> Net:
    """Up and down: ConvTranspose, DepthToSpace, SpaceToDepth, Resize by sizes, Pad, PRelu, InstanceNormalization."""
    net = _picture_net()
    stem = net.add("PRelu", (net.conv("x", "stem", 12, 3), net.weight("slope", 12, 1, 1)), "prelu")
    cells = net.add("DepthToSpace", [net.conv(stem, "cells", 16, 12)], "spread", blocksize=2)
    back = net.add("SpaceToDepth", [cells], "back", blocksize=2)
    up = net.add("ConvTranspose", (back, net.weight("up_w", 16, 6, 2, 2)), "up", strides=[2, 2])
    norm = (net.weight("scale", 6), net.weight("shift", 6))
    even = net.add("InstanceNormalization", (up, *norm), "even")
    padded = net.add("Pad", (even, net.numbers("pads", 0, 0, 1, 1, 0, 0, 1, 1)), "padded")
    small = net.add("Resize", (padded, "", "", net.numbers("sizes", 2, 6, 8, 8)), "small", mode="nearest")
    net.head(net.add("Relu", [net.conv(small, "last", 8, 6)], "r"), 8)
    return net


def picked() -> Net:
    """Channels taken by a Slice and by a Gather with indices."""
    net = _picture_net()
    stem = net.conv("x", "stem", 12, 3)
    bounds = [net.numbers(name, value) for name, value in (("start", 3), ("end", 11), ("axis", 1))]
    middle = net.add("Slice", (stem, *bounds), "middle")
    chosen = net.add("Gather", (stem, net.numbers("chosen", 0, 5, 11, -2)), "some", axis=1)
    first, second = net.conv(middle, "first", 8, 8), net.conv(chosen, "second", 8, 4)
    net.head(net.add("Max", (first, second), "most"), 8)
    return net


def attention(*, computed_shapes: bool = False) -> Net:
    """Three heads of four, a norm, and a wide layer with GELU behind it."""
    net = Net({"x": ("batch", 6, 12)}, {"y": ("batch", 12)})
    split = net.numbers("split", 0, -1, 3, 4)
    if computed_shapes:
        net.numbers("heads", 3, 4)
        sizes = net.add("Slice", (net.add("Shape", ["x"], "shape"), net.numbers("s", 0), net.numbers("e", 2)), "front")
        split = net.add("Concat", (sizes, "heads"), "split_shape", axis=0)
    heads = {}
    for name, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        apart = net.add("Reshape", (net.dense("x", name, 12, 12), split), f"{name}_apart")
        heads[name] = net.add("Transpose", [apart], f"{name}_heads", perm=order)
    scores = net.add("MatMul", (heads["query"], heads["key"]), "scores")
    mixed = net.add("MatMul", (net.add("Softmax", [scores], "weights", axis=-1), heads["value"]), "context")
    turned = net.add("Transpose", [mixed], "turned", perm=[0, 2, 1, 3])
    joined = net.add("Reshape", (turned, net.numbers("join", 0, -1, 12)), "joined")
    attended = net.add("Add", (net.dense(joined, "out", 12, 12), "x"), "attended")
    normed = net.add("LayerNormalization", (attended, net.weight("scale", 12), net.weight("shift", 12)), "normed")
    wide = net.dense(normed, "wide", 12, 24)
    net.stored["root"] = np.array(2**0.5, np.float32)
    net.stored["one"] = np.array(1, np.float32)
    error = net.add("Erf", [net.add("Div", (wide, "root"), "scaled")], "erf")
    gelu = net.add("Mul", (wide, net.add("Add", (error, "one"), "plus")), "gelu")
    result = net.add("Add", (net.dense(gelu, "narrow", 24, 12), normed), "result")
    net.add("ReduceMean", [result], "y", axes=[1], keepdims=0)
    return net


def attention_of_computed_shapes() -> Net:
    return attention(computed_shapes=True)


def packed_attention() -> Net:
    """Queries, keys and values of four heads out of one product."""
    net = Net({"x": ("batch", 6, 12)}, {"y": ("batch", 6, 12)})
    packed = net.add("Reshape", (net.dense("x", "packed", 12, 48), net.numbers("split", 0, 6, 3, 4, 4)), "apart")
    stacked = net.add("Transpose", [packed], "stacked", perm=[2, 0, 3, 1, 4])
    parts = []
    for number, name in enumerate(("query", "key", "value")):
        net.stored[f"{name}_number"] = np.array(number, np.int64)
        parts.append(net.add("Gather", (stacked, f"{name}_number"), name, axis=0))
    keys = net.add("Transpose", [parts[1]], "keys", perm=[0, 1, 3, 2])
    weights = net.add("Softmax", [net.add("MatMul", (parts[0], keys), "scores")], "weights", axis=-1)
    context = net.add("MatMul", (weights, parts[2]), "context")
    turned = net.add("Transpose", [context], "turned", perm=[0, 2, 1, 3])
    joined = net.add("Reshape", (turned, net.numbers("join", 0, 6, 16)), "joined")
    net.add("MatMul", (joined, net.weight("out_w", 16, 12)), "y")
    return net


def shared() -> Net:
    """One weight in two places."""
    net = _picture_net()
    stem = net.add("Relu", [net.conv("x", "stem", 8, 3)], "r0")
    once = net.add("Relu", [net.conv(stem, "body", 8, 8)], "r1")
    twice = net.add("Conv", (once, "body_w", "body_b"), "again", pads=[1, 1, 1, 1])
    net.head(net.add("Relu", [twice], "r2"), 8)
    return net


MAKERS: tuple[Callable[[], Net], ...] = (
    chain, residual, concatenated, squeeze_excite, grouped, shuffled, resized, picked, attention,
    attention_of_computed_shapes, packed_attention, shared,
)  # fmt: skip


def feeds_for(net: Net, count: int = 8) -> list[Feed]:
    return sentences(count) if len(net.inputs["x"]) == 3 else pictures(count)
