"""simplify: what it folds and fuses, what it leaves alone, and that it says so truthfully."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool_passes.simplify import Simplify, SimplifyOptions
from tests.graph.building import linear, model
from tests.passes_structural.conftest import Applying

SIMPLIFY = Simplify(SimplifyOptions())
RANDOM = np.random.default_rng(0)


def _weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: RANDOM.random(shape, dtype=np.float32) + 0.1 for name, shape in shapes.items()}


def _operators(path: object) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("constants", ["initializers", "nodes"])
def test_batch_normalization_is_fused(kind: str, constants: str, applying: Applying, run: object) -> None:
    weights = _weights(w=(3, 3, 2, 2), s=(3,), b=(3,), m=(3,), v=(3,))
    nodes = [
        helper.make_node(kind, ["x", "w"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"], name="norm"),
    ]
    if constants == "nodes":
        made = [
            helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))
            for name, array in weights.items()
        ]
        nodes, weights = made + nodes, {}
    proto = model(nodes, {"x": ["n", 3, 5, 5]}, {"y": ["n", 3, None, None]}, weights)
    result = applying(SIMPLIFY, proto)
    assert _operators(result.model.path) == [kind]
    feeds = {"x": RANDOM.random((2, 3, 5, 5), dtype=np.float32)}
    before = run(next(applying.folder.glob("*.onnx")), feeds)["y"]  # type: ignore[operator]
    np.testing.assert_allclose(run(result.model.path, feeds)["y"], before, rtol=1e-5)  # type: ignore[operator]


def test_constants_fold_and_the_dead_go(applying: Applying) -> None:
    nodes = [
        helper.make_node("Shape", ["w"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["four"]),
        helper.make_node("Cast", ["four"], ["scale"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Exp", ["x"], ["nobody"]),
        helper.make_node("Mul", ["same", "scale"], ["y"], name="scaling"),
    ]
    result = applying(SIMPLIFY, model(nodes, weights={"w": np.ones((4, 2), np.float32), "zero": np.array(0)}))
    assert _operators(result.model.path) == ["Mul"]
    assert result.facts == {"nodes_before": 6, "nodes_after": 1}


def test_a_tidy_model_is_not_touched(applying: Applying) -> None:
    result = applying(SIMPLIFY, linear())
    assert not result.changed


def test_twice_is_once(applying: Applying) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["i"]), helper.make_node("Relu", ["i"], ["y"])]
    once = applying(SIMPLIFY, model(nodes))
    assert once.changed
    assert not applying(SIMPLIFY, once.model.path).changed


def test_folding_does_not_blow_the_model_up(applying: Applying) -> None:
    """A megabyte of equal numbers stays the eight bytes that say so."""
    nodes = [
        helper.make_node("Expand", ["one", "large"], ["many"], name="expand"),
        helper.make_node("MatMul", ["x", "many"], ["y"], name="product"),
    ]
    weights = {"one": np.ones(1, np.float32), "large": np.array([4, 200_000])}
    result = applying(SIMPLIFY, model(nodes, outputs={"y": ["batch", 200_000]}, weights=weights))
    assert result.model.path.stat().st_size < 5000


def test_metadata_quantization_and_signature_are_kept(applying: Applying) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("QuantizeLinear", ["i", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["w"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    weights = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "wq": np.ones((4, 4), np.int8)}
    proto = model(nodes, outputs={"y": ["n", "m"]}, weights=weights)
    prop = proto.metadata_props.add()
    prop.key, prop.value = "edgetool.scales", '{"y": 1}'
    result = applying(SIMPLIFY, proto)
    saved = onnx.load(result.model.path)
    assert {p.key: p.value for p in saved.metadata_props} == {"edgetool.scales": '{"y": 1}'}
    assert sorted(_operators(result.model.path)) == ["DequantizeLinear", "DequantizeLinear", "MatMul", "QuantizeLinear"]
    assert result.model.signature.outputs[0].shape == ("n", "m")
    assert b"onnxscript" not in result.model.path.read_bytes(), "the optimizer's notes about itself"


def test_random_numbers_are_not_frozen(applying: Applying) -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["r"], shape=[1, 4], name="dice"),
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Add", ["i", "r"], ["y"]),
    ]
    assert "RandomNormal" in _operators(applying(SIMPLIFY, model(nodes)).model.path)


def _choice(
    condition: list[onnx.NodeProto], weights: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
) -> onnx.ModelProto:
    def branch(op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op_type}_out", TensorProto.FLOAT, None)
        nodes = [
            helper.make_node("Identity", ["x"], [f"{op_type}_in"]),
            helper.make_node(op_type, [f"{op_type}_in"], [f"{op_type}_out"]),
        ]
        return helper.make_graph(nodes, op_type, [], [out])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))
    return model([*condition, node], weights=weights)


def test_a_branch_that_is_always_taken_is_inlined(applying: Applying) -> None:
    result = applying(SIMPLIFY, _choice([], {"c": np.array(False)}))
    assert _operators(result.model.path) == ["Neg"]


def test_a_true_choice_stays_and_is_simplified_inside(applying: Applying, run: object) -> None:
    condition = [
        helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0),
        helper.make_node("Cast", ["peak"], ["c"], to=TensorProto.BOOL),
    ]
    result = applying(SIMPLIFY, _choice(condition, {}))
    assert result.facts == {"nodes_before": 7, "nodes_after": 5}
    for x, expected in (([[0.0, -1, -2, -3]], [[0.0, 1, 2, 3]]), ([[1.0, -1, -2, -3]], [[1.0, 0, 0, 0]])):
        feeds = {"x": np.array(x, np.float32)}
        np.testing.assert_array_equal(run(result.model.path, feeds)["y"], expected)  # type: ignore[operator]


def test_what_the_optimizer_cannot_handle_passes_with_a_note(
    applying: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer fails inside a pass of its own; there is no known model that makes it."""
    import onnx_ir.passes
    import onnxscript.optimizer

    def fail(*_: object, **__: object) -> None:
        raise onnx_ir.passes.PassError("folding") from ZeroDivisionError("a node\nmakes no sense")

    monkeypatch.setattr(onnxscript.optimizer, "optimize_ir", fail)
    result = applying(SIMPLIFY, linear())
    assert not result.changed
    assert applying.notes == ["simplify left the model as it is: a node makes no sense"]
