"""Which weights `quantize-weights` takes, which it leaves float and why, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pydantic
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.errors import ConfigError, ModelError
from edgetool.graph import read_model
from edgetool.problem import Problem
from edgetool.testing import tiny_branches, tiny_int8_cnn
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_weights import QuantizeWeights
from tests.compress.weight_networks import (
    Array,
    convolutions,
    correlated,
    feeds,
    perceptron,
    product,
    quantize,
    reader,
    relative_error,
    run,
    save_network,
    weight,
)


def check(model: Model, **options: Any) -> tuple[Problem, ...]:
    return QuantizeWeights(QuantizeWeights.Options(**{"min_size": 1, **options})).check(model)


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 3},
        {"block_size": 24},
        {"block_size": 8},
        {"method": "round"},
        {"min_size": 0},
        {"op_types": ("LSTM",)},
        {"embedding_bits": 16},
        {"op_types": (), "embeddings": False},
        {"blocks": 32},
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        QuantizeWeights.Options(**options)


def test_exclusions_are_by_name_and_told(tmp_path: Path) -> None:
    applied = quantize(convolutions(tmp_path), tmp_path / "out", exclude=("up*", "depth"))
    assert applied.facts["excluded"] == dict.fromkeys(("depth", "up", "up_grouped"), "excluded by the recipe")
    assert set(applied.dequantizers()) == {"full_dequantized", "grouped_dequantized", "point_dequantized"}
    assert applied.node("depth").input[1] == "depth"


def test_operators_and_embeddings_can_be_left_out(tmp_path: Path) -> None:
    applied = quantize(reader(tmp_path), tmp_path / "out", embeddings=False)
    assert set(applied.dequantizers()) == {"w_dequantized"}
    applied = quantize(reader(tmp_path), tmp_path / "other", op_types=("Gemm",))
    assert set(applied.dequantizers()) == {"table_dequantized"}
    assert applied.facts["excluded"] == {"head": "MatMul is not in op_types"}


def test_small_weights_stay_float(tmp_path: Path) -> None:
    applied = quantize(convolutions(tmp_path), tmp_path / "out", min_size=1024)
    assert applied.facts["excluded"] == {
        "depth": "its weight has 576 values, fewer than min_size = 1024",
        "up_grouped": "its weight has 128 values, fewer than min_size = 1024",
    }


def test_blocks_along_what_is_summed(tmp_path: Path) -> None:
    applied = quantize(convolutions(tmp_path), tmp_path / "out", block_size=16)
    assert applied.dequantizers() == {
        "full_dequantized": {"axis": 1, "block_size": 16},
        "depth_dequantized": {"axis": 0},
        "grouped_dequantized": {"axis": 1, "block_size": 16},
        "point_dequantized": {"axis": 1, "block_size": 16},
        "up_dequantized": {"axis": 0, "block_size": 16},
        "up_grouped_dequantized": {"axis": 0, "block_size": 16},
    }
    assert applied.stored("full_scale").shape == (64, 2, 3, 3)
    applied = quantize(perceptron(tmp_path), tmp_path / "gemm", block_size=32)
    assert applied.dequantizers() == {
        "a_dequantized": {"axis": 1, "block_size": 32},
        "b_dequantized": {"axis": 0, "block_size": 32},
    }


def test_a_smaller_block_where_the_wanted_one_does_not_divide(tmp_path: Path) -> None:
    for inputs, expected in ((192, 64), (80, 16), (100, 0)):
        folder = tmp_path / str(inputs)
        folder.mkdir()
        applied = quantize(product(folder, inputs=inputs), folder / "out", bits=4, block_size=128)
        assert applied.dequantizers()["w_dequantized"].get("block_size", 0) == expected


def test_long_rows_without_a_block_take_eight_bits(tmp_path: Path) -> None:
    applied = quantize(product(tmp_path, inputs=1001), tmp_path / "out", bits=4)
    assert applied.facts["by_bits"] == {"8": 1}
    applied = quantize(product(tmp_path, inputs=1001), tmp_path / "wanted", bits=4, block_size=0)
    assert applied.facts["by_bits"] == {"4": 1}


def test_some_nodes_in_eight_bits(tmp_path: Path) -> None:
    applied = quantize(perceptron(tmp_path), tmp_path / "out", bits=4, eight_bits=("sec*",))
    assert set(applied.dequantizers()) == {"a_dequantized", "b_dequantized"}
    assert applied.stored("a_int4").max() <= 7
    assert applied.stored("b_int8").max() > 7


def test_a_shared_weight_is_stored_once_for_each_way_it_is_read(tmp_path: Path) -> None:
    """Tied embeddings: looked up by rows, and multiplied by its transpose with the same rows."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], "embed"),
        helper.make_node("ReduceMean", ["e"], ["m"], "mean", axes=[1], keepdims=0),
        helper.make_node("Gemm", ["m", "table"], ["scores"], "scores", transB=1),
        helper.make_node("Gemm", ["m", "square"], ["a"], "a"),
        helper.make_node("Gemm", ["m", "square"], ["b"], "b", transB=1),
    ]
    stored = {"table": weight(50, 64), "square": weight(64, 64, seed=1)}
    outputs = {"scores": ["batch", 50], "a": ["batch", 64], "b": ["batch", 64]}
    model = save_network(tmp_path / "tied.onnx", nodes, stored, {"ids": ["batch", 6]}, outputs)
    applied = quantize(model, tmp_path / "out")
    assert applied.node("embed").input[0] == applied.node("scores").input[1] == "table_dequantized"
    assert sorted(attributes["axis"] for attributes in applied.dequantizers().values()) == [0, 0, 1]
    assert applied.facts["quantized"] == 3
    samples = feeds(model, 2)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.02
    blocks = quantize(model, tmp_path / "blocks", bits=4, method="gptq", block_size=16, samples=samples)
    assert blocks.facts["by_method"] == {"gptq": 2, "nearest": 1}, "a table has no inputs to learn from"


