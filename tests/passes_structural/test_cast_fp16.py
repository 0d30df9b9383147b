"""cast-fp16: what becomes float16, what stays and why, and that the numbers hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool_passes.cast_fp16 import CastFp16, CastFp16Options
from tests.graph.building import linear, model
from tests.passes_structural.conftest import Applying, Feed

Run = Callable[[Path, Feed], dict[str, np.ndarray[Any, Any]]]
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3, 4), dtype=np.float32)


def _cast(**options: Any) -> CastFp16:
    return CastFp16(CastFp16Options(**options))


def _kept(facts: Mapping[str, Any]) -> dict[str, str]:
    """Node to reason."""
    return {node: reason for reason, nodes in facts["kept"].items() for node in nodes}


def _dtypes(path: Path) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


def test_weights_halve_and_inputs_stay(applying: Applying, run: Run) -> None:
    result = applying(_cast(), linear(RANDOM.standard_normal((4, 4), dtype=np.float32)))
    assert result.facts["half_nodes"] == 2
    assert result.facts["casts"] == 2
    assert _dtypes(result.model.path) == {"w": TensorProto.FLOAT16}
    assert result.model.signature.inputs[0].dtype == "float32"
    assert result.model.signature.outputs[0].dtype == "float32"
    before = run(next(applying.folder.glob("*.onnx")), {"x": X})["y"]
    np.testing.assert_allclose(run(result.model.path, {"x": X})["y"], before, atol=0.01)
    assert "overflow was not checked" in applying.notes[0]


def test_float16_at_the_borders_when_asked(applying: Applying, run: Run) -> None:
    result = applying(_cast(keep_io=False), linear())
    assert result.model.signature.inputs[0].dtype == "float16"
    assert result.model.signature.outputs[0].dtype == "float16"
    assert result.facts["casts"] == 0
    y = run(result.model.path, {"x": X.astype(np.float16)})["y"]
    np.testing.assert_array_equal(y, np.maximum(X.astype(np.float16), 0))


def test_nothing_to_cast(applying: Applying) -> None:
    proto = linear()
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    half = numpy_helper.from_array(np.eye(4, dtype=np.float16), "w")
    proto.graph.initializer[0].CopyFrom(half)
    assert not applying(_cast(), proto).changed


def test_twice_is_once(applying: Applying) -> None:
    once = applying(_cast(), linear())
    assert not applying(_cast(), once.model.path).changed


@pytest.mark.parametrize("keep", ["rectify", "Relu"])
def test_the_user_keeps_what_he_names(keep: str, applying: Applying) -> None:
    result = applying(_cast(keep=(keep,)), linear())
    assert _kept(result.facts) == {"rectify": "asked for"}


def test_overflow_on_data_keeps_the_node_and_its_readers(applying: Applying, run: Run) -> None:
    """Squares of 300 do not fit float16; their mean, and its root, do."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"], name="square"),
        helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1], keepdims=1, name="mean"),
        helper.make_node("Sqrt", ["mean"], ["root"], name="root"),
        helper.make_node("Div", ["x", "root"], ["y"], name="norm"),
    ]
    x = np.array([[300.0, 280, -310, 290]], np.float32)
    result = applying(_cast(), model(nodes), [{"x": x}])
    kept = _kept(result.facts)
    assert set(kept) == {"square", "mean", "root"}
    assert "9.61e+04 on calibration data" in kept["square"]
    assert result.facts["overflow_checked_on"] == 1
    assert "too large for float16" in applying.notes[0]
    y = run(result.model.path, {"x": x})["y"]
    np.testing.assert_allclose(y, x / np.sqrt((x**2).mean()), rtol=2e-3)


def test_with_small_data_the_same_graph_is_float16(applying: Applying) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"], name="square"),
        helper.make_node("ReduceMean", ["squares"], ["y"], axes=[1], keepdims=1, name="mean"),
    ]
    proto = model(nodes, outputs={"y": ["batch", 1]})
    assert not _kept(applying(_cast(), proto, [{"x": X}]).facts)
    without = _kept(applying(_cast(), proto).facts)
    assert without["square"] == "may overflow, and no data shows that it does not"


def test_a_large_value_that_is_only_moved_stays_float32_too(applying: Applying, run: Run) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"], name="square"),
        helper.make_node("Transpose", ["squares"], ["turned"], name="turn"),
        helper.make_node("Sqrt", ["turned"], ["y"], name="root"),
    ]
    x = np.full((1, 4), 1000, np.float32)
    result = applying(_cast(), model(nodes, outputs={"y": [4, "batch"]}), [{"x": x}])
    assert not result.changed or set(_kept(result.facts)) == {"square", "turn", "root"}


def test_sums_inside_an_operator_are_watched(applying: Applying) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"], name="pool")]
    proto = model(nodes, {"x": [1, 1, 64, 64]}, {"y": [1, 1, 1, 1]})
    result = applying(_cast(), proto, [{"x": np.full((1, 1, 64, 64), 20, np.float32)}])
    assert _kept(result.facts) == {"pool": "sums 4096 values of up to 20"}


