"""The project that the speed of builds is measured on: a convolutional network of 1 MB with made-up samples."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = (3, 32, 64, 128, 128)
SIZE = 64
SAMPLES = {"calibration": 32, "evaluation": 8}

_TARGETS = """\
schema = 1

[model]
name = "cnn"
version = "1.0.0"
source = "model.onnx"
[model.inputs.x]
shape = ["batch", 3, {size}, {size}]
[model.dims.batch]
max = 4

[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"

[recipes.int8]
passes = [{{ use = "simplify" }}, {{ use = "quantize-static", calibrator = "min-max" }}]

[targets.float]
backend = "onnxruntime"

[targets.int8]
backend = "onnxruntime"
recipe = "int8"
[targets.int8.budget]
min_cosine = 0.95
"""


def write_project(folder: Path, *, channels: tuple[int, ...] = CHANNELS, size: int = SIZE) -> Path:
    """Write `model.onnx`, two files of samples and `targets.toml`; returns the targets file."""
    onnx.save(convolutional_network(channels, size=size), folder / "model.onnx")
    generator = np.random.default_rng(1)
    for name, count in SAMPLES.items():
        samples = generator.normal(size=(count, channels[0], size, size)).astype("float32")
        np.savez(folder / f"{name}.npz", x=samples)
    path = folder / "targets.toml"
    path.write_text(_TARGETS.format(size=size))
    return path


def convolutional_network(channels: tuple[int, ...], *, size: int) -> onnx.ModelProto:
    """Conv, BatchNormalization and ReLU for each step of `channels`, at half the size each; then one Gemm.

    Input `x` is float32 [batch, channels[0], size, size]; output `y` is float32 [batch, 10].
    """
    generator = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def weight(name: str, values: np.ndarray[Any, Any]) -> str:
        weights.append(numpy_helper.from_array(values.astype("float32"), name))
        return name

    tensor = "x"
    for index, (before, after) in enumerate(itertools.pairwise(channels)):
        kernel = weight(f"w{index}", generator.normal(size=(after, before, 3, 3), scale=(2 / 9 / before) ** 0.5))
        nodes.append(
            helper.make_node("Conv", [tensor, kernel], [f"c{index}"], f"conv{index}", strides=[2, 2], pads=[1, 1, 1, 1])
        )
        statistics = (
            weight(f"scale{index}", generator.uniform(0.8, 1.2, after)),
            weight(f"shift{index}", generator.normal(size=after, scale=0.1)),
            weight(f"mean{index}", generator.normal(size=after, scale=0.1)),
            weight(f"var{index}", generator.uniform(0.8, 1.2, after)),
        )
        nodes.append(helper.make_node("BatchNormalization", [f"c{index}", *statistics], [f"b{index}"], f"norm{index}"))
        tensor = f"r{index}"
        nodes.append(helper.make_node("Relu", [f"b{index}"], [tensor], f"relu{index}"))
    nodes.append(helper.make_node("GlobalAveragePool", [tensor], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    matrix = weight("fc", generator.normal(size=(channels[-1], 10), scale=channels[-1] ** -0.5))
    nodes.append(helper.make_node("Gemm", ["flat", matrix, weight("bias", np.zeros(10))], ["y"], "fc"))
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels[0], size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