def test_a_weight_on_the_left_of_a_product(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["w", "x"], ["y"], "left")]
    model = save_network(
        tmp_path / "left.onnx", nodes, {"w": weight(32, 64)}, {"x": ["batch", 64, 3]}, {"y": ["batch", 32, 3]}
    )
    applied = quantize(model, tmp_path / "out", bits=4)
    assert applied.dequantizers() == {"w_dequantized": {"axis": 1, "block_size": 32}}
    samples = feeds(model, 2)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.15


def test_products_of_two_activations_are_none_of_our_business(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "weighted"),
        helper.make_node("Transpose", ["h"], ["t"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["h", "t"], ["y"], "scores"),
    ]
    model = save_network(
        tmp_path / "a.onnx", nodes, {"w": weight(64, 32)}, {"x": ["batch", 5, 64]}, {"y": ["batch", 5, 5]}
    )
    applied = quantize(model, tmp_path / "out")
    assert applied.facts["excluded"] == {}
    assert applied.facts["quantized"] == 1


def test_weights_that_are_inputs_or_computed_stay_float_with_a_warning(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "given"], ["h"], "given"),
        helper.make_node("Transpose", ["base"], ["made"], "turn"),
        helper.make_node("MatMul", ["h", "made"], ["i"], "computed"),
        helper.make_node("MatMul", ["i", "w"], ["y"], "stored"),
    ]
    stored = {"given": weight(64, 64), "base": weight(64, 64), "w": weight(64, 64)}
    model = save_network(
        tmp_path / "mixed.onnx", nodes, stored, {"x": ["batch", 64]}, {"y": ["batch", 64]}, fed=("given",)
    )
    problems = check(model)
    assert {problem.severity for problem in problems} == {"warn"}
    assert {problem.nodes for problem in problems} == {("given",), ("computed",)}
    assert "simplify" in str([problem.fix for problem in problems])
    applied = quantize(model, tmp_path / "out")
    assert set(applied.dequantizers()) == {"w_dequantized"}


