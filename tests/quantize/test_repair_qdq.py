"""`repair-qdq`: what other quantizers write, and what may not change when it is repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool.runner import Runner
from edgetool.testing import MakeModel, PassConformance, tiny_cnn, tiny_int8_cnn, tiny_lstm
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.repair_qdq import RepairQdq
from tests.quantize.conftest import (
    ApplyPass,
    Array,
    by_name,
    cosine,
    pictures,
    run,
    save_model,
)
from tests.quantize.elsewhere import quantized_elsewhere, sixteen_bit_cnn, unsigned_cnn


class TestConformance(PassConformance):
    pass_class = RepairQdq
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_cnn, tiny_int8_cnn, tiny_lstm, unsigned_cnn)
    refused: ClassVar[tuple[MakeModel, ...]] = (sixteen_bit_cnn,)
    min_cosine = 0.98  # noise lies outside of what the network was calibrated with
    samples = 0

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


def forms(proto: onnx.ModelProto) -> Counter[str]:
    """How often integers of which type and zero point are made or read."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    found: Counter[str] = Counter()
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero_point = stored[node.input[2]] if len(node.input) > 2 else stored[node.input[0]] * 0
            found[f"{zero_point.dtype}{' moved' if zero_point.any() else ''}"] += 1
    return found


def unsigned_weights() -> dict[str, Any]:
    from onnxruntime.quantization import QuantType

    return {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"per_channel": True},
        {"weights": "unsigned"},
        {"weights": "unsigned", "per_channel": True},
        {"extra_options": {"AddQDQPairToWeight": True}},
        {"extra_options": {"UseQDQContribOps": True}},
        {"extra_options": {"QDQKeepRemovableActivations": True}},
    ],
    ids=["defaults", "per-channel", "uint8-weights", "uint8-weights-per-channel", "float-weights", "contrib", "relus"],
)
def test_defaults_of_another_quantizer(
    residual_cnn: Model, tmp_path: Path, apply_pass: ApplyPass, settings: dict[str, Any]
) -> None:
    feeds = pictures(4)
    settings = dict(settings)
    if settings.pop("weights", None):
        settings |= unsigned_weights()
    before = quantized_elsewhere(residual_cnn, tmp_path / "before.onnx", feeds, **settings)
    assert not RepairQdq(RepairQdq.Options()).check(before)
    applied = apply_pass(RepairQdq, before)
    assert set(forms(applied.proto)) == {"int8"}
    assert applied.result.facts["biases"] == 4
    new, old, exact = (run(path, feeds) for path in (applied.result.model.path, before.path, residual_cnn.path))
    assert cosine(new, old) > 0.9997
    assert cosine(new, exact) > 0.9994
    assert "wider steps" in applied.notes[0]


def test_what_lies_around_128_keeps_its_meaning_exactly(
    residual_cnn: Model, tmp_path: Path, apply_pass: ApplyPass
) -> None:
    feeds = pictures(4)
    settings = unsigned_weights() | {"extra_options": {"ActivationSymmetric": True, "WeightSymmetric": True}}
    before = quantized_elsewhere(residual_cnn, tmp_path / "before.onnx", feeds, **settings)
    applied = apply_pass(RepairQdq, before)
    facts = applied.result.facts
    assert (facts["activations_exact"], facts["activations_widened"], facts["weights_exact"]) == (13, {}, 5)
    np.testing.assert_allclose(run(applied.result.model.path, feeds), run(before.path, feeds), rtol=1e-5, atol=1e-5)
    assert not applied.notes


def test_relus_that_the_range_had_replaced_come_back(
    residual_cnn: Model, tmp_path: Path, apply_pass: ApplyPass
) -> None:
    """ONNX Runtime drops a Relu or Clip where uint8 cuts off at zero anyway; int8 does not."""
    before = quantized_elsewhere(residual_cnn, tmp_path / "before.onnx", pictures(4))
    assert not {"Relu", "Clip"} & {node.op_type for node in onnx.load(before.path).graph.node}
    applied = apply_pass(RepairQdq, before)
    assert applied.result.facts["rectified"] == ["stem_out", "wide_out", "deep_out"]
    assert Counter(node.op_type for node in applied.proto.graph.node)["Relu"] == 3


