"""Who lost the accuracy, and where: told at the checks that failed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.blame.findings import Blame, LayerBlame, LayerError
from edgetool.blame.steps import Effort, blame_export
from edgetool.blame.unlike import Unlike
from edgetool.engine.prepare import ModelState, Prepared
from edgetool.errors import ConfigError
from edgetool.report.diagnosis import diagnosed, export_check, needs_blame
from edgetool.report.document import Check, PassRow, Report
from edgetool.signature import Signature, TensorSpec
from edgetool.validate.budgets import Verdict
from edgetool.validate.comparison import Score
from tests.report.conftest import COMPARISON

Make = Callable[..., Report]

LOST = Verdict("max_drop", "missed", 0.01, 0.025, "share")
INACCURATE = Verdict("min_metric", "missed", 0.95, 0.875, "share")
QUANTIZED = PassRow("quantize-static", {}, True, {})


def layer(name: str, alone: float, output: float | None = None, **changed: Any) -> LayerBlame:
    error = LayerError(alone, None, alone, output, 0.9)
    row = LayerBlame(name, "Conv", f"{name}.out", error, "both", f'exclude = ["{name}"] keeps it float')
    return replace(row, **changed)


FOUND = Blame((layer("late", 30.0, 28.0), layer("early", 40.0, 39.0)), 8, 30.0, 0)


def message(report: Report, name: str) -> tuple[str, str]:
    check = next(check for check in report.checks if check.id == name)
    return check.message, check.fix or ""


def test_layers_are_named_at_the_budget_that_was_missed(make_report: Make) -> None:
    report = replace(make_report(verdicts=(LOST,)), passes=(QUANTIZED,))
    assert needs_blame(report)
    found = diagnosed(report, FOUND)
    said, fix = message(found, "budget/max_drop")
    assert "the most is lost at late (28.0 dB), early (39.0 dB)" in said
    assert fix == 'exclude = ["late", "early"] keeps them float'
    assert found.blame is FOUND
    assert [check.nodes for check in found.checks if check.outcome == "passed"] == [()]


def test_a_special_cure_comes_first(make_report: Make) -> None:
    rows = (layer("a", 20.0, fix="outliers of its input set the range: raise `smoothing`"), layer("b", 30.0))
    report = replace(make_report(verdicts=(LOST,)), passes=(QUANTIZED,))
    _, fix = message(diagnosed(report, replace(FOUND, layers=rows)), "budget/max_drop")
    assert fix == 'a: outliers of its input set the range: raise `smoothing`; exclude = ["a", "b"] keeps them float'


def test_the_network_is_to_blame_where_the_reference_misses_as_well(make_report: Make) -> None:
    near = replace(make_report(replace(COMPARISON, score=Score("top1", 0.951, 0.949)), verdicts=(INACCURATE,)),
                   passes=(QUANTIZED,))  # fmt: skip
    assert needs_blame(near), "the reference itself holds the limit"
    comparison = replace(COMPARISON, score=Score("top1", 0.876, 0.875))
    report = replace(make_report(comparison, verdicts=(INACCURATE,)), passes=(QUANTIZED,))
    assert not needs_blame(report)
    said, fix = message(diagnosed(report, None), "budget/min_metric")
    assert "the float reference has 0.876 itself" in said
    assert "edgetool validate --reference FILE" in fix
    wrong = export_check(
        replace(FOUND, layers=(layer("c", 3.0, cause="export", fix="pads is 0"),)), against="good.onnx"
    )
    both = replace(report, checks=(wrong, *report.checks))
    assert message(diagnosed(both, None), "budget/min_metric")[1] == wrong.fix
    right = replace(wrong, outcome="passed")
    both = replace(report, checks=(right, *report.checks))
    assert "look at the samples and labels" in message(diagnosed(both, None), "budget/min_metric")[1]


def test_the_runtime_is_to_blame_where_the_passes_kept_more_than_it(make_report: Make) -> None:
    report = replace(make_report(verdicts=(LOST,)), passes=(QUANTIZED,), precision="bfloat16")
    said, fix = message(diagnosed(report, replace(FOUND, outputs_db=80.0)), "budget/max_drop")
    assert "its passes keep 80.0 dB, so the runtime loses the rest" in said
    assert "the runtime computes in bfloat16" in fix
    said, _ = message(diagnosed(replace(report, passes=()), None), "budget/max_drop")
    assert said.endswith("no pass changed the network, and the runtime computes in bfloat16")


def test_without_a_search_the_command_is_named_and_why_there_was_none(make_report: Make) -> None:
    report = replace(make_report(verdicts=(LOST,)), passes=(QUANTIZED,))
    assert "edgetool blame --target" in message(diagnosed(report, None), "budget/max_drop")[1]
    _, fix = message(diagnosed(report, None, why_not="no kernel for it"), "budget/max_drop")
    assert fix.startswith("quantize-static alone changed it: leave it out")
    assert fix.endswith("no kernel for it")
    found = diagnosed(report, replace(FOUND, layers=FOUND.layers[:1]))
    assert found.blame is None
    assert message(found, "budget/max_drop")[1].endswith("the passes left no inner tensor of the network as it was")


@pytest.mark.parametrize("outcome", ["known", "passed", "unverified"])
def test_what_did_not_fail_is_left_alone(outcome: Any, make_report: Make) -> None:
    report = make_report(verdicts=())
    report = replace(report, checks=(Check("budget/max_drop", "budget", outcome, "2 %"),), passes=(QUANTIZED,))
    assert diagnosed(report, FOUND) is report
    assert not needs_blame(report)


def test_precisions_of_a_backend_are_explained(make_report: Make) -> None:
    from edgetool.bundle.manifest import StepRecord

    step = StepRecord("openvino", {"inference_precision": "bf16", "device": "CPU"})
    _, fix = message(make_report(verdicts=(LOST,), backend=step), "budget/max_drop")
    assert '.openvino] inference_precision = "bf16" computes in bfloat16' in fix
    assert 'inference_precision = "f32"' in fix
    step = StepRecord("openvino", {"inference_precision": "f32"})
    assert message(make_report(verdicts=(LOST,), backend=step), "budget/max_drop")[1] == ""


def test_exports_that_are_equal_differ_and_cannot_be_compared() -> None:
    assert export_check(replace(FOUND, layers=(), outputs_db=120.0), against="good.onnx").outcome == "passed"
    unnamed = export_check(replace(FOUND, layers=()), against="good.onnx")
    assert unnamed.outcome == "failed"
    assert "no inner tensor of one name" in unnamed.message
    rows = tuple(layer(name, 3.0, cause="export", fix=f"{name} differs") for name in ("first", "second"))
    both = export_check(replace(FOUND, layers=rows), against="good.onnx")
    assert "the error begins at first (Conv): first differs; 1 more nodes" in both.message
    assert both.nodes == ("first", "second")


def test_a_reference_with_other_inputs_is_refused(tmp_path: Path) -> None:
    def prepared(name: str) -> Prepared:
        signature = Signature((TensorSpec(name, "float32", (1, 3)),), (TensorSpec("y", "float32", (1, 3)),), {})
        state = ModelState(tmp_path / "model.onnx", signature, "ab" * 32)
        return Prepared(state, state, (), {}, "ab" * 32, None)

    plan: Any = SimpleNamespace(source=SimpleNamespace(text="model.onnx"))
    nothing: Any = None
    with pytest.raises(ConfigError, match=r"has the inputs image .*, and model.onnx has x") as caught:
        blame_export(plan, prepared("image").reference, prepared("x"), nothing, Effort(1, 1, 1))
    assert caught.value.code == "reference-of-others"


W = np.arange(9, dtype=np.float32).reshape(3, 3)


def network(
    op: str = "Gemm", *, weight: np.ndarray | None = W, bias: bool = True, **attributes: Any
) -> onnx.ModelProto:
    weights = {"w": weight, "b": np.ones(3, np.float32)} if weight is not None else {"b": np.ones(3, np.float32)}
    node = helper.make_node(op, ["x", "w", *(["b"] if bias else [])], ["y"], name="n", **attributes)
    nodes = [node] if weight is not None else [helper.make_node("Neg", ["x"], ["w"]), node]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        pytest.param(network(), None, id="same"),
        pytest.param(network(alpha=1.0, transB=0), None, id="defaults-written-down"),
        pytest.param(network(weight=W * np.float32(1 + 1e-7)), None, id="rounded"),
        pytest.param(network(transB=1), "transB is 1, in the reference 0", id="attribute"),
        pytest.param(network(weight=W.T.copy()), "B is the reference's, transposed", id="transposed"),
        pytest.param(network(weight=W * 0), "B is all zero", id="zero"),
        pytest.param(network(weight=W * 2), "B has other values: they differ by up to 8, where the largest is 8",
                     id="values"),
        pytest.param(network(weight=W[:2]), "B has the shape [2, 3], in the reference [3, 3]", id="shape"),
        pytest.param(network(bias=False), "it has no C, which the reference has", id="dropped"),
        pytest.param(network("MatMul", bias=False), "MatMul where the reference has Gemm", id="operator"),
        pytest.param(network(weight=None), "B is computed here and not in the reference", id="computed"),
    ],
)  # fmt: skip
def test_what_a_node_does_otherwise(other: onnx.ModelProto, told: str | None) -> None:
    assert Unlike(network(), other).told("y") == told
