"""The static rules beside TensorRT-RTX's own parser: what it accepts is not refused without a reason of ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import helper

import edgetool_tensorrt.check.judge
from edgetool.artifact import Model
from edgetool.errors import EdgetoolError
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool.testing import ALL_MODELS, MakeModel
from edgetool_tensorrt.check.parser import Opinion
from tests.tensorrt.checking import FLOAT, judge, make, told

pytest.importorskip("tensorrt_rtx")

FACTS = {"sm": 120, "max_opset": 99}


@pytest.mark.parametrize("make_model", ALL_MODELS, ids=lambda one: one.__name__)
def test_every_tiny_model_is_accepted(tmp_path: Path, make_model: MakeModel) -> None:
    support = judge(make_model(tmp_path), kind="rtx", version="1.7.1", facts={"sm": 86})
    assert support.accepted and not support.off_accelerator
    assert {row.reason for row in support.placements} == {"parser accepts"}


def test_what_only_the_parser_knows_is_called_its_opinion(tmp_path: Path) -> None:
    """Celu in float16 is documented to be read, and is not."""
    nodes = [helper.make_node("Celu", ["h"], ["y"], "celu")]
    half = onnx.TensorProto.FLOAT16
    model = make(tmp_path / "m.onnx", nodes, {"h": (half, (2, 4))}, {"y": (half, (2, 4))}, opset=28)
    support = judge(model, kind="rtx", version="1.7.1", facts=FACTS)
    problem = told(support, "the parser of TensorRT-RTX 1.7.1")
    assert "does not accept it" in problem.reason
    assert problem.nodes == ("celu",)
    assert "will build" not in str(support)


def test_a_node_is_blamed_once_and_by_us(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["d"], "det"), helper.make_node("Relu", ["d"], ["y"], "relu")]
    model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (2, 2))}, {"y": (FLOAT, ())})
    (problem,) = judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).problems
    assert problem.reason == "TensorRT-RTX reads no Det"


def test_the_parser_is_not_asked_for_a_board(tmp_path: Path) -> None:
    """It refuses DeformConv and NonZero, which TensorRT takes."""
    nodes = [helper.make_node("NonZero", ["x"], ["y"], "nonzero")]
    model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (2, 2))}, {"y": (onnx.TensorProto.INT64, (2, "n"))})
    assert judge(model).accepted
    assert not judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).accepted


REASONS = (
    "float64",  # replaced by float32 without a word
    "`layout` 1 is read as 0",  # likewise
    "NonMaxSuppression",  # parsed, and has no kernel
    "quantized to uint8",  # read as int8
    "a zero point is computed",  # an input of the test
    "does not compute in uint8",  # Equal happens to pass
    "decides shapes or axes",  # the parser takes some; their values would need a range
)
"""Why we refuse what the parser accepts."""


@pytest.mark.slow
def test_onnx_own_node_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 1,400 models of one node each, judged by our rules alone and by the parser."""
    from onnx.backend.test.case.node import collect_testcases

    from edgetool_tensorrt.rtx.parser import verdict

    monkeypatch.setattr(edgetool_tensorrt.check.judge, "ask_parser", lambda subject, *, blamed: Opinion())
    counts: Counter[tuple[bool, bool]] = Counter()
    for case in collect_testcases(None):
        model = _model(case.model, tmp_path / "case.onnx")
        if model is None:
            continue
        ours = judge(model, kind="rtx", version="1.7.1", facts=FACTS)
        theirs = verdict(model).accepted
        counts[ours.accepted, theirs] += 1
        if theirs and not ours.accepted:
            refusals = [problem.reason for problem in ours.problems if problem.severity == "refuse"]
            assert all(any(known in reason for known in REASONS) for reason in refusals), (case.name, refusals)
    assert counts[True, True] > 500
    assert counts[False, False] > 600
    assert counts[True, False] < 0.03 * counts.total()  # only the parser knows


def _model(proto: onnx.ModelProto | None, path: Path) -> Model | None:
    """A model that edgetool reads, all of its open sizes declared; None for another."""
    if proto is None or len(proto.graph.node) != 1 or proto.functions:
        return None
    onnx.save(proto, path)
    try:
        model = read_model(path)
    except EdgetoolError:
        return None
    dims = dict.fromkeys(model.signature.symbols, DimRange(1, 1, 1))
    return replace(model, signature=replace(model.signature, dims=dims))
