"""The static verdict: every node placed, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgetool.backends.base import Legalization, Site, Support
from edgetool.context import BuildContext
from edgetool.graph import read_model
from edgetool.testing import tiny_branches, tiny_cnn, tiny_int8_cnn
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions

value = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT
WriteGraph = Callable[..., Path]


def _supports(path: Path, facts: dict[str, int | str] | None = None, **options: object) -> Support:
    backend = OnnxRuntime(OnnxRuntimeOptions.model_validate(options), Site(facts=facts or {}))
    return backend.supports(read_model(path), BuildContext(threads=1))


def test_nodes_of_branches_are_placed(tmp_path: Path) -> None:
    support = _supports(tiny_branches(tmp_path).path)
    assert support.accepted
    assert [(row.node, row.device) for row in support.placements] == [
        ("matmul", "CPU"),
        ("mean", "CPU"),
        ("positive", "CPU"),
        ("branch", "CPU"),
        ("else_tanh", "CPU"),
        ("then_relu", "CPU"),
    ]


def test_provider_that_takes_nothing_leaves_all_nodes_off_the_accelerator(tmp_path: Path) -> None:
    support = _supports(tiny_cnn(tmp_path).path, providers=["AzureExecutionProvider"])
    assert support.accepted
    assert support.accelerator == "Azure"
    assert len(support.off_accelerator) == 7
    assert {row.device for row in support.placements} == {"CPU"}


def test_provider_that_is_not_here_counts_as_off_the_accelerator(tmp_path: Path) -> None:
    support = _supports(tiny_cnn(tmp_path).path, providers=["CUDAExecutionProvider"])
    assert support.accepted
    assert support.accelerator == "CUDA"
    assert len(support.off_accelerator) == 7
    assert [problem.severity for problem in support.problems] == ["warn"]
    assert "unknown here" in support.problems[0].reason


def test_all_unknown_operators_are_named_not_only_the_first(write_graph: WriteGraph) -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], name="first", domain="com.microsoft"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Riddle", ["b"], ["y"], domain="com.microsoft"),
    ]
    support = _supports(write_graph(nodes, [value("x", FLOAT, [1])], [value("y", FLOAT, [1])]))
    assert not support.accepted
    assert [problem.nodes for problem in support.problems] == [("first", "Riddle#2")]
    assert [row.device for row in support.placements] == [None, "CPU", None]


def test_type_without_kernel_is_refused_by_node(write_graph: WriteGraph) -> None:
    half = TensorProto.BFLOAT16
    nodes = [helper.make_node("Sin", ["x"], ["y"], name="sine")]
    support = _supports(write_graph(nodes, [value("x", half, [1])], [value("y", half, [1])]))
    assert [problem.nodes for problem in support.problems] == [("sine",)]
    assert "tensor(bfloat16)" in support.problems[0].reason


def test_newer_opset_asks_for_a_conversion(write_graph: WriteGraph) -> None:
    import onnx.defs

    node = helper.make_node("Neg", ["x"], ["y"])
    newest = onnx.defs.onnx_opset_version()
    support = _supports(write_graph([node], [value("x", FLOAT, [1])], [value("y", FLOAT, [1])], opset=newest))
    assert not support.accepted
    assert support.legalize is not None
    assert support.legalize.use == "convert-opset"
    assert 20 < int(str(support.legalize.options["opset"])) < newest


@pytest.mark.parametrize(("opset", "accepted"), [(17, False), (18, True)])
def test_opset_of_the_target_counts(opset: int, accepted: bool, tmp_path: Path) -> None:
    support = _supports(tiny_cnn(tmp_path).path, facts={"max_opset": opset})
    assert support.accepted is accepted
    assert support.legalize == (None if accepted else Legalization("convert-opset", {"opset": 17}))


def test_ort_format_warns_of_slow_float_convolutions_on_x86_only(tmp_path: Path) -> None:
    path = tiny_cnn(tmp_path).path
    (problem,) = _supports(path, facts={"arch": "x86_64"}, format="ort").problems
    assert problem.severity == "warn"
    assert problem.nodes == ("stem", "body")
    assert not _supports(path, facts={"arch": "aarch64"}, format="ort").problems
    assert not _supports(tiny_int8_cnn(tmp_path).path, facts={"arch": "x86_64"}, format="ort").problems


def test_ort_format_refuses_more_than_it_can_hold(tmp_path: Path) -> None:
    import onnx

    path = tiny_cnn(tmp_path).path
    proto = onnx.load(path)
    weight = proto.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weight, "weights", offset=0, length=len(weight.raw_data))
    weight.ClearField("raw_data")
    path.write_bytes(proto.SerializeToString())
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(2**31)  # takes no space on the disk
    refusals = [problem for problem in _supports(path, format="ort").problems if problem.severity == "refuse"]
    assert [problem.reason for problem in refusals] == ["the .ort format holds at most 2 GiB"]
    assert _supports(path, format="onnx").accepted
