"""What is quantized and what is not, and the reasons that are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from edgetool.artifact import Model
from edgetool_passes.quantization.placement import place, store_constants
from edgetool_passes.quantization.rules import Rules
from edgetool_passes.quantization.verdict import verdict
from tests.quantize.conftest import save_model


def _place(model: Model, **rules: object) -> tuple[list[str], dict[str, str]]:
    proto = onnx.load(model.path)
    placement = place(proto, Rules(**rules))  # type: ignore[arg-type] # keyword names vary by test
    return [site.label for site in placement.sites], dict(placement.excluded)


def test_convolutions_and_classifier(residual_cnn: Model) -> None:
    sites, excluded = _place(residual_cnn)
    assert sites == ["stem", "wide", "deep", "thin", "head"]
    assert excluded == {}


def test_attention_products_norms_and_masks_stay_float(transformer_block: Model) -> None:
    sites, excluded = _place(transformer_block)
    assert sites == ["embed", "query", "key", "value", "out", "up", "down"]
    assert excluded == {}, "a product of two activations is no weighted node that was left out"


def test_exclude_takes_names_and_patterns(residual_cnn: Model) -> None:
    sites, excluded = _place(residual_cnn, exclude=("head", "*de*"))
    assert sites == ["stem", "thin"]
    assert excluded == dict.fromkeys(("wide", "deep", "head"), "excluded by the recipe")


def test_min_channels_counts_both_ends_but_not_groups(residual_cnn: Model) -> None:
    sites, excluded = _place(residual_cnn, min_channels=16)
    assert sites == ["wide", "deep", "thin", "head"], "a depthwise convolution has all its group's channels"
    assert excluded == {"stem": "3 channels are fewer than min_channels = 16"}


def test_identity_branch_of_a_residual_add(residual_cnn: Model) -> None:
    placement = place(onnx.load(residual_cnn.path), Rules())
    assert [(one.node.name, one.position) for one in placement.residuals] == [("add", 0)]
    assert "pooled" in placement.activations(), "the shortcut, which the next convolution reads as well"
    assert "thin" not in placement.activations(), "what comes out of the convolution fuses with the Add as it is"
    assert not place(onnx.load(residual_cnn.path), Rules(residual_adds=False)).residuals


def test_bias_that_is_computed_from_constants_is_no_branch(tmp_path: Path) -> None:
    """Some exporters write a convolution's bias as a reshaped constant that is added; int8 would spoil it."""
    stored = {"w": np.ones((4, 3, 1, 1), np.float32), "b": np.ones(4, np.float32), "shape": np.array([1, 4, 1, 1])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Reshape", ["b", "shape"], ["bias"], "reshape"),
        helper.make_node("Add", ["c", "bias"], ["y"], "add"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, stored, {"x": (1, 3, 4, 4)}, {"y": (1, 4, 4, 4)})
    assert place(onnx.load(model.path), Rules()).residuals == ()


def test_reasons(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    stored = {
        "given": chance.normal(size=(4, 4)).astype(np.float32),
        "half": chance.normal(size=(4, 4)).astype(np.float16),
        "column": chance.normal(size=(4, 1)).astype(np.float32),
        "stack": chance.normal(size=(1, 4, 4)).astype(np.float32),
        "axes": np.array([1, 0]),
    }
    nodes = [
        helper.make_node("Transpose", ["given"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("Gemm", ["x", "turned"], ["a"], "computed"),
        helper.make_node("Cast", ["a"], ["ah"], "to_half", to=onnx.TensorProto.FLOAT16),
        helper.make_node("MatMul", ["ah", "half"], ["bh"], "half_precision"),
        helper.make_node("Cast", ["bh"], ["b"], "to_float", to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["b", "stack"], ["c"], "batched"),
        helper.make_node("MatMul", ["c", "column"], ["y"], "single"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, stored, {"x": (2, 4)}, {"y": (1, 2, 1)})
    sites, excluded = _place(model)
    assert sites == []
    assert excluded == {
        "computed": "its weight is computed while the model runs",
        "half_precision": "its weight is float16",
        "batched": "its weight has 3 dimensions",
        "single": "a single row or column gains nothing",
    }
    (problem,) = verdict(onnx.load(model.path), Rules())
    assert problem.severity == "refuse"
    assert problem.reason.startswith("nothing to quantize")
    assert problem.fix is not None
    assert "simplify" in problem.fix


def test_weight_that_is_an_input_is_named(tmp_path: Path) -> None:
    weights = {"w": np.ones((4, 4), np.float32), "v": np.ones((4, 4), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "v"], ["y"], "second"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, weights, {"x": (2, 4)}, {"y": (2, 4)})
    proto = onnx.load(model.path)
    proto.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, (4, 4)))
    (warning,) = verdict(proto, Rules())
    assert (warning.severity, warning.nodes) == ("warn", ("first",))
    assert "input of the model" in warning.reason


def test_constant_nodes_count_as_weights(tmp_path: Path) -> None:
    tensor = helper.make_tensor("", onnx.TensorProto.FLOAT, (4, 4), np.ones(16))
    nodes = [
        helper.make_node("Constant", [], ["w"], "weight", value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, {}, {"x": (2, 4)}, {"y": (2, 4)})
    assert _place(model) == (["product"], {})
    proto = onnx.load(model.path)
    store_constants(proto.graph)
    assert [tensor.name for tensor in proto.graph.initializer] == ["w"]
    assert [node.name for node in proto.graph.node] == ["product"]
