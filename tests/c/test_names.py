"""Names of a model become identifiers and comments of C: none of them may become code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from edgetool.artifact import Engine
from edgetool.graph import load
from edgetool_c.backend import PlainC
from edgetool_c.names import with_safe_names
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.writing import random, reference, written

EVIL = (
    '*/ int evil = 1; /*', 'a"b', "in:0", "int", "model_run", "ünïcode", "two\nlines", "x" * 300, "1st", "$(reboot)",
)  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_any_name_compiles_and_computes(
    name: str, tmp_path: Path, build: Callable[..., Engine], require_tool: Callable[[str], str]
) -> None:
    require_tool("gcc")
    node = helper.make_node("Relu", [name], [f"{name} out"], name=name)
    other = helper.make_node("Neg", [f"{name} out"], ["y"], name=f"{name} out")
    model = written(tmp_path / "named.onnx", [node, other], [(name, (1, 3))], [("y", (1, 3))])
    options = COptions(board="host")
    engine = build(model, options)
    code = "".join(path.read_text() for path in engine.directory.rglob("*") if path.suffix in (".c", ".h", ".S"))
    assert "evil = 1" not in code
    assert "reboot)" not in code
    feeds = {name: random(1, 3)}
    with PlainC(options).open(engine, CONTEXT) as runner:
        assert (runner.infer(feeds)["y"] == reference(model, feeds)["y"]).all()


def test_what_a_model_says_about_itself_stays_out_of_the_source(tmp_path: Path, build: Callable[..., Engine]) -> None:
    model = written(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", (1, 3))], [("y", (1, 3))])
    proto = load(model.path)
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = "*/ spoken"
    proto.producer_name = proto.domain = "*/ spoken"
    proto.graph.name = "*/ spoken"
    onnx.helper.set_model_props(proto, {"spoken": "*/ spoken"})
    model.path.write_bytes(proto.SerializeToString())
    assert "spoken" not in (build(model, COptions(board="host")).path).read_text()


def test_different_names_stay_different() -> None:
    nodes = [helper.make_node("Relu", ["a:0"], ["a.0"]), helper.make_node("Relu", ["a.0"], ["A_0"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("a:0", 1, [1])],
                              [helper.make_tensor_value_info("A_0", 1, [1])])  # fmt: skip
    safe = with_safe_names(helper.make_model(graph))
    names = {name.lower() for node in safe.proto.graph.node for name in (*node.input, *node.output)}
    assert len(names) == 3
    assert all(re.fullmatch(r"[a-z_][a-z0-9_]*", name) for name in names)
    assert list(safe.labels.values()) == ["Relu#0", "Relu#1"]
