"""Running an engine: element types, values that do not fit, failures inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.errors import ConfigError, ModelError
from edgetool.signature import DimRange
from edgetool_openvino.backend import OpenVino

MakeOnnx = Callable[..., Model]
Build = Callable[..., Engine]


def _run(engine: Engine, context: BuildContext, feeds: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    with OpenVino(OpenVino.Options()).open(engine, context) as runner:
        return runner.infer(feeds)


@pytest.mark.parametrize(
    ("element", "dtype"),
    [
        (TensorProto.FLOAT, np.float32),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.BOOL, np.bool_),
        (TensorProto.INT64, np.int64),
        (TensorProto.INT32, np.int32),
        (TensorProto.UINT32, np.uint32),
        (TensorProto.INT8, np.int8),
        (TensorProto.UINT8, np.uint8),
    ],
)
def test_element_types_come_back_as_they_went_in(
    element: int, dtype: Any, make_onnx: MakeOnnx, build: Build, context: BuildContext
) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    engine = build(make_onnx([node], [("x", element, ["n"])], [("y", element, ["n"])]))
    given = np.array([0, 1, 1, 0, 1]).astype(dtype)
    result = _run(engine, context, {"x": given})["y"]
    assert result.dtype == given.dtype
    assert np.array_equal(result, given)


@pytest.mark.parametrize(("element", "value"), [(TensorProto.INT64, 2**40), (TensorProto.UINT32, 2**31 + 5)])
def test_integers_that_would_be_cut_off_are_refused(
    element: int, value: int, make_onnx: MakeOnnx, build: Build, context: BuildContext
) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    engine = build(make_onnx([node], [("x", element, [1])], [("y", element, [1])]))
    dtype = helper.tensor_dtype_to_np_dtype(element)
    with pytest.raises(ConfigError, match="beyond int32") as caught:
        _run(engine, context, {"x": np.array([value], dtype)})
    assert caught.value.code == "wrong-feeds"


def test_scalars_that_must_not_be_written_are_read(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    """Samples are not writeable, and OpenVINO takes such arrays of any rank but 0."""
    model = make_onnx(
        [helper.make_node("Mul", ["x", "s"], ["y"])],
        [("x", TensorProto.FLOAT, [3]), ("s", TensorProto.FLOAT, [])],
        [("y", TensorProto.FLOAT, [3])],
    )
    feeds = {"x": np.ones(3, np.float32), "s": np.array(2, np.float32)}
    for array in feeds.values():
        array.flags.writeable = False
    np.testing.assert_array_equal(_run(build(model), context, feeds)["y"], [2, 2, 2])


def test_outputs_keep_their_order_and_aliases(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], name="relu"),
        helper.make_node("Identity", ["y"], ["again"], name="again"),
        helper.make_node("Identity", ["x"], ["raw"], name="raw"),
    ]
    outputs = [(name, TensorProto.FLOAT, ["n"]) for name in ("raw", "again", "y")]
    inputs = [("unused", TensorProto.FLOAT, ["m"]), ("x", TensorProto.FLOAT, ["n"])]
    engine = build(make_onnx(nodes, inputs, outputs))
    x = np.array([-1, 2], np.float32)
    results = _run(engine, context, {"x": x, "unused": np.zeros(3, np.float32)})
    assert list(results) == ["raw", "again", "y"]
    assert np.array_equal(results["raw"], x)
    assert np.array_equal(results["again"], [0, 2])
    assert np.array_equal(results["y"], [0, 2])


def test_non_finite_weights_reach_the_output(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    weight = numpy_helper.from_array(np.array([1, np.nan, np.inf], np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add")
    shape = ("x", TensorProto.FLOAT, [3]), ("y", TensorProto.FLOAT, [3])
    engine = build(make_onnx([node], [shape[0]], [shape[1]], constants=[weight]))
    result = _run(engine, context, {"x": np.zeros(3, np.float32)})["y"]
    assert np.isnan(result[1])
    assert np.isinf(result[2])


def test_an_axis_frozen_inside_fails_with_a_reason(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    shape = numpy_helper.from_array(np.array([2, 4], np.int64), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="frozen")
    inputs, outputs = [("x", TensorProto.FLOAT, ["batch", 8])], [("y", TensorProto.FLOAT, [2, 4])]
    engine = build(make_onnx([node], inputs, outputs, constants=[shape], dims={"batch": DimRange(1, 1, 4)}))
    assert _run(engine, context, {"x": np.ones((1, 8), np.float32)})["y"].shape == (2, 4)
    with pytest.raises(ModelError) as caught:
        _run(engine, context, {"x": np.ones((3, 8), np.float32)})
    assert caught.value.code == "inference-failed"


def test_a_closed_runner_says_so(make_onnx: MakeOnnx, build: Build, context: BuildContext) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    engine = build(make_onnx([node], [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])]))
    runner = OpenVino(OpenVino.Options()).open(engine, context)
    runner.close()
    with pytest.raises(ConfigError, match="closed"):
        runner.infer({"x": np.zeros(1, np.float32)})
