"""The static verdict: which nodes are to blame, what would cure a refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.backends.base import Support
from edgetool.context import BuildContext
from edgetool.errors import ModelError
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool.testing import tiny_cnn, tiny_lstm
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.refusal import blames, boiled_down

MakeOnnx = Callable[..., Model]
FLOAT = TensorProto.FLOAT


@pytest.fixture
def check(context: BuildContext) -> Callable[..., Support]:
    def run(model: Model, **options: Any) -> Support:
        return OpenVino(OpenVino.Options(**options)).supports(model, context)

    return run


def test_all_nodes_of_unknown_operators_are_blamed(make_onnx: MakeOnnx, check: Callable[..., Support]) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="fine"),
        helper.make_node("Mystery", ["a"], ["b"], name="first", domain="com.microsoft"),
        helper.make_node("Mystery", ["b"], ["c"], name="second", domain="com.microsoft"),
        helper.make_node("Riddle", ["c"], ["y"], name="third", domain="com.microsoft"),
    ]
    support = check(make_onnx(nodes, [("x", FLOAT, [4])], [("y", FLOAT, [4])], domain="com.microsoft"))
    assert not support.accepted
    assert {problem.nodes for problem in support.problems} == {("first", "second"), ("third",)}
    assert {row.node: row.device for row in support.placements}["fine"] == "CPU"
    assert support.legalize is None, "no shape makes an unknown operator known"


def test_a_node_that_cannot_be_converted_is_named_and_specialize_is_asked_for(
    make_onnx: MakeOnnx, check: Callable[..., Support]
) -> None:
    """An If whose branches give tensors of different ranks: the convolution behind it has an input of unknown rank."""
    model = _ranks_by_length(make_onnx, {"length": DimRange(1, 8, 16)})
    support = check(model)
    assert not support.accepted
    assert [problem.nodes for problem in support.problems] == [("conv",)]
    assert "rank" in support.problems[0].reason
    assert support.legalize is not None
    assert support.legalize.use == "specialize"
    assert support.legalize.options == {"dims": {"length": 8}}


def test_without_declared_ranges_nothing_is_guessed(make_onnx: MakeOnnx, check: Callable[..., Support]) -> None:
    assert check(_ranks_by_length(make_onnx, None)).legalize is None


def test_build_names_the_node_too(make_onnx: MakeOnnx, context: BuildContext, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        OpenVino(OpenVino.Options()).build(_ranks_by_length(make_onnx, None), tmp_path, context)
    assert caught.value.code == "refused-by-openvino"
    assert "conv" in str(caught.value.where)


@pytest.mark.parametrize("device", ["NPU", "HETERO:FPGA,CPU"])
def test_devices_of_fixed_shapes_ask_for_specialize(device: str, tmp_path: Path, check: Callable[..., Support]) -> None:
    support = check(tiny_lstm(tmp_path), device=device, inference_precision="f16")
    assert not support.accepted
    assert support.legalize is not None
    assert support.legalize.options == {"dims": {"batch": 2, "length": 5}}
    assert all(row.device is None for row in support.placements)


def test_devices_of_fixed_shapes_want_ranges_declared(tmp_path: Path, check: Callable[..., Support]) -> None:
    support = check(read_model(tiny_cnn(tmp_path).path), device="NPU", inference_precision="f16")
    assert not support.accepted
    assert support.legalize is None
    assert "[model.dims.batch]" in str(support.problems[0].fix)


@pytest.mark.parametrize("device", ["GPU", "HETERO:GPU,CPU"])
def test_what_was_not_asked_is_not_claimed(device: str, tmp_path: Path, check: Callable[..., Support]) -> None:
    support = check(tiny_cnn(tmp_path), device=device)
    if any(problem.severity == "warn" for problem in support.problems):
        assert "was not asked" in support.problems[0].reason
        assert "edgetool check" in str(support.problems[0].fix)
    else:
        pytest.skip("this machine has a GPU")


@pytest.mark.parametrize("element", [TensorProto.STRING, TensorProto.INT4])
def test_tensors_that_no_feed_can_carry_are_refused(
    element: int, make_onnx: MakeOnnx, check: Callable[..., Support]
) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    support = check(make_onnx([node], [("x", element, [2])], [("y", element, [2])]))
    assert not support.accepted
    assert "'x'" in support.problems[0].reason


def test_messages_are_boiled_down_to_what_they_mean() -> None:
    text = """Exception from src/inference/src/cpp/core.cpp:84:
Check 'false' failed at src/frontends/common_translators/src/unconverted_ops_report.cpp:151:
FrontEnd API failed with OpConversionFailure:
Model wasn't fully converted. Failed operations detailed log:
-- Conv-16 with a message:
While validating ONNX node '<Node(Conv): inner/Conv_output_0>': Check 'data' failed at src/op/conv.cpp:38:
FrontEnd API failed with GeneralFailure:
The input data tensor's rank has to be known (static)

Summary:
-- Conversion is failed for: Conv-16
-- No conversion rule found for operations: TfIdfVectorizer-18, com.acme.MyOp
"""
    found = list(blames(text))
    assert [(blame.op_type, blame.domain, blame.node) for blame in found] == [
        ("TfIdfVectorizer", "", None),
        ("MyOp", "com.acme", None),
        ("Conv", "", "inner/Conv_output_0"),
    ]
    assert found[2].reason == "Conv: The input data tensor's rank has to be known (static)"
    assert "src/" not in boiled_down(text)


def _ranks_by_length(make_onnx: MakeOnnx, dims: dict[str, DimRange] | None) -> Model:
    """A convolution behind an If that takes the axis of size one away, or not, depending on the length."""
    constants = [
        numpy_helper.from_array(np.array(4, np.int64), "four"),
        numpy_helper.from_array(np.array([2], np.int64), "axis"),
        numpy_helper.from_array(np.array(3, np.int64), "last"),
        numpy_helper.from_array(np.ones((2, 3, 1), np.float32), "w"),
    ]
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Squeeze", ["x", "axis"], ["t"], name="shorter")],
            "then",
            [],
            [helper.make_empty_tensor_value_info("t")],
        ),
        "else_branch": helper.make_graph(
            [helper.make_node("Identity", ["x"], ["e"], name="same")],
            "else",
            [],
            [helper.make_empty_tensor_value_info("e")],
        ),
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"], name="shape"),
        helper.make_node("Gather", ["sizes", "last"], ["size"], name="length"),
        helper.make_node("Greater", ["size", "four"], ["long"], name="long"),
        helper.make_node("If", ["long"], ["r"], name="branch", **branches),
        helper.make_node("Conv", ["r", "w"], ["y"], name="conv"),
    ]
    return make_onnx(
        nodes, [("x", FLOAT, [1, 3, 1, "length"])], [("y", FLOAT, [1, 2, "length"])], constants=constants, dims=dims
    )


def test_a_range_of_one_size_is_a_fixed_shape(tmp_path: Path, check: Callable[..., Support]) -> None:
    model = read_model(tiny_cnn(tmp_path).path, {"batch": DimRange(1, 1, 1)})
    support = check(model, device="HETERO:FPGA,CPU")
    assert support.accepted
    assert support.off_accelerator == ()