def test_initializers_are_no_inputs_in_old_files(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    model = save_network(
        tmp_path / "old.onnx", nodes, {"w": weight(64, 48)}, {"x": ["batch", 64]}, {"y": ["batch", 48]},
        opset=9, ir_version=3, fed=("w",),
    )  # fmt: skip
    applied = quantize(model, tmp_path / "out", bits=4)
    assert applied.facts["opset"] == {"from": 9, "to": 21}
    assert [value.name for value in applied.proto.graph.input] == ["x"]
    onnx.checker.check_model(applied.proto, full_check=True)


def test_constants_inside_nodes_are_weights_too(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(weight(64, 48), "held")
    nodes = [
        helper.make_node("Constant", [], ["w"], "constant", value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
    ]
    model = save_network(tmp_path / "constant.onnx", nodes, {}, {"x": ["batch", 64]}, {"y": ["batch", 48]})
    assert quantize(model, tmp_path / "out").facts["quantized"] == 1


def test_half_precision_weights_keep_their_type(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    model = save_network(
        tmp_path / "half.onnx", nodes, {"w": weight(64, 48).astype(np.float16)}, {"x": ["batch", 64]},
        {"y": ["batch", 48]}, dtype=TensorProto.FLOAT16,
    )  # fmt: skip
    eight = quantize(model, tmp_path / "eight")
    assert eight.facts["opset"]["to"] == 19
    four = quantize(model, tmp_path / "four", correlated(product(tmp_path), 1), bits=4, method="nearest")
    assert four.stored("w_scale").dtype == np.float16
    samples = feeds(model, 2)
    assert relative_error(run(four.result.model.path, samples), run(model.path, samples).astype(np.float32)) < 0.15
    (problem,) = check(model, max_opset=17)
    assert problem.severity == "refuse"
    assert "opset 19" in problem.reason


def test_the_opset_is_raised_only_as_far_as_it_must(tmp_path: Path) -> None:
    for number, (have, options, expected) in enumerate(
        [(11, {}, 13), (17, {}, 17), (17, {"block_size": 32}, 21), (17, {"bits": 4}, 21), (22, {"bits": 4}, 22)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        applied = quantize(product(folder, opset=have), folder / "out", **options)
        assert applied.facts["opset"] == {"from": have, "to": expected}
        assert applied.proto.opset_import[0].version == expected


def test_an_old_target_gets_channels_instead_of_blocks(tmp_path: Path) -> None:
    applied = quantize(product(tmp_path), tmp_path / "out", bits=8, block_size=32, max_opset=17)
    assert applied.dequantizers() == {"w_dequantized": {"axis": 1}}
    assert applied.facts["opset"]["to"] == 17
    assert any("opset 17 has no blocks" in note for note in applied.notes)


def test_an_old_target_refuses_four_bits_with_the_fix(tmp_path: Path) -> None:
    (problem,) = check(product(tmp_path), bits=4, max_opset=20)
    assert problem.severity == "refuse"
    assert problem.nodes == ("product",)
    assert "21" in problem.reason
    assert "bits = 8" in str(problem.fix)
    assert not check(product(tmp_path), bits=4, max_opset=21)
    (problem,) = check(product(tmp_path), max_opset=11)
    assert problem.severity == "refuse"


def test_quantized_activations_are_refused(tmp_path: Path) -> None:
    (problem,) = check(tiny_int8_cnn(tmp_path))
    assert problem.severity == "refuse"
    assert "float model" in str(problem.fix)


def test_a_second_time_there_is_nothing_left(tmp_path: Path) -> None:
    once = quantize(product(tmp_path), tmp_path / "once").result.model
    (problem,) = check(once)
    assert problem.severity == "refuse"
    assert "quantized already" in problem.reason


def test_a_second_pass_takes_what_the_first_left(tmp_path: Path) -> None:
    first = quantize(perceptron(tmp_path), tmp_path / "first", exclude=("second",)).result.model
    both = quantize(first, tmp_path / "both", bits=4)
    assert both.facts["excluded"] == {"first": "its weight is quantized already"}
    assert both.facts["by_bits"] == {"4": 1}


def test_nothing_to_compress_is_refused_with_the_reason(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], "relu")]
    model = save_network(tmp_path / "relu.onnx", nodes, {}, {"x": ["batch", 4]}, {"y": ["batch", 4]})
    (problem,) = check(model)
    assert "no MatMul, Gemm, Conv, ConvTranspose or embedding" in problem.reason
    (problem,) = check(product(tmp_path), exclude=("*",))
    assert "excluded by the recipe" in problem.reason
    (problem,) = check(product(tmp_path), min_size=10**6)
    assert "min_size" in problem.reason


def test_weights_inside_control_flow_stay_float_with_a_warning(tmp_path: Path) -> None:
    model = tiny_branches(tmp_path)
    proto = onnx.load(model.path)
    branch = next(entry.g for entry in proto.graph.node[-1].attribute if entry.name == "then_branch")
    del branch.node[:]
    branch.node.append(helper.make_node("MatMul", ["m", "w"], ["then_y"], "inside"))
    onnx.save(proto, model.path)
    model = read_model(model.path, model.signature.dims)
    (problem,) = check(model)
    assert (problem.severity, problem.nodes) == ("warn", ("inside",))
    applied = quantize(model, tmp_path / "out")
    assert applied.stored("w").dtype == np.float32, "the branch still reads the float weight"
    onnx.checker.check_model(str(applied.result.model.path), full_check=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_an_error(tmp_path: Path, value: float) -> None:
    model = product(tmp_path)
    proto = onnx.load(model.path)
    broken: Array = weight(64, 48)
    broken[3, 5] = value
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(broken, "w"))
    onnx.save(proto, model.path)
    with pytest.raises(ModelError) as caught:
        quantize(model, tmp_path / "out")
    assert caught.value.code == "non-finite-weight"
    assert "w" in str(caught.value.where)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_learning_wants_samples(tmp_path: Path, method: str) -> None:
    model = product(tmp_path)
    with pytest.raises(ConfigError) as caught:
        quantize(model, tmp_path / "none", method=method)
    assert caught.value.code == "calibration-missing"
    assert "hqq" in str(caught.value.hint)
    with pytest.raises(ConfigError) as caught:
        quantize(model, tmp_path / "empty", [], method=method)
    assert caught.value.code == "calibration-empty"
    broken = {"x": np.full((2, 5, 64), np.nan, np.float32)}
    with pytest.raises(ConfigError) as caught:
        quantize(model, tmp_path / "broken", [broken], method=method)
    assert caught.value.code == "calibration-not-finite"
    assert QuantizeWeights.wants_calibration(QuantizeWeights.Options(method=method))
    assert not QuantizeWeights.wants_calibration(QuantizeWeights.Options())


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_one_sample_and_dead_inputs_are_enough(tmp_path: Path, method: str) -> None:
    """Fewer vectors than channels, and channels that are always 0."""
    model = product(tmp_path)
    sample = {"x": np.random.default_rng(0).normal(size=(1, 5, 64)).astype(np.float32)}
    sample["x"][:, :, 10:20] = 0
    applied = quantize(model, tmp_path / "out", [sample], bits=4, method=method)
    assert any("one calibration sample" in note for note in applied.notes)
    samples = feeds(model, 2)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.6


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_inputs_that_are_always_zero(tmp_path: Path, method: str) -> None:
    model = product(tmp_path)
    applied = quantize(model, tmp_path / "out", [{"x": np.zeros((1, 5, 64), np.float32)}] * 2, bits=4, method=method)
    samples = feeds(model, 2)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.15


def test_pointwise_convolutions_learn_too(tmp_path: Path) -> None:
    model = convolutions(tmp_path)
    samples = feeds(model, 8)
    for method in ("gptq", "awq"):
        applied = quantize(model, tmp_path / method, samples, bits=4, method=method, exclude=("up*", "full", "depth"))
        assert applied.facts["by_method"].get("nearest") == 1, "a grouped convolution has no plain vectors"
        error = relative_error(run(applied.result.model.path, samples), run(model.path, samples))
        assert error < 0.15


def test_large_second_moments_are_collected_in_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = perceptron(tmp_path)
    samples = feeds(model, 8)
    together = quantize(model, tmp_path / "together", samples, bits=4, method="gptq")
    monkeypatch.setattr("edgetool_passes.weight_only.moments._TOGETHER", 4 * 64 * 64)
    apart = quantize(model, tmp_path / "apart", samples, bits=4, method="gptq")
    assert together.result.model.path.read_bytes() == apart.result.model.path.read_bytes()


def test_names_that_are_taken(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["w_int8"], "w_dequantize"),
        helper.make_node("Relu", ["w_int8"], ["w_dequantized"], "relu"),
    ]
    model = save_network(
        tmp_path / "taken.onnx", nodes, {"w": weight(64, 48)}, {"x": ["batch", 64]}, {"w_dequantized": ["batch", 48]}
    )
    applied = quantize(model, tmp_path / "out")
    onnx.checker.check_model(applied.proto, full_check=True)
    samples = feeds(model, 1)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.02


def test_apply_without_check_says_that_nothing_was_done(tmp_path: Path) -> None:
    model = product(tmp_path)
    subject = QuantizeWeights(QuantizeWeights.Options(exclude=("*",)))
    result = subject.apply(model, tmp_path, PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1)))
    assert not result.changed
    assert result.model == model
