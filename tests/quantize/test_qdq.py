"""edgetool.qdq: editing graphs, proving signs, finding and changing pairs, carrying ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from edgetool.errors import ModelError
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import activation_pairs, use_full_range
from edgetool.qdq.ranges import RANGES_KEY, Range, read_ranges, write_ranges
from edgetool.qdq.sign import nonnegative_tensors


def _graph(text: str, **stored: np.ndarray) -> onnx.GraphProto:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    return model.graph


def test_editor_puts_nodes_where_they_can_run_and_keeps_their_identity() -> None:
    graph = _graph("g (float[2] x) => (float[2] y) { a = Relu(x) y = Neg(a) }")
    held = graph.node[1]
    editor = GraphEditor(graph)
    doubled = editor.node("Add", ("a", "a"), "a")
    editor.redirect(held, 0, doubled)
    editor.commit()
    assert [node.op_type for node in graph.node] == ["Relu", "Add", "Neg"]
    assert doubled == "a_2", "a name that is taken must not be given again"
    held.op_type = "Abs"
    assert graph.node[2].op_type == "Abs", "a node that was held before the commit is still the graph's"


def test_editor_drops_what_lost_its_last_reader_and_only_that() -> None:
    graph = _graph(
        "g (float[2] x) => (float[2] y, float[2] z) { w = Neg(c) a = Add(x, w) y = Add(a, d) z = Relu(d) }",
        c=np.ones(2, np.float32), d=np.ones(2, np.float32), e=np.ones(2, np.float32),
    )  # fmt: skip
    editor = GraphEditor(graph)
    editor.redirect(graph.node[1], 1, "e")
    editor.redirect(graph.node[2], 1, "e")
    editor.commit()
    assert "Neg" not in [node.op_type for node in graph.node], "nobody reads w any more"
    assert {tensor.name for tensor in graph.initializer} == {"d", "e"}, "d is still read by z"


def test_editor_sees_what_a_branch_reads() -> None:
    """A constant that only a subgraph reads is no orphan."""
    then = helper.make_graph([helper.make_node("Neg", ["c"], ["t"])], "then", [], [_float("t")])
    other = helper.make_graph([helper.make_node("Abs", ["c"], ["o"])], "else", [], [_float("o")])
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], "add"),
        helper.make_node("If", ["flag"], ["y"], "if", then_branch=then, else_branch=other),
    ]
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])
    stored = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in "cd"]
    graph = helper.make_graph(nodes, "g", [_float("x"), flag], [_float("y"), _float("a")], stored)
    editor = GraphEditor(graph)
    editor.redirect(graph.node[0], 1, "d")
    editor.commit()
    assert {tensor.name for tensor in graph.initializer} == {"c", "d"}


def _float(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Relu(x)", True),
        ("a = Sigmoid(x) y = Flatten(a)", True),
        ("y = Clip(x, zero, six)", True),
        ("y = Clip(x, minus, six)", False),
        ("a = Relu(x) y = Clip(a, minus, six)", True),
        ("y = LeakyRelu(x)", False),
        ("a = Relu(x) y = Add(a, x)", False),
        ("a = Relu(x) y = Add(a, six)", True),
        ("a = Relu(x) y = Mul(a, minus)", False),
        ("a = Relu(x) y = Sub(a, six)", False),
        ("a = Relu(x) y = Max(a, x)", True),
        ("y = Identity(x)", False),
        ("q = QuantizeLinear(x, six, bottom) y = DequantizeLinear(q, six, bottom)", True),
        ("q = QuantizeLinear(x, six, middle) y = DequantizeLinear(q, six, middle)", False),
    ],
)
def test_sign_is_proven_not_guessed(body: str, expected: bool) -> None:
    constants = {"zero": 0.0, "six": 6.0, "minus": -1.0}
    graph = _graph(
        f"g (float[2, 2] x) => (float[2, 2] y) {{ {body} }}",
        **{name: np.array(value, np.float32) for name, value in constants.items()},
        bottom=np.array(-128, np.int8),
        middle=np.array(128, np.uint8),
    )
    assert ("y" in nonnegative_tensors(graph)) is expected


_PAIR = """g (float[4] x) => (float[4] y) {
    a = Relu(x)
    q = QuantizeLinear(a, s, z)
    d = DequantizeLinear(q, s, z)
    y = Neg(d)
}"""


def test_full_range_keeps_the_range_and_halves_the_step() -> None:
    graph = _graph(_PAIR, s=np.float32(2 / 127), z=np.int8(0))
    assert use_full_range(graph, "uint8") == 1
    (pair,) = activation_pairs(graph)
    assert pair.zero_point.dtype == np.uint8
    assert pair.zero_point == 0
    assert pair.scale * 255 == pytest.approx(2)
    assert len(graph.initializer) == 2, "the old scale and zero point are gone"
    assert use_full_range(graph, "uint8") == 0, "nothing is left to do"


def test_full_range_leaves_signed_and_asymmetric_tensors_alone() -> None:
    signed = _graph(_PAIR.replace("Relu(x)", "Tanh(x)"), s=np.float32(1), z=np.int8(0))
    asymmetric = _graph(_PAIR, s=np.float32(1), z=np.int8(-100))
    for graph in (signed, asymmetric):
        before = graph.SerializeToString()
        assert use_full_range(graph, "uint8") == 0
        assert graph.SerializeToString() == before


@pytest.mark.parametrize("spoiled", ["read-as-integers", "another-scale", "graph-output"])
def test_what_is_no_closed_pair_is_not_touched(spoiled: str) -> None:
    text = {
        "read-as-integers": _PAIR.replace("y = Neg(d)", "i = Cast<to = 1>(q) y = Add(d, i)"),
        "another-scale": _PAIR.replace("DequantizeLinear(q, s, z)", "DequantizeLinear(q, t, z)"),
        "graph-output": _PAIR.replace("(float[4] y)", "(float[4] y, int8[4] q)"),
    }[spoiled]
    graph = _graph(text, s=np.float32(1), t=np.float32(2), z=np.int8(0))
    assert activation_pairs(graph) == ()


def test_ranges_survive_the_file(tmp_path: Path) -> None:
    model = parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Neg(x) }')
    write_ranges(model, {"b": Range(0, 6), "a": Range(-1.23456789, 2)})
    write_ranges(model, {"b": Range(0, 6), "a": Range(-1.23456789, 2)})
    assert [entry.key for entry in model.metadata_props] == [RANGES_KEY], "written twice, recorded once"
    onnx.save(model, tmp_path / "m.onnx")
    assert read_ranges(onnx.load(tmp_path / "m.onnx")) == {"a": Range(-1.23457, 2.0), "b": Range(0.0, 6.0)}


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 3}', '{"a": [1, 2]}', '{"a": [null, 1]}'])
def test_damaged_ranges_are_an_error_not_an_omission(text: str) -> None:
    model = onnx.ModelProto()
    model.metadata_props.add(key=RANGES_KEY, value=text)
    with pytest.raises(ModelError) as caught:
        read_ranges(model)
    assert caught.value.code == "damaged-ranges"


def test_index_tells_constants_from_computed() -> None:
    graph = _graph("g (float[2] x) => (float[2] y) { k = Constant<value_float = 1.0>() y = Add(x, c) }", c=np.ones(2))
    index = GraphIndex(graph)
    assert index.constant("c") is not None
    assert index.constant("x") is None
    assert index.only_reader("x") is graph.node[1] or index.only_reader("x") == graph.node[1]
    assert index.only_reader("y") is None, "a graph output is read by the outside world"
