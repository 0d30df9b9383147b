"""Where a scale is carried over for the DLA, and where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.graph import load
from edgetool.qdq.ranges import Range
from edgetool_tensorrt.dla import lower
from tests.tensorrt.dla_files import ORIN, Array, counts, infer, refused, scales_of, with_ranges


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def between(out: Path, *nodes: onnx.NodeProto, shape: tuple[int, ...] = (1, 4, 4, 4)) -> Path:
    """`x` -> Q/DQ -> a convolution -> `h` -> the nodes -> `t` -> Q/DQ -> a convolution -> `y`."""
    stored: dict[str, Array] = {
        "kernel": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), "one": np.array(0.5, np.float32),
        "two": np.array(0.25, np.float32), "zero": np.array(0, np.int8), "low": np.array(0, np.float32),
        "high": np.array(6, np.float32), "five": np.array(5, np.float32), "as": np.array([1, 4, 4, 4], np.int64),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "scales": np.array([1, 1, 2, 2], np.float32),
        "none": np.array([], np.float32),
    }  # fmt: skip
    make = helper.make_node
    everything = [
        make("QuantizeLinear", ["x", "one", "zero"], ["xq"], "xq"),
        make("DequantizeLinear", ["xq", "one", "zero"], ["xd"], "xd"),
        make("Conv", ["xd", "kernel"], ["h"], "first"),
        *nodes,
        make("QuantizeLinear", ["t", "two", "zero"], ["tq"], "tq"),
        make("DequantizeLinear", ["tq", "two", "zero"], ["td"], "td"),
        make("Conv", ["td", "kernel"], ["y"], "last"),
    ]
    graph = helper.make_graph(
        everything,
        "between",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    path = out.parent / "between.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def node(op_type: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, list(inputs) or ["h"], ["t"], "middle", **attributes)


@pytest.mark.parametrize(
    "middle",
    [
        node("Relu"), node("Identity"), node("MaxPool", kernel_shape=[2, 2]), node("Transpose", perm=[0, 1, 3, 2]),
        node("Reshape", "h", "as"), node("Clip", "h", "low", "high"), node("Pad", "h", "pads"),
        node("Pad", "h", "pads", "low"), node("Pad", "h", "pads", mode="reflect"), node("DepthToSpace", blocksize=2),
        node("Resize", "h", "none", "scales"), node("Concat", "h", axis=1),
    ],
    ids=lambda middle: f"{middle.op_type}-{len(middle.input)}",
)  # fmt: skip
def test_carried_up_through_what_keeps_the_values(out: Path, middle: onnx.NodeProto) -> None:
    lowered = lower(between(out, middle), out, ORIN)
    assert scales_of(lowered) == {"x": 0.5, "h": 0.25, "t": 0.25}
    assert counts(lowered)["carried-scales"] == 1


@pytest.mark.parametrize(
    "middle",
    [
        node("AveragePool", kernel_shape=[2, 2]), node("LeakyRelu", alpha=0.1), node("Clip", "h", "five", "high"),
        node("Pad", "h", "pads", "five"), node("Resize", "h", "none", "scales", mode="linear"), node("Sigmoid"),
        node("Mul", "h", "five"), node("Add", "h", "h"),
    ],
    ids=lambda middle: f"{middle.op_type}-{len(middle.input)}",
)  # fmt: skip
def test_not_carried_through_what_computes_others(out: Path, middle: onnx.NodeProto) -> None:
    error = refused(between(out, middle), out)
    assert error.code == "dla-scale-missing"
    assert error.message.endswith("none: 'h'")


def test_not_carried_up_where_somebody_else_reads_the_tensor(out: Path) -> None:
    relu = helper.make_node("Relu", ["h"], ["r"], "relu")
    error = refused(between(out, relu, node("Add", "h", "r")), out)
    assert error.message.endswith("none: 'h', 'r'")


def test_carried_down_to_every_branch(out: Path) -> None:
    """`h` has no scale of its own: what a recorded range gives it goes on to the pool and from there to the join."""
    pool = helper.make_node("MaxPool", ["h"], ["p"], "pool", kernel_shape=[1, 1])
    path = with_ranges(between(out, pool, node("Add", "h", "p")), h=Range(-12.7, 3))
    lowered = lower(path, out, ORIN)
    assert scales_of(lowered) == {"x": 0.5, "h": pytest.approx(0.1), "p": pytest.approx(0.1), "t": 0.25}
    assert (counts(lowered)["recorded-scales"], counts(lowered)["carried-scales"]) == (1, 1)


def test_a_join_of_unequal_scales_needs_its_own(out: Path) -> None:
    first = helper.make_node("Sigmoid", ["h"], ["s"], "sigmoid")
    join = helper.make_node("Concat", ["h", "s"], ["c"], "join", axis=1)
    source = with_ranges(between(out, first, join, node("LeakyRelu", "c", alpha=0.1)), h=Range(-2, 2))
    assert refused(source, out).message.endswith("none: 'c'")
    equal = helper.make_node("Relu", ["h"], ["s"], "relu")
    source = with_ranges(between(out, equal, join, node("LeakyRelu", "c", alpha=0.1)), h=Range(-2, 2))
    assert scales_of(lower(source, out, ORIN))["c"] == pytest.approx(2 / 127)


def test_results_of_bounded_functions_have_the_scale_of_their_bounds(out: Path) -> None:
    first = helper.make_node("Sigmoid", ["h"], ["s"], "sigmoid")
    lowered = lower(with_ranges(between(out, first, node("LeakyRelu", "s", alpha=0.1)), h=Range(-2, 2)), out, ORIN)
    assert scales_of(lowered)["s"] == pytest.approx(1 / 127)
    assert counts(lowered)["bounded-scales"] == 1


def test_a_tensor_that_was_always_zero_still_gets_a_scale(out: Path) -> None:
    lowered = lower(with_ranges(between(out, node("LeakyRelu", alpha=0.1)), h=Range(0, 0)), out, ORIN)
    assert scales_of(lowered)["h"] > 0


def test_shapes_need_no_scale(out: Path) -> None:
    shape = helper.make_node("Shape", ["h"], ["s"], "shape")
    path = with_ranges(between(out, shape, node("Reshape", "h", "s")), h=Range(-1, 1))
    assert set(scales_of(lower(path, out, ORIN))) == {"x", "h", "t"}


def test_a_tensor_with_two_scales_is_refused(out: Path) -> None:
    """Quantized, dequantized and quantized again, with other steps: one line of the cache cannot say both."""
    again = [
        helper.make_node("QuantizeLinear", ["h", "one", "zero"], ["hq"], "hq"),
        helper.make_node("DequantizeLinear", ["hq", "one", "zero"], ["t"], "hd"),
    ]
    error = refused(between(out, *again), out)
    assert error.code == "dla-quantization-unfit"
    assert error.message.endswith("'hq', 'hd'")


def test_a_result_that_is_dequantized_keeps_its_name(out: Path) -> None:
    path = between(out, node("Relu"))
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("td", TensorProto.FLOAT, None))
    onnx.save(model, path)
    lowered = lower(path, out, ORIN)
    feeds = {"x": np.linspace(-2, 2, 64, dtype=np.float32).reshape(1, 4, 4, 4)}
    typed, plain = infer(path, feeds), infer(lowered.model, feeds)
    assert set(plain) == {"y", "td"}
    assert np.abs(typed["td"] - plain["td"]).max() <= 0.5 + 0.25


def test_float_weights_with_qdq_behind_them_are_rounded_as_the_typed_network_does(out: Path) -> None:
    path = between(out, node("Relu"))
    model = onnx.load(path)
    weight = [
        helper.make_node("QuantizeLinear", ["kernel", "two", "zero"], ["kq"], "kq"),
        helper.make_node("DequantizeLinear", ["kq", "two", "zero"], ["kd"], "kd"),
    ]
    values = np.full((4, 4, 1, 1), 0.3, np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "kernel"))
    for place, extra in enumerate(weight):
        model.graph.node.insert(place, extra)
    for convolution in model.graph.node:
        if convolution.op_type == "Conv":
            convolution.input[1] = "kd"
    onnx.save(model, path)
    lowered = lower(path, out, ORIN)
    weights = [
        numpy_helper.to_array(tensor) for tensor in load(lowered.model).graph.initializer if len(tensor.dims) == 4
    ]
    assert len(weights) == 1
    assert (weights[0] == 0.25).all()
    assert counts(lowered)["float-weights-rounded-anew"] == 1