def activation(
    folder: Path, *, zero_point: np.integer[Any] | None, scale: float = 0.5, dtype: type = np.float32, opset: int = 13
) -> Model:
    """`x [1, n] -> Q -> DQ -> y`, n dynamic."""
    stored: dict[str, Array] = {"scale": np.array(scale, dtype)}
    grid = ["scale"]
    if zero_point is not None:
        stored["zero"] = np.array(zero_point)
        grid.append("zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *grid], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", *grid], ["y"], "dequantize"),
    ]
    return save_model(folder / "pair.onnx", nodes, stored, {"x": (1, "n")}, {"y": (1, "n")}, opset=opset)


VALUES = {"x": np.linspace(-200, 200, 4001, dtype=np.float32)[None]}


@pytest.mark.parametrize(
    ("zero_point", "low", "high"),
    [(None, 0, 127.5), (np.uint8(0), 0, 127.5), (np.int8(-128), 0, 127.5), (np.uint8(255), -127.5, 0)],
    ids=["implied", "uint8", "int8", "negative"],
)
def test_a_range_that_ends_at_zero_still_does(
    tmp_path: Path, apply_pass: ApplyPass, zero_point: np.integer[Any] | None, low: float, high: float
) -> None:
    applied = apply_pass(RepairQdq, activation(tmp_path, zero_point=zero_point))
    values = run(applied.result.model.path, [VALUES])
    assert applied.result.facts["activations_widened"] == {"x": pytest.approx(255 / 127, abs=1e-4)}
    assert (values.min(), values.max()) == pytest.approx((low, high))
    inside = np.clip(VALUES["x"], low, high)
    assert abs(values - inside).max() <= 0.5 * 255 / 127 / 2 + 1e-5  # half of a step


@pytest.mark.parametrize(("saturation", "low"), [("zero", -95.5), ("both", -32.0)])
def test_what_becomes_of_values_below_the_old_range(
    tmp_path: Path, apply_pass: ApplyPass, saturation: str, low: float
) -> None:
    """Of [-32, 95.5] the symmetric range is [-95.5, 95.5]; values below -32 were cut off before."""
    applied = apply_pass(RepairQdq, activation(tmp_path, zero_point=np.uint8(64)), saturation=saturation)
    values = run(applied.result.model.path, [VALUES])
    step = 95.5 / 127
    assert values.max() == pytest.approx(95.5)
    assert values.min() == pytest.approx(low, abs=step)


@pytest.mark.parametrize(
    ("zero", "low", "nodes"),
    [
        (np.array([128, 128, 128, 128], np.uint8), -128, 2),  # shifted: the grids stay, and with them their ends
        (np.array([3, 90, 200, 1], np.uint8), None, 2),
        (np.array([-120, 7, 100, 0], np.int8), None, 2),
        (np.array([-128, 7, 127, 0], np.int8), None, 2),  # that two ranges end at zero is no Relu
        (np.array([0, 0, 0, 0], np.uint8), 0, 3),  # the ranges were a Relu
        (np.array([-128, -128, -128, -128], np.int8), 0, 3),
    ],
    ids=["around-128", "unsigned", "signed", "some-at-zero", "unsigned-relu", "signed-relu"],
)
def test_grids_of_channels(tmp_path: Path, apply_pass: ApplyPass, zero: Array, low: float | None, nodes: int) -> None:
    stored = {"scale": np.array([0.25, 0.5, 0.125, 1], np.float32), "zero": zero}
    pair = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize", axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "dequantize", axis=1),
    ]
    model = save_model(tmp_path / "channels.onnx", pair, stored, {"x": ("n", 4)}, {"y": ("n", 4)})
    assert RepairQdq(RepairQdq.Options()).check(model) == ()
    repaired = apply_pass(RepairQdq, model)
    assert forms(repaired.proto) == {"int8": 2} and len(repaired.proto.graph.node) == nodes
    limits = np.iinfo(zero.dtype)
    ends = [(limit - zero.astype(np.float32)) * stored["scale"] for limit in (limits.min, limits.max)]
    feed = [{"x": np.linspace(*ends, 64, dtype=np.float32)}]
    step = (ends[1] - ends[0]) / 255  # the new one is at most twice as wide
    before, after = (run(path, feed) for path in (model.path, repaired.result.model.path))
    assert (np.abs(before - after) <= 1.51 * step).all()
    below = run(repaired.result.model.path, [{"x": np.full((1, 4), -1e6, np.float32)}])
    assert low is None or (below == low * stored["scale"]).all()


