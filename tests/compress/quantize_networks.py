"""A small network of the shape of MobileNetV2: expansion, depthwise, projection, residual; one with lively channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool.signature import DimRange

Array = np.ndarray[Any, Any]

CHANNELS, WIDE = 8, 24


def mobile_block(folder: Path, *, cap: float | None = 6.0, uneven: bool = True, opset: int = 17) -> Model:
    """A stem, an inverted residual block, a pool and a classifier; float32 [batch, 3, height, width] -> [batch, 5].

    Args:
        folder: where to write it.
        cap: upper bound of the Clip nodes; None for Relu.
        uneven: channels whose ranges differ a hundredfold, as batch normalization that is folded leaves them.
        opset: of the model.
    """
    chance = np.random.default_rng(3)

    def weight(*shape: int) -> Array:
        return (chance.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    stored = {
        "stem_w": weight(CHANNELS, 3, 3, 3), "stem_b": np.full(CHANNELS, 0.2, np.float32),
        "wide_w": weight(WIDE, CHANNELS, 1, 1), "wide_b": np.full(WIDE, 0.1, np.float32),
        "deep_w": weight(WIDE, 1, 3, 3), "deep_b": np.full(WIDE, 0.1, np.float32),
        "thin_w": weight(CHANNELS, WIDE, 1, 1), "thin_b": weight(CHANNELS, 1)[:, 0] * 0.1,
        "head_w": weight(5, CHANNELS), "head_b": weight(5, 1)[:, 0], "low": np.array(0, np.float32),
    }  # fmt: skip
    if uneven:
        scales = np.geomspace(0.01, 1, WIDE).astype(np.float32)
        stored["wide_w"] *= scales[:, None, None, None]
        stored["wide_b"] *= scales
        stored["deep_w"] /= scales[:, None, None, None]
    if cap is not None:
        stored["high"] = np.array(cap, np.float32)

    def activation(source: str, result: str, name: str) -> onnx.NodeProto:
        if cap is None:
            return helper.make_node("Relu", [source], [result], name)
        return helper.make_node("Clip", [source, "low", "high"], [result], name)

    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "stem_w", "stem_b"], ["stem"], "stem", **pads),
        activation("stem", "stem_out", "stem_clip"),
        helper.make_node("Conv", ["stem_out", "wide_w", "wide_b"], ["wide"], "wide"),
        activation("wide", "wide_out", "wide_clip"),
        helper.make_node("Conv", ["wide_out", "deep_w", "deep_b"], ["deep"], "deep", group=WIDE, **pads),
        activation("deep", "deep_out", "deep_clip"),
        helper.make_node("Conv", ["deep_out", "thin_w", "thin_b"], ["thin"], "thin"),
        helper.make_node("Add", ["stem_out", "thin"], ["sum"], "add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "head_w", "head_b"], ["logits"], "head", transB=1),
    ]
    return written(
        folder / "mobile.onnx",
        nodes,
        stored,
        {"image": ["batch", 3, "height", "width"]},
        {"logits": ["batch", 5]},
        opset,
    )


def written(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    stored: dict[str, Array],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    opset: int = 17,
) -> Model:
    """A float32 network in a file."""

    def values(shapes: dict[str, list[int | str]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(list(nodes), path.stem, values(inputs), values(outputs), tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    sides = {"height": DimRange(16, 16, 96), "width": DimRange(16, 16, 96)}
    dims = {"batch": DimRange(1, 2, 4), **sides} if any("batch" in shape for shape in inputs.values()) else {}
    return read_model(path, dims)


def images(count: int, *, seed: int = 0) -> list[dict[str, Array]]:
    """Feeds for `mobile_block`: smooth random images, float32 [2, 3, 16, 16]."""
    chance = np.random.default_rng(seed)
    coarse = chance.normal(size=(count, 2, 3, 4, 4)).astype(np.float32)
    return [{"image": np.kron(one, np.ones((1, 1, 4, 4), np.float32))} for one in coarse]
