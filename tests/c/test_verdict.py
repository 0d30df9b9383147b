"""What is refused, with which reason, and what would help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from edgetool.artifact import Facts, Model
from edgetool.backends.base import Site, Support
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool.testing import tiny_cnn
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.writing import random, written


def ask(model: Model, facts: Facts | None = None) -> Support:
    return PlainC(COptions(board="host"), Site(facts=facts or {})).supports(model, CONTEXT)


def test_dynamic_sizes_are_refused_with_the_pass_that_fixes_them(tmp_path: Path) -> None:
    support = ask(tiny_cnn(tmp_path))
    assert not support.accepted
    assert "batch" in support.problems[0].reason
    assert support.legalize is not None
    assert (support.legalize.use, dict(support.legalize.options)) == ("specialize", {"dims": {"batch": 2}})


def test_a_size_without_a_range_names_the_table_to_write(tmp_path: Path) -> None:
    model = tiny_cnn(tmp_path)
    support = ask(read_model(model.path, {}))
    assert support.problems[0].fix == "declare [model.dims.batch]"
    assert support.legalize is None


def test_unknown_operators_are_named_all_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="fine"),
        helper.make_node("Mystery", ["a"], ["b"], name="one", domain="com.microsoft"),
        helper.make_node("Riddle", ["b"], ["c"], name="two", domain="com.microsoft"),
        helper.make_node("Mystery", ["c"], ["y"], name="three", domain="com.microsoft"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", 1, [1, 3])],
    )
    imports = [helper.make_opsetid(name, 1 if name else 18) for name in ("", "com.microsoft")]
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())
    support = ask(read_model(path, {}))
    assert [problem.nodes for problem in support.problems] == [("one", "three"), ("two",)]
    assert [row.device for row in support.placements] == ["C", None, None, None]


def test_what_the_generator_says_is_passed_on_with_the_node(tmp_path: Path) -> None:
    gru = helper.make_node(
        "GRU", ["x", "w", "r", "", "n"], ["y", ""], name="both ways", hidden_size=2, direction="bidirectional"
    )
    constants = {"w": random(2, 6, 3), "r": random(2, 6, 2), "n": np.array([4], np.int32)}
    support = ask(written(tmp_path / "m.onnx", [gru], [("x", (4, 1, 3))], [("y", (4, 2, 1, 2))], constants))
    (problem,) = support.problems
    assert problem.nodes == ("both ways",)
    assert "direction" in problem.reason
    assert "node_index" not in problem.reason


def test_half_precision_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    model = written(tmp_path / "m.onnx", [node], [("x", (1, 3))], [("y", (1, 3))], dtype=TensorProto.FLOAT16)
    support = ask(model)
    assert not support.accepted
    assert "float16" in support.problems[0].reason
    assert support.placements[0].device is None


def test_half_precision_inside_is_refused_too(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], name="down", to=TensorProto.FLOAT16),
        helper.make_node("Add", ["h", "c"], ["s"], name="sum"),
        helper.make_node("Cast", ["s"], ["y"], name="up", to=TensorProto.FLOAT),
    ]
    constants = {"c": np.ones(3, np.float16)}
    support = ask(written(tmp_path / "m.onnx", nodes, [("x", (1, 3))], [("y", (1, 3))], constants))
    assert {node for problem in support.problems for node in problem.nodes} == {"down", "sum"}


def test_weights_that_cannot_fit_are_refused_before_anything_is_generated(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = written(tmp_path / "m.onnx", [node], [("x", (1, 64))], [("y", (1, 64))], {"w": random(64, 64)})
    assert ask(model, {"flash": 32 << 10}).accepted
    support = ask(model, {"flash": 8 << 10})
    assert not support.accepted
    assert "the weights take 16.0 KiB" in support.problems[0].reason


def test_an_output_whose_size_depends_on_the_values_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], name="where")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2, "found"])],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    )
    support = ask(read_model(path, {"batch": DimRange(1, 1, 1)}))
    assert not support.accepted
    assert support.legalize is None
