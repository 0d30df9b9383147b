"""Loops that never end are refused; all that may end are not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

from edgetool import graph
from edgetool.errors import ModelError

LOOP = """
<ir_version: 9, opset_import: ["" : 18]>
looped (float[4] x, bool asked) => (float[4] y) {{
    trips = Constant <value = int64 {{3}}> ()
    yes = Constant <value = bool {{1}}> ()
    no = Constant <value = bool {{0}}> ()
    y = Loop ({trips}, {condition}, x) <body = each (int64 step, bool still, float[4] sum)
        => (bool on, float[4] next) {{
        true_ = Constant <value = bool {{1}}> ()
        limit = Constant <value = int64 {{3}}> ()
        less = Less (step, limit)
        kept = Identity ({carried})
        on = Identity (kept)
        next = Add (sum, sum)
    }}>
}}
"""


def _written(trips: str, condition: str, carried: str, folder: Path) -> Path:
    path = folder / "m.onnx"
    onnx.save(parser.parse_model(LOOP.format(trips=trips, condition=condition, carried=carried)), path)
    return path


@pytest.mark.parametrize(
    ("condition", "carried"), [("yes", "still"), ("asked", "still"), ("asked", "true_"), ('""', "less")]
)
def test_a_loop_that_never_ends(condition: str, carried: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        graph.load(_written('""', condition, carried, tmp_path))
    assert error.value.code == "invalid-model"
    assert "never ends" in error.value.message


@pytest.mark.parametrize(
    ("trips", "condition", "carried"),
    [("trips", "yes", "still"), ("trips", '""', "true_"), ('""', "yes", "less"), ('""', "no", "still")],
)
def test_loops_that_may_end(trips: str, condition: str, carried: str, tmp_path: Path) -> None:
    graph.load(_written(trips, condition, carried, tmp_path))


def test_operators_in_functions_are_known(tmp_path: Path) -> None:
    model = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["" : 18, "own" : 1]>
        calling (float[4] x) => (float[4] y) { y = own.outer (x) }
        <domain: "own", opset_import: ["" : 18]>
        outer (a) => (b) { b = Relu (a) }
        """
    )
    model.functions[0].node[0].domain = "elsewhere"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError) as error:
        graph.inspect(tmp_path / "m.onnx")
    assert error.value.code == "unknown-operator"
    assert "function outer" in str(error.value.where)
