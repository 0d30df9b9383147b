"""The FPGA without FPGA: its table of layers, and the whole way on a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.errors import ModelError
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool.testing import feeds_for, tiny_cnn, tiny_int8_cnn
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.blob import blob_devices

MakeOnnx = Callable[..., Model]
Build = Callable[..., Engine]
STAND_IN = {"device": "HETERO:FPGA,CPU", "stand_in": "FPGA_CPU"}


def _conv(kernel: int = 3, stride: int = 1, group: int = 1) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    return "Conv", {"strides": [stride, stride], "group": group}, (8, 8 // group, kernel, kernel)


def _pool(op_type: str, window: list[int], stride: int, pad: int = 0) -> tuple[str, dict[str, Any], None]:
    return op_type, {"kernel_shape": window, "strides": [stride, stride], "pads": [pad] * 4}, None


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (_conv(28), None),
        (_conv(29), "filter 29x29 exceeds"),
        (_conv(stride=15), None),
        (_conv(stride=16), "stride 16x16 exceeds"),
        (_conv(group=8), None),
        (_conv(group=2), "only depthwise"),
        (("ConvTranspose", {"strides": [4, 4]}, (8, 8, 4, 4)), None),
        (("ConvTranspose", {"strides": [3, 3]}, (8, 8, 4, 4)), "1, 2, 4 or 8"),
        (("ConvTranspose", {"strides": [1, 2]}, (8, 8, 4, 4)), "1, 2, 4 or 8"),
        (_pool("MaxPool", [13, 13], 4), None),
        (_pool("MaxPool", [14, 13], 1), "window 14x13 exceeds 13"),
        (_pool("MaxPool", [3, 3], 5), "stride 5x5 exceeds 4"),
        (_pool("MaxPool", [7, 7], 1, pad=3), "more than 2"),
        (_pool("AveragePool", [27, 27], 1), None),
        (_pool("AveragePool", [3, 5], 1), "square"),
        (("GlobalAveragePool", {}, None), "window up to 27"),
        (("Softmax", {"axis": 1}, None), None),
        (("Softmax", {"axis": 2}, None), None),
        (("Relu", {}, None), None),
        (("Sigmoid", {}, None), None),
        (("HardSwish", {}, None), None),
        (("Erf", {}, None), "Erf is not in the FPGA's table"),
        (("LpNormalization", {"axis": 1}, None), "not in the FPGA's table"),
    ],
)
def test_layers_are_held_against_the_table(
    layer: tuple[str, dict[str, Any], tuple[int, ...] | None],
    reason: str | None,
    make_onnx: MakeOnnx,
    context: BuildContext,
) -> None:
    op_type, attributes, weight = layer
    constants = [] if weight is None else [numpy_helper.from_array(np.ones(weight, np.float32), "w")]
    node = helper.make_node(op_type, ["x", "w"] if weight else ["x"], ["y"], name="layer", **attributes)
    model = make_onnx(
        [node],
        [("x", TensorProto.FLOAT, [1, 8, 64, 64])],
        [("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        constants=constants,
    )
    support = OpenVino(OpenVino.Options(**STAND_IN)).supports(model, context)
    [row] = support.placements
    assert support.accepted
    assert support.accelerator == "FPGA"
    if reason is None:
        assert (row.device, row.reason) == ("FPGA", None)
    else:
        assert row.device == "CPU"
        assert reason in str(row.reason)
        assert support.off_accelerator == (row,)


def test_a_product_of_two_computed_tensors_is_no_fully_connected_layer(
    make_onnx: MakeOnnx, context: BuildContext
) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "x"], ["y"], name="attention"),
    ]
    model = make_onnx(nodes, [("x", TensorProto.FLOAT, [4, 4])], [("y", TensorProto.FLOAT, [4, 4])])
    support = OpenVino(OpenVino.Options(**STAND_IN)).supports(model, context)
    assert {row.node: row.device for row in support.placements} == {"relu": "FPGA", "attention": "CPU"}


def test_quantized_models_are_warned_about(tmp_path: Path, context: BuildContext) -> None:
    model = read_model(tiny_int8_cnn(tmp_path).path, {"batch": DimRange(1, 1, 1)})
    support = OpenVino(OpenVino.Options(**STAND_IN)).supports(model, context)
    assert any("quantizes by its architecture file" in problem.reason for problem in support.problems)


def test_the_stand_in_splits_as_the_table_says(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    """Convolution on the FPGA, Erf on the CPU, convolution on the FPGA again: what the blob says of itself."""
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Erf", ["a"], ["b"], name="erf"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="second", pads=[1, 1, 1, 1]),
    ]
    shape = TensorProto.FLOAT, [1, 3, 8, 8]
    model = make_onnx(nodes, [("x", *shape)], [("y", *shape)], constants=[weight])
    blob = build(model, **STAND_IN, artifact="blob")
    assert blob_devices(blob.path) == {"CPU": 1, "FPGA_CPU": 2}
    assert blob.facts["submodels"] == {"CPU": 1, "FPGA_CPU": 2}
    assert blob.facts["stand_in"] == "FPGA_CPU"

    plain, split = build(model), build(model, **STAND_IN)
    feeds = feeds_for(model.signature)
    results = []
    for engine, options in ((plain, {}), (split, STAND_IN), (blob, {**STAND_IN, "artifact": "blob"})):
        with OpenVino(OpenVino.Options(**options)).open(engine, context) as runner:
            results.append(runner.infer(feeds)["y"])
    assert np.allclose(results[0], results[1], atol=1e-5)
    assert np.allclose(results[0], results[2], atol=1e-5)

    evidence = OpenVino(OpenVino.Options(**STAND_IN)).evidence(split, context)
    placed = {row.op_type: row.device for row in evidence.nodes if row.op_type in ("Convolution", "Eltwise", "Math")}
    assert placed["Convolution"] == "FPGA_CPU"
    assert {row.precision for row in evidence.nodes} == {"float32"}


def test_blobs_of_one_device_have_no_description(build: Build, tmp_path: Path) -> None:
    assert blob_devices(build(tiny_cnn(tmp_path), artifact="blob").path) == {}


def test_a_truncated_blob_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.blob"
    path.write_bytes(b'<?xml version="1.0"?><hetero><compiled_submodels><compiled_submodel device="FPGA"/>')
    with pytest.raises(ModelError) as caught:
        blob_devices(path)
    assert caught.value.code == "damaged-blob"
