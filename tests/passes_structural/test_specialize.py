"""specialize: fixed sizes and settings go through the whole graph, and what hung on them is folded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import ModelError
from edgetool_passes.specialize import Specialize, SpecializeOptions
from tests.graph.building import linear, model, written
from tests.passes_structural.conftest import Applying


def _specialize(dims: dict[str, int] | None = None, **inputs: bool | int | float) -> Specialize:
    return Specialize(SpecializeOptions(dims=dims or {}, inputs=inputs))


def _rate_model() -> onnx.ModelProto:
    """An If on a scalar input, as speech models choose their sampling rate."""

    def branch(name: str, op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op_type, ["x"], [name])], name, [], [out])

    nodes = [
        helper.make_node("Equal", ["rate", "sixteen"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg")),
    ]
    proto = model(
        nodes, {"x": ["batch", "length"], "rate": []}, {"y": ["batch", "length"]}, {"sixteen": np.array(16000)}
    )
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    return proto


@pytest.mark.parametrize(("rate", "left"), [(16000, "Relu"), (8000, "Neg")])
def test_the_branch_of_a_fixed_setting_is_all_that_stays(rate: int, left: str, applying: Applying) -> None:
    result = applying(_specialize({"batch": 1}, rate=rate), _rate_model())
    assert [node.op_type for node in onnx.load(result.model.path).graph.node] == [left]
    assert [str(spec) for spec in result.model.signature.inputs] == ["x: float32[1, length]"]
    assert result.facts["fixed_inputs"] == {"rate": rate}
    assert result.facts["control_flow_left"] == []
    assert (result.facts["subgraphs_before"], result.facts["subgraphs_after"]) == (2, 0)


def test_control_flow_that_stays_is_told(applying: Applying) -> None:
    result = applying(_specialize({"batch": 1, "length": 3}), _rate_model())
    assert result.facts["control_flow_left"] == ["If"]
    assert "If" in applying.notes[0]


def test_sizes_reach_outputs_and_computed_shapes(applying: Applying) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["count"], keepdims=1),
        helper.make_node("Reshape", ["x", "count"], ["y"]),
    ]
    proto = model(nodes, {"x": ["batch", 4]}, {"y": ["all"]})
    result = applying(_specialize({"batch": 3}), proto)
    assert result.model.signature.outputs[0].shape == (12,)
    assert not result.model.signature.is_dynamic
    assert [node.op_type for node in onnx.load(result.model.path).graph.node] == ["Reshape"]


def test_nameless_axes_go_by_the_names_that_the_signature_gave_them(applying: Applying) -> None:
    proto = linear(inputs={"x": [None, 4]}, outputs={"y": [None, 4]})
    result = applying(_specialize({"x_dim0": 2}), proto)
    assert result.model.signature.inputs[0].shape == (2, 4)
    assert result.model.signature.outputs[0].shape == (2, 4)


@pytest.mark.parametrize(
    ("subject", "reason", "fix"),
    [
        (_specialize(), "nothing to fix", "set"),
        (_specialize({"bach": 1}), "no input has a dimension 'bach'", "'batch'"),
        (_specialize({"batch": 0}), "cannot be 0", "1 or more"),
        (_specialize(rat=1), "no input 'rat'", "'rate'"),
        (_specialize(rate=1.5), "wants int64", None),
        (_specialize(rate=True), "wants int64", None),
        (_specialize(x=1.0), "not fixed", None),
    ],
)
def test_refusals(subject: Specialize, reason: str, fix: str | None, tmp_path: object) -> None:
    read = graph.read_model(written(_rate_model(), tmp_path / "m.onnx"))  # type: ignore[operator]
    (problem,) = subject.check(read)
    assert problem.severity == "refuse"
    assert reason in problem.reason
    assert fix is None or fix in (problem.fix or "")


def test_a_tensor_input_is_filled_once_its_dimensions_are_fixed(applying: Applying, run: object) -> None:
    proto = model([helper.make_node("Add", ["x", "h"], ["y"])], {"x": ["n", 4], "h": ["n", 4]}, {"y": ["n", 4]})
    result = applying(_specialize({"n": 2}, h=0.5), proto)
    assert [spec.name for spec in result.model.signature.inputs] == ["x"]
    y = run(result.model.path, {"x": np.ones((2, 4), np.float32)})["y"]  # type: ignore[operator]
    np.testing.assert_array_equal(y, np.full((2, 4), 1.5))


def test_sizes_that_contradict_the_graph(applying: Applying) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Reshape", ["four", "s"], ["f"], name="clash"),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    proto = model(nodes, {"x": ["n", 2]}, {"y": ["n", 2]}, {"four": np.ones(4, np.float32)})
    try:
        result = applying(_specialize({"n": 3}), proto)
    except ModelError as error:
        assert error.code == "cannot-specialize"
    else:
        assert result.model.signature.inputs[0].shape == (3, 2)  # left for the reference to refuse
