"""Recurrent layers in 16 bits: the rule says beforehand what TensorRT-RTX's parser says in its own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.artifact import Model
from edgetool.graph import read_model
from tests.tensorrt.checking import judge, told

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
FORMS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
REFUSED = {
    ("GRU", "float16", True),
    ("GRU", "bfloat16", False),
    ("GRU", "bfloat16", True),
    ("LSTM", "float16", True),
    ("LSTM", "bfloat16", True),
    ("RNN", "float16", True),
}
ASKED = sorted(REFUSED | {(op_type, form, False) for op_type in GATES for form in FORMS} | {("LSTM", "float32", True)})


def recurrent(path: Path, op_type: str, form: str, *, lengths: bool) -> Model:
    kind, rows = FORMS[form], 8 * GATES[op_type]
    stored = [
        helper.make_tensor(name, kind, shape, np.full(shape, 0.125).ravel())
        for name, shape in (("w", (1, rows, 4)), ("r", (1, rows, 8)), ("b", (1, 2 * rows)))
    ]
    ends = [helper.make_tensor_value_info("x", kind, (5, 2, 4)), helper.make_tensor_value_info("y", kind, (5, 1, 2, 8))]
    inputs = [ends[0], *([helper.make_tensor_value_info("n", TensorProto.INT32, (2,))] if lengths else [])]
    names = ["x", "w", "r", "b", *(["n"] if lengths else [])]
    node = helper.make_node(op_type, names, ["y"], "memory", hidden_size=8)
    graph = helper.make_graph([node], "g", inputs, ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10), path)
    return read_model(path)


@pytest.mark.parametrize(("op_type", "form", "lengths"), ASKED)
def test_rule_and_parser_agree(tmp_path: Path, op_type: str, form: str, lengths: bool) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgetool_tensorrt.rtx.parser import verdict

    model = recurrent(tmp_path / "model.onnx", op_type, form, lengths=lengths)
    wanted = (op_type, form, lengths) not in REFUSED
    assert verdict(model).accepted == wanted
    assert judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).accepted == wanted


@pytest.mark.parametrize(("op_type", "form", "lengths"), sorted(REFUSED))
def test_a_refusal_names_the_layer_and_the_pass_that_spares_it(
    tmp_path: Path, op_type: str, form: str, lengths: bool
) -> None:
    model = recurrent(tmp_path / "model.onnx", op_type, form, lengths=lengths)
    problem = told(judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}), f"reads no {op_type}")
    assert problem.nodes == ("memory",)
    assert f'keep = ["{op_type}"]' in str(problem.fix)
    assert ("cast-fp16" if form == "float16" else "cast-bf16") in str(problem.fix)


def test_tensorrt_is_not_told_of_what_was_asked_of_tensorrt_rtx(tmp_path: Path) -> None:
    model = recurrent(tmp_path / "model.onnx", "GRU", "bfloat16", lengths=True)
    assert judge(model, version="10.7", facts={"sm": 87, "max_opset": 25}).accepted