@pytest.mark.parametrize(("value", "fits"), [(1e-12, False), (1e5, False), (0.0, True), (1.0, True)])
def test_constants_out_of_range_keep_their_reader(value: float, fits: bool, applying: Applying) -> None:
    nodes = [helper.make_node("Mul", ["x", "c"], ["m"], name="scale"), helper.make_node("Relu", ["m"], ["y"])]
    result = applying(_cast(), model(nodes, weights={"c": np.array(value, np.float32)}))
    assert ("scale" in _kept(result.facts)) == (not fits)
    assert _dtypes(result.model.path)["c"] == (TensorProto.FLOAT16 if fits else TensorProto.FLOAT)


@pytest.mark.parametrize("fill", [-3.4028235e38, -1e9])
def test_a_mask_stays_finite(fill: float, applying: Applying, run: Run) -> None:
    """(1 - mask) * fill, cast naively, is -inf, and a row without a single token becomes NaN in the softmax."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Sub", ["one", "m"], ["inverse"], name="invert"),
        helper.make_node("Mul", ["inverse", "fill"], ["bias"], name="fill_in"),
        helper.make_node("Add", ["x", "bias"], ["scores"], name="add"),
        helper.make_node("Softmax", ["scores"], ["y"], name="softmax"),
    ]
    weights = {"one": np.array(1, np.float32), "fill": np.array(fill, np.float32)}
    proto = model(nodes, {"x": ["batch", 4], "mask": ["batch", 4]}, weights=weights)
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    feeds = {"x": X, "mask": np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])}
    result = applying(_cast(), proto, [feeds])
    assert result.facts["clamped"] == ["fill"]
    before = run(next(applying.folder.glob("*.onnx")), feeds)["y"]
    after = run(result.model.path, feeds)["y"]
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after[:2], before[:2], atol=2e-3)


def test_positions_stay_float32(applying: Applying, run: Run) -> None:
    """Rotary embeddings: float16 has no integers beyond 2048, and sines of large arguments need them all."""
    nodes = [
        helper.make_node("Cast", ["positions"], ["p"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Unsqueeze", ["p", "last"], ["column"], name="column"),
        helper.make_node("MatMul", ["column", "frequencies"], ["angles"], name="outer"),
        helper.make_node("Sin", ["angles"], ["sines"], name="sine"),
        helper.make_node("Mul", ["x", "sines"], ["y"], name="rotate"),
    ]
    weights = {"last": np.array([1]), "frequencies": np.array([[1, 0.1, 0.01, 0.001]], np.float32)}
    proto = model(nodes, {"x": ["n", 4], "positions": ["n"]}, {"y": ["n", 4]}, weights)
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    result = applying(_cast(), proto)
    assert set(_kept(result.facts)) == {"cast", "column", "outer", "sine"}
    feeds = {"x": X, "positions": np.array([1, 2049, 30001])}
    before = run(next(applying.folder.glob("*.onnx")), feeds)["y"]
    np.testing.assert_allclose(run(result.model.path, feeds)["y"], before, atol=3e-3)


def test_what_leads_to_indices_stays_float32(applying: Applying, run: Run) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["m"], name="scale"),
        helper.make_node("Floor", ["m"], ["f"], name="floor"),
        helper.make_node("Cast", ["f"], ["y"], to=TensorProto.INT64, name="index"),
    ]
    proto = model(nodes, weights={"large": np.array(1000.5, np.float32)})
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert not applying(_cast(), proto).changed


def test_scales_of_resize_stay_float32(applying: Applying, run: Run) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Resize", ["r", "", "scales"], ["y"], name="resize", mode="linear"),
    ]
    proto = model(nodes, {"x": [1, 1, 4, 4]}, {"y": [1, 1, 8, 8]}, {"scales": np.array([1, 1, 2, 2], np.float32)})
    result = applying(_cast(), proto)
    assert not _kept(result.facts)
    assert _dtypes(result.model.path) == {"scales": TensorProto.FLOAT}
    x = RANDOM.random((1, 1, 4, 4), dtype=np.float32)
    before = run(next(applying.folder.glob("*.onnx")), {"x": x})["y"]
    np.testing.assert_allclose(run(result.model.path, {"x": x})["y"], before, atol=2e-3)


@pytest.mark.parametrize("op_type", ["NonMaxSuppression", "Range", "CumSum"])
def test_blocked_operators(op_type: str, applying: Applying) -> None:
    inputs = {
        "NonMaxSuppression": ({"boxes": [1, 5, 4], "scores": [1, 1, 5]}, {}),
        "Range": ({"a": [], "b": [], "c": []}, {}),
        "CumSum": ({"a": [4]}, {"axis": np.array(0)}),
    }[op_type]
    names = [f"{name}_relu" for name in inputs[0]]
    nodes = [helper.make_node("Relu", [name], [f"{name}_relu"]) for name in inputs[0]]
    nodes.append(helper.make_node(op_type, [*names, *inputs[1]], ["y"], name="blocked"))
    shape = {"NonMaxSuppression": [None, 3], "Range": [None], "CumSum": [4]}[op_type]
    proto = model(nodes, inputs[0], {"y": shape}, inputs[1])
    if op_type == "NonMaxSuppression":
        proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert "blocked" in _kept(applying(_cast(), proto).facts)


def test_inside_of_branches_and_across_their_borders(applying: Applying, run: Run) -> None:
    """Weights outside, captured values, casts inside, float32 at the border."""

    def branch(name: str, op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        nodes = [
            helper.make_node("MatMul", ["r", "w"], [f"{name}_m"], name=f"{name}_product"),
            helper.make_node(op_type, [f"{name}_m"], [name], name=f"{name}_last"),
        ]
        return helper.make_graph(nodes, name, [], [out])

    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0, name="peak"),
        helper.make_node("Cast", ["peak"], ["c"], to=TensorProto.BOOL, name="decide"),
        helper.make_node(
            "If", ["c"], ["z"], name="if", then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg")
        ),
        helper.make_node("Abs", ["z"], ["y"], name="abs"),
    ]
    proto = model(nodes, weights={"w": RANDOM.standard_normal((4, 4), dtype=np.float32)})
    result = applying(_cast(), proto, [{"x": X}])
    assert _kept(result.facts) == {"if": "operator has no float16 form in this opset"}
    assert _dtypes(result.model.path) == {"w": TensorProto.FLOAT16}
    for x in (X, np.zeros_like(X)):
        before = run(next(applying.folder.glob("*.onnx")), {"x": x})["y"]
        np.testing.assert_allclose(run(result.model.path, {"x": x})["y"], before, atol=5e-3)


def test_a_loop_carries_float32(applying: Applying, run: Run) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "w"], ["next"], name="step"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["y"], name="loop", body=body)]
    weights = {"w": np.full((4, 4), 0.25, np.float32), "trips": np.array(3)}
    proto = model(nodes, weights=weights)
    result = applying(_cast(), proto, [{"x": X}])
    assert result.facts["half_nodes"] == 1
    before = run(next(applying.folder.glob("*.onnx")), {"x": X})["y"]
    np.testing.assert_allclose(run(result.model.path, {"x": X})["y"], before, atol=5e-3)


def test_a_weight_read_in_both_precisions_is_there_twice(applying: Applying, run: Run) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="half"),
        helper.make_node("MatMul", ["a", "w"], ["y"], name="full"),
    ]
    proto = model(nodes, weights={"w": RANDOM.standard_normal((4, 4), dtype=np.float32)})
    result = applying(_cast(keep=("full",)), proto)
    assert sorted(_dtypes(result.model.path).values()) == [TensorProto.FLOAT, TensorProto.FLOAT16]


def test_quantized_models_keep_scales_that_float16_cannot_hold(applying: Applying) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="dq"),
        helper.make_node("Relu", ["d"], ["y"], name="relu"),
    ]
    weights = {"s": np.array(3e-6, np.float32), "z": np.array(0, np.int8)}
    result = applying(_cast(), model(nodes, weights=weights, opset=21))
    assert set(_kept(result.facts)) == {"q", "dq"}
    weights["s"] = np.array(0.1, np.float32)
    assert not _kept(applying(_cast(), model(nodes, weights=weights, opset=21)).facts)
    old = applying(_cast(max_opset=18), model(nodes, weights=weights, opset=17))
    assert set(_kept(old.facts)) == {"q", "dq"}, "before opset 19 scales are float32"


def test_metadata_survives(applying: Applying) -> None:
    proto = linear()
    prop = proto.metadata_props.add()
    prop.key, prop.value = "character", "abc"
    result = applying(_cast(), proto)
    assert [(p.key, p.value) for p in onnx.load(result.model.path).metadata_props] == [("character", "abc")]


def test_constants_in_nodes_are_cast_too(applying: Applying) -> None:
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.full((4, 4), 0.5, np.float32))),
        helper.make_node("MatMul", ["x", "k"], ["y"]),
    ]
    assert _dtypes(applying(_cast(), model(nodes)).model.path) == {"k": TensorProto.FLOAT16}


def test_filled_tensors_take_the_precision_of_their_readers(applying: Applying, run: Run) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"], name="fill"),
        helper.make_node("Add", ["x", "zeros"], ["y"]),
    ]
    result = applying(_cast(), model(nodes))
    assert not _kept(result.facts)
    np.testing.assert_allclose(run(result.model.path, {"x": X})["y"], X, atol=2e-3)


def test_samples_zero_asks_for_no_data() -> None:
    assert CastFp16.welcomes_calibration(CastFp16Options())
    assert not CastFp16.welcomes_calibration(CastFp16Options(samples=0))
    assert not CastFp16.wants_calibration(CastFp16Options())
