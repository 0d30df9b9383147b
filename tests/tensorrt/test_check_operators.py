"""Opsets and operators: what each TensorRT release reads, and what it reads otherwise than ONNX means it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgetool_tensorrt.check
from edgetool.backends import Legalization
from edgetool.errors import ModelError
from edgetool.graph import read_model
from edgetool.testing import foreign_operator, tiny_branches
from edgetool_tensorrt.check.operators import operators
from edgetool_tensorrt.version import Version
from tests.tensorrt.checking import FLOAT, INT64, chain, judge, make, told

TABLES = Path(edgetool_tensorrt.check.__file__).parent


@pytest.mark.parametrize("table", ["operators.toml", "dla.toml"])
def test_every_value_has_a_source(table: str) -> None:
    lines = (TABLES / table).read_text().splitlines()
    entries = [line for line in lines if re.match(r'["\w.-]+ *= ', line)]
    assert entries
    assert [line for line in entries if "# source: " not in line] == []


def test_the_table_knows_every_operator_once() -> None:
    table = operators()
    assert not table.never & set(table.since)
    assert table.instead.keys() <= table.known
    current = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == "" and not schema.deprecated}
    assert current - table.known == set(), "new in onnx: find out whether TensorRT reads it"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_the_parser_of_tensorrt_rtx_agrees_with_the_table() -> None:
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    current = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == "" and not schema.deprecated}
    lacking = {name for name in current if not parser.supports_operator(name)}
    table = operators()
    assert lacking == (table.never | table.rtx_never) & current


@pytest.mark.parametrize(
    ("version", "newest"), [("8.2.1", 13), ("8.5.2", 17), ("8.6", 17), ("10.3", 20), ("10.9", 22), ("10.13", 24)]
)
def test_the_opset_gate(tmp_path: Path, version: str, newest: int) -> None:
    facts: dict[str, Any] = {"sm": 80}
    assert judge(chain(tmp_path / "old.onnx", "Relu", opset=newest), version=version, facts=facts).accepted
    support = judge(chain(tmp_path / "new.onnx", "Relu", opset=newest + 1), version=version, facts=facts)
    assert f"newer than {newest}" in told(support, "opset").reason
    assert support.legalize == Legalization("convert-opset", {"opset": newest})
    assert [row.device for row in support.placements] == [None]


def test_the_gate_of_tensorrt_rtx_and_of_the_target_itself(tmp_path: Path) -> None:
    model = chain(tmp_path / "new.onnx", "Relu", opset=26)
    assert "newer than 25" in told(judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}), "opset").reason
    assert "newer than 15" in told(judge(model, facts={"sm": 87, "max_opset": 15}), "opset").reason
    assert judge(model, version=None, facts={}).accepted  # nothing is known, and that is said
    assert told(judge(model, version=None, facts={}), "is not known").severity == "warn"


def test_opset_99_is_refused_before_anything_else(tmp_path: Path) -> None:
    proto = onnx.load(chain(tmp_path / "m.onnx", "Relu").path)
    proto.opset_import[0].version = 99
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="opset 99"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("op_type", "opset", "since"),
    [
        ("HardSwish", 14, "8.4"),
        ("IsNaN", 13, "8.2"),
        ("Reciprocal", 13, "8.4"),
        ("NonZero", 13, "8.5"),
        ("IsInf", 13, "8.6"),
        ("Hardmax", 13, "9.2"),
        ("Gelu", 20, "10.0"),
        ("Mish", 18, "10.0"),
        ("Swish", 24, "11.0"),
    ],
)
def test_late_operators(tmp_path: Path, op_type: str, opset: int, since: str) -> None:
    outputs = {"NonZero": TensorProto.INT64, "IsNaN": TensorProto.BOOL, "IsInf": TensorProto.BOOL}
    nodes = [helper.make_node(op_type, ["x"], ["y"], "late")]
    model = make(
        tmp_path / "m.onnx", nodes, {"x": (FLOAT, (1, 4))}, {"y": (outputs.get(op_type, FLOAT), None)}, opset=opset
    )
    first = Version.parse(since)
    before = f"{first.major}.{first.minor - 1}" if first.minor else f"{first.major - 1}.3"
    facts = {"sm": 80, "max_opset": 25}
    assert judge(model, version=since, facts=facts).accepted
    support = judge(model, version=before, facts=facts)
    problem = told(support, f"{op_type} is read from TensorRT {since} on, and the target has {before}")
    assert problem.nodes == ("late",)
    assert [(row.device, row.reason) for row in support.placements] == [(None, problem.reason)]


def test_layer_normalization_passes_the_gate_and_not_the_table(tmp_path: Path) -> None:
    """8.5 reads opset 17, which brought the operator, and not the operator."""
    nodes = [helper.make_node("LayerNormalization", ["x", "s"], ["y"], "norm")]
    model = make(
        tmp_path / "m.onnx", nodes, {"x": (FLOAT, (1, 4))}, {"y": (FLOAT, (1, 4))}, {"s": np.ones(4, np.float32)}
    )
    assert "below 17" in str(told(judge(model, version="8.5.2", facts={"sm": 72}), "LayerNormalization").fix)
    assert judge(model, version="8.6", facts={"sm": 80}).accepted


def test_all_bad_nodes_in_one_pass_inside_of_branches_too(tmp_path: Path) -> None:
    proto = onnx.load(tiny_branches(tmp_path).path)
    branch = next(node for node in proto.graph.node if node.op_type == "If")
    for attribute, op_type in zip(branch.attribute, ("Det", "Unique"), strict=True):
        attribute.g.node[0].op_type = op_type
        attribute.g.node[0].name = op_type.lower()
    proto.graph.node.add().CopyFrom(helper.make_node("Compress", ["x", "c"], ["unread"], "compress"))
    proto.graph.initializer.add().CopyFrom(helper.make_tensor("c", TensorProto.BOOL, [1], [True]))
    onnx.save(proto, tmp_path / "bad.onnx")
    support = judge(read_model(tmp_path / "bad.onnx", {"batch": tiny_branches(tmp_path).signature.dims["batch"]}))
    assert {problem.nodes for problem in support.problems} == {("det",), ("unique",), ("compress",)}
    off = {row.node: row.device for row in support.off_accelerator}
    assert off == {"det": None, "unique": None, "compress": None}
    assert len(support.placements) == 7
    assert support.legalize is None


def test_local_functions_are_looked_into_and_blamed_at_their_call(tmp_path: Path) -> None:
    inner = helper.make_node("BitwiseNot", ["a"], ["b"], "flip")
    function = helper.make_function("own", "Flip", ["a"], ["b"], [inner], [helper.make_opsetid("", 18)])
    nodes = [helper.make_node("Flip", ["x"], ["y"], "call", domain="own")]
    ends = {"x": (TensorProto.INT32, (4,))}, {"y": (TensorProto.INT32, (4,))}
    model = make(tmp_path / "m.onnx", nodes, *ends, opset=18, domains={"own": 1}, functions=[function])
    support = judge(model)
    assert told(support, "reads no BitwiseNot").nodes == ("call/flip",)
    assert [(row.node, row.device) for row in support.placements] == [("call", None)]
    assert "9.0" in told(judge(model, version="8.6", facts={"sm": 80, "max_opset": 18}), "local functions").reason
    assert told(judge(model, facts={"sm": 87, "max_opset": 17}), "opset 18").nodes == ()


def test_operators_of_others(tmp_path: Path) -> None:
    support = judge(foreign_operator(tmp_path))
    assert told(support, "Mystery of 'com.microsoft'").nodes == ("mystery",)
    nodes = [helper.make_node("QGemm", ["x"], ["y"], "product", domain="com.microsoft")]
    model = make(tmp_path / "q.onnx", nodes, {"x": (FLOAT, (1,))}, {"y": (FLOAT, (1,))}, domains={"com.microsoft": 1})
    assert "quantize-static" in str(told(judge(model), "QGemm").fix)


@pytest.mark.parametrize("op_type", ["DynamicQuantizeLinear", "QLinearMatMul", "MatMulInteger"])
def test_integer_kernels_of_other_runtimes(tmp_path: Path, op_type: str) -> None:
    inputs = {"DynamicQuantizeLinear": 1, "MatMulInteger": 2}.get(op_type, 8)
    stored = {f"i{n}": np.ones((2, 2), np.uint8 if n not in (1, 4, 6) else np.float32) for n in range(1, inputs)}
    names = ["x", *stored]
    kind = FLOAT if inputs == 1 else TensorProto.UINT8
    nodes = [helper.make_node(op_type, names, ["y"] if inputs > 1 else ["y", "s", "z"], "integer")]
    ends = {"x": (kind, (2, 2))}, {"y": (TensorProto.INT32 if inputs == 2 else TensorProto.UINT8, (2, 2))}
    support = judge(make(tmp_path / "m.onnx", nodes, *ends, stored))
    problem = told(support, f"reads no {op_type}")
    assert "quantize-static" in str(problem.fix)
    assert support.legalize is None


def test_layout_that_is_ignored_without_a_word(tmp_path: Path) -> None:
    """TensorRT-RTX 1.7 parses `layout` 1 into the network of `layout` 0."""
    chance = np.random.default_rng(0)
    stored = {"w": chance.normal(size=(1, 20, 4)).astype("f"), "r": chance.normal(size=(1, 20, 5)).astype("f")}
    for layout, accepted in ((0, True), (1, False)):
        nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=5, layout=layout)]
        model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (3, 2, 4))}, {"y": (FLOAT, None)}, stored)
        assert judge(model).accepted is accepted
        assert judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).accepted is accepted


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (("MaxPool", 1, {"kernel_shape": [2, 2], "dilations": [2, 2]}), "windows with gaps"),
        (("MaxPool", 2, {"kernel_shape": [2, 2]}), "indices of the maxima"),
        (("LpPool", 1, {"kernel_shape": [2, 2], "p": 3}), "`p` of 1 and 2"),
        (("Resize", 1, {"coordinate_transformation_mode": "tf_crop_and_resize"}), "coordinates as in"),
        (("Resize", 1, {"mode": "linear", "antialias": 1}), "antialiasing"),
    ],
)
def test_attributes_that_are_left_out(tmp_path: Path, node: tuple[str, int, dict[str, Any]], reason: str) -> None:
    op_type, results, attributes = node
    inputs = ["x", "", "sizes"] if op_type == "Resize" else ["x"]
    made = helper.make_node(op_type, inputs, ["y", "i"][:results], "odd", **attributes)
    outputs = {"y": (FLOAT, None), **({"i": (INT64, None)} if results > 1 else {})}
    stored = {"sizes": np.array([1, 1, 2, 2], "f")}
    support = judge(make(tmp_path / "m.onnx", [made], {"x": (FLOAT, (1, 2, 8, 8))}, outputs, stored, opset=18))
    assert told(support, f"{op_type}: ").nodes == ("odd",)
    assert reason in told(support, f"{op_type}: ").reason


@pytest.mark.parametrize(("op_type", "shape"), [("ReduceSum", (1,)), ("Reshape", (1,)), ("Range", ())])
def test_inputs_that_decide_shapes(tmp_path: Path, op_type: str, shape: tuple[int, ...]) -> None:
    inputs = ["x", "what", "x"] if op_type == "Range" else ["x", "what"]
    ends = {"x": (INT64, shape and (2, 3)), "what": (INT64, shape)}, {"y": (INT64, ("a", "b")[: 1 + len(shape)])}
    model = make(tmp_path / "m.onnx", [helper.make_node(op_type, inputs, ["y"], "node")], *ends)
    problem = told(judge(model), "input 'what' decides")
    assert problem.nodes == ("node",)
    assert ("specialize" in str(problem.fix)) is (shape == ())  # which fixes single numbers