def test_an_old_opset_and_float16_scales(tmp_path: Path, apply_pass: ApplyPass) -> None:
    assert (
        apply_pass(RepairQdq, activation(tmp_path, zero_point=np.uint8(7), opset=11)).proto.opset_import[0].version
        == 13
    )
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "dequantize"),
    ]
    stored = {"scale": np.array(0.5, np.float16), "zero": np.array(3, np.int8)}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, (4,)) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "half", ends[:1], ends[1:], tensors)
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    repaired = apply_pass(RepairQdq, read_model(path)).proto
    assert {numpy_helper.to_array(one).dtype.name for one in repaired.graph.initializer} == {"float16", "int8"}


def weight(folder: Path, integers: Array, zero_point: Array, scale: Array, *, axis: int = 0) -> Model:
    """`x @ dequantized(integers)`."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wd"], "dequantize", axis=axis),
        helper.make_node("MatMul", ["x", "wd"], ["y"], "product"),
    ]
    stored = {"w": integers, "scale": scale, "zero": zero_point}
    return save_model(folder / "w.onnx", nodes, stored, {"x": (1, len(integers))}, {"y": (1, integers.shape[1])})


def test_weights_stay_exact_where_they_fit_and_are_rounded_where_not(tmp_path: Path, apply_pass: ApplyPass) -> None:
    """Per channel: the first column spans [-100, 27] around its zero, the second [-200, 55]."""
    integers = np.array([[0, 0], [100, 200], [127, 255]], np.uint8)
    scale = np.array([0.1, 0.01], np.float32)
    model = weight(tmp_path, integers, np.array([100, 200], np.uint8), scale, axis=1)
    applied = apply_pass(RepairQdq, model)
    assert applied.result.facts["weights_rounded"] == ["w"]
    feeds = [{"x": row[None]} for row in np.eye(3, dtype=np.float32)]
    old, new = (run(path, feeds) for path in (model.path, applied.result.model.path))
    np.testing.assert_array_equal(new[:, 0], old[:, 0])
    assert abs(new[:, 1] - old[:, 1]).max() <= 0.01 * 200 / 127 / 2 + 1e-6


def test_a_weight_of_two_readers_is_stored_once(tmp_path: Path, apply_pass: ApplyPass) -> None:
    nodes = [
        *(helper.make_node("DequantizeLinear", ["w", "scale", "zero"], [f"d{i}"], f"dequantize{i}") for i in range(2)),
        helper.make_node("MatMul", ["x", "d0"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "d1"], ["y"], "second"),
    ]
    chance = np.random.default_rng(0)
    stored = {
        "w": chance.integers(0, 255, (8, 8)).astype(np.uint8), "scale": np.array(0.01, np.float32),
        "zero": np.array(120, np.uint8),
    }  # fmt: skip
    model = save_model(tmp_path / "shared.onnx", nodes, stored, {"x": (1, 8)}, {"y": (1, 8)})
    repaired = apply_pass(RepairQdq, model).proto
    assert len(repaired.graph.initializer) == 3
    assert len({node.input[0] for name, node in by_name(repaired).items() if name.startswith("deq")}) == 1


@pytest.mark.parametrize(
    ("settings", "reason", "node"),
    [
        ({"zero": np.array(3, np.uint16), "opset": 21}, "is uint16, not 8 bits wide", "quantize"),
        ({"outputs": ("y", "q")}, "an input or output of the model", "quantize"),
        ({"reader": "Reshape"}, "read by Reshape, not by DequantizeLinear", "quantize"),
        ({"other_zero": np.array(4, np.uint8)}, "another scale or zero point", "dequantize"),
        ({"zero": np.full(4, 255, np.uint8), "scale": np.full(4, 0.5, np.float32)}, "for each channel", "quantize"),
        ({"computed": True}, "computed while the model runs", "quantize"),
    ],
    ids=["16-bit", "output", "reader", "mismatch", "per-channel", "computed"],
)
def test_refusals_name_the_nodes(tmp_path: Path, settings: Mapping[str, Any], reason: str, node: str) -> None:
    zero = settings.get("zero", np.array(3, np.uint8))
    stored = {"scale": settings.get("scale", np.array(0.5, np.float32)), "zero": zero, "shape": np.array([2, -1])}
    stored["other"] = settings.get("other_zero", zero)
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize", axis=1)]
    if settings.get("computed"):
        stored["raw"] = stored.pop("scale")
        nodes.insert(0, helper.make_node("Mul", ["raw", "top"], ["scale"], "scaling"))
        nodes.insert(0, helper.make_node("ReduceMax", ["x"], ["top"], "top", keepdims=0))
    if reader := settings.get("reader"):
        nodes.append(helper.make_node(reader, ["q", "shape"], ["r"], "other"))
    source = "r" if "reader" in settings else "q"
    nodes.append(helper.make_node("DequantizeLinear", [source, "scale", "other"], ["y"], "dequantize", axis=1))
    opset = settings.get("opset", 17)
    path = save_model(tmp_path / "bad.onnx", nodes, stored, {"x": (1, 4)}, {"y": ("a", "b")}, opset=opset).path
    proto = onnx.load(path)
    if "q" in settings.get("outputs", ()):
        proto.graph.output.append(helper.make_tensor_value_info("q", TensorProto.UINT8, (1, 4)))
        onnx.save(proto, path)
    problems = RepairQdq(RepairQdq.Options()).check(read_model(path))
    assert any(reason in problem.reason and node in problem.nodes for problem in problems), problems
    assert all(problem.fix and problem.severity == "refuse" for problem in problems)


def test_pairs_inside_of_control_flow_are_refused(tmp_path: Path) -> None:
    inner = onnx.load(activation(tmp_path, zero_point=np.uint8(3)).path).graph
    del inner.input[:]
    inner.output[0].name = "y"
    other = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"], "relu")],
        "else",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, "n"))],
    )
    nodes = [helper.make_node("If", ["choice"], ["out"], "branch", then_branch=inner, else_branch=other)]
    model = save_model(tmp_path / "if.onnx", nodes, {"choice": np.array(True)}, {"x": (1, "n")}, {"out": (1, "n")})
    (problem,) = RepairQdq(RepairQdq.Options()).check(model)
    assert problem.nodes == ("quantize", "dequantize")
    assert "control flow" in problem.reason


def test_external_weights(residual_cnn: Model, tmp_path: Path, apply_pass: ApplyPass) -> None:
    before = quantized_elsewhere(residual_cnn, tmp_path / "before.onnx", pictures(2))
    proto = onnx.load(before.path)
    outside = tmp_path / "outside.onnx"
    onnx.save(proto, outside, save_as_external_data=True, location="outside.data", size_threshold=0)
    inline, external = (
        run(apply_pass(RepairQdq, read_model(path)).result.model.path, pictures(1)) for path in (before.path, outside)
    )
    np.testing.assert_array_equal(inline, external)
