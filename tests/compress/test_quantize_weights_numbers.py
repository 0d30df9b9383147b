"""The integers that `quantize-weights` stores, against computations of our own and against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool_passes.weight_only.codes import encode, nearest, usable_scale
from edgetool_passes.weight_only.gptq import Compensation
from edgetool_passes.weight_only.grain import Grain
from edgetool_passes.weight_only.hqq import half_quadratic
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
    weight,
)

GRAINS = [Grain(8, True, 0, 0), Grain(8, False, 0, 16), Grain(4, True, 0, 32), Grain(4, False, 0, 16)]


def test_eight_bits_a_channel_are_what_the_formula_says(tmp_path: Path) -> None:
    model = product(tmp_path)
    applied = quantize(model, tmp_path / "out")
    original = weight(64, 48)
    scale, integers = applied.stored("w_scale"), applied.stored("w_int8")
    largest = np.abs(original).max(axis=0)
    assert scale.shape == (48,)
    assert (scale >= largest / 127).all()
    assert (scale <= largest / 127 * (1 + 2**-10)).all()
    assert np.array_equal(integers, np.rint(original / scale))
    assert applied.dequantizers() == {"w_dequantized": {"axis": 1}}


def test_four_bits_in_blocks_are_what_the_formula_says(tmp_path: Path) -> None:
    applied = quantize(product(tmp_path), tmp_path / "out", bits=4, block_size=16, symmetric=False)
    original = weight(64, 48).reshape(4, 16, 48)
    scale, zero = applied.stored("w_scale")[:, None], applied.stored("w_zero_point")[:, None]
    reach = np.maximum(original.max(axis=1, keepdims=True), 0) - np.minimum(original.min(axis=1, keepdims=True), 0)
    assert (np.abs(scale / (reach / 15) - 1) < 2**-10).all()
    integers = applied.stored("w_uint4").reshape(4, 16, 48)
    assert np.array_equal(integers, np.clip(np.rint(original / scale) + zero, 0, 15))
    assert np.abs((integers - zero) * scale - original).max() <= scale.max()
    assert applied.dequantizers() == {"w_dequantized": {"axis": 0, "block_size": 16}}


@pytest.mark.parametrize("grain", GRAINS, ids=str)
@pytest.mark.parametrize("method", [nearest, half_quadratic, Compensation(np.eye(64, dtype=np.float32)).quantize])
def test_every_method_stays_on_its_grid(grain: Grain, method: Any) -> None:
    matrix = weight(24, 64)
    codes = method(matrix, grain)
    low, high = grain.limits
    assert codes.integers.min() >= low
    assert codes.integers.max() <= high
    assert codes.scale.shape == (24, 64 // (grain.block or 64))
    assert (codes.scale > 0).all()
    assert np.array_equal(codes.scale, usable_scale(codes.scale, grain)), "a scale has more than eleven bits"
    assert relative_error(codes.values(), matrix) < {8: 0.02, 4: 0.2}[grain.bits]


@pytest.mark.parametrize("grain", GRAINS, ids=str)
def test_hqq_is_never_worse_in_its_own_norm(grain: Grain) -> None:
    matrix = weight(64, 64)
    plain, better = (
        (np.abs(matrix - method(matrix, grain).values()) ** 0.7).reshape(64, -1, grain.block or 64).sum(axis=2)
        for method in (nearest, half_quadratic)
    )
    assert (better <= plain * (1 + 1e-5)).all()
    assert better.sum() < (0.98 if grain.bits == 4 else 1) * plain.sum()


def test_gptq_without_correlations_rounds_to_the_nearest() -> None:
    matrix, grain = weight(8, 64), Grain(4, True, 0, 16)
    codes = Compensation(3 * np.eye(64, dtype=np.float32)).quantize(matrix, grain)
    assert np.array_equal(codes.integers, nearest(matrix, grain).integers)


def test_gptq_against_the_textbook_formula() -> None:
    """Column by column with the full inverse (Frantar et al., eq. 2 and 3), one scale a row."""
    chance = np.random.default_rng(3)
    inputs = chance.normal(size=(200, 6)) @ chance.normal(size=(6, 24))
    moments = (inputs.T @ inputs).astype(np.float32)
    matrix, grain = weight(5, 24), Grain(4, True, 0, 0)
    codes = Compensation(moments).quantize(matrix, grain)
    left = matrix.astype(np.float64)
    inverse = np.linalg.inv(moments.astype(np.float64) + np.eye(24) * 0.01 * np.diagonal(moments).mean())
    expected = np.zeros((5, 24))
    for column in range(24):
        step = codes.scale[:, 0]
        expected[:, column] = np.clip(np.rint(left[:, column] / step), -8, 7)
        error = (left[:, column] - expected[:, column] * step) / inverse[0, 0]
        left[:, column:] -= np.outer(error, inverse[0])
        inverse = inverse[1:, 1:] - np.outer(inverse[1:, 0], inverse[0, 1:]) / inverse[0, 0]
    assert (codes.integers != expected).mean() < 0.02  # a tie may fall to either side in float32


@pytest.mark.parametrize("options", [{"block_size": 16}, {"block_size": 0}, {"symmetric": False}], ids=str)
def test_learning_from_data_beats_rounding(tmp_path: Path, options: dict[str, Any]) -> None:
    """On samples that were not learnt from."""
    model = product(tmp_path)
    samples, others = correlated(model, 40), correlated(model, 10, seed=7)
    expected = run(model.path, others)
    errors = {
        method: relative_error(
            run(
                quantize(model, tmp_path / method, samples, bits=4, method=method, **options).result.model.path, others
            ),
            expected,
        )
        for method in ("nearest", "awq", "gptq")
    }
    assert errors["gptq"] < 0.7 * errors["nearest"]
    assert errors["awq"] < 0.9 * errors["nearest"]


def test_awq_divides_the_inputs_by_what_the_weights_were_multiplied_by(tmp_path: Path) -> None:
    model = product(tmp_path)
    applied = quantize(model, tmp_path / "out", correlated(model, 20), method="awq", bits=4)
    factor = 1 / applied.stored("x_factor")
    enlarged = weight(64, 48) * factor[:, None]
    meant = applied.stored("w_int4") * np.repeat(applied.stored("w_scale"), 32, axis=0)
    assert relative_error(meant, enlarged) < 0.15
    assert factor[:4].mean() > 2 * factor[4:].mean(), "large inputs need exact weights"
    assert applied.facts["by_method"] == {"awq": 1}


def test_three_products_of_one_activation_share_its_division(tmp_path: Path) -> None:
    from tests.compress.weight_networks import save_network

    names = ("query", "key", "value")
    nodes = [helper.make_node("MatMul", ["x", f"{name}_w"], [name], name) for name in names]
    stored = {f"{name}_w": weight(64, 64, seed=place) for place, name in enumerate(names)}
    model = save_network(
        tmp_path / "three.onnx", nodes, stored, {"x": ["batch", 5, 64]}, {name: ["batch", 5, 64] for name in names}
    )
    applied = quantize(model, tmp_path / "out", correlated(model, 20), method="awq", bits=4)
    divisions = [node for node in applied.proto.graph.node if node.op_type == "Mul"]
    assert len(divisions) == 1
    assert all(applied.node(name).input[0] == divisions[0].output[0] for name in names)


@pytest.mark.parametrize("network", [product, perceptron, convolutions, reader], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({}, 0.02),
        ({"symmetric": False}, 0.02),
        ({"block_size": 32}, 0.02),
        ({"bits": 4}, 0.3),
        ({"bits": 4, "symmetric": False, "method": "hqq"}, 0.3),
    ],
    ids=str,
)
def test_result_computes_nearly_the_same(tmp_path: Path, network: Any, options: Any, largest: float) -> None:
    model = network(tmp_path)
    applied = quantize(model, tmp_path / "out", **options)
    onnx.checker.check_model(str(applied.result.model.path), full_check=True)
    samples = feeds(model, 3)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < largest


def test_odd_numbers_of_four_bit_integers_are_packed_like_onnx_packs_them(tmp_path: Path) -> None:
    model = product(tmp_path, inputs=3, outputs=5)
    applied = quantize(model, tmp_path / "out", bits=4, block_size=0)
    expected = encode(weight(3, 5).T, applied.stored("w_scale")[:, None], None, Grain(4, True, 1, 0)).integers.T
    assert np.array_equal(applied.stored("w_int4"), expected)


def test_a_weight_of_zeros_stays_zero(tmp_path: Path) -> None:
    model = product(tmp_path)
    proto = onnx.load(model.path)
    zeros: Array = np.zeros((64, 48), np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(zeros, "w"))
    onnx.save(proto, model.path)
    for number, options in enumerate(({}, {"bits": 4}, {"bits": 4, "symmetric": False, "method": "hqq"})):
        applied = quantize(model, tmp_path / str(number), **options)
        assert np.abs(run(applied.result.model.path, feeds(model, 1))).max() < 1e-6
        assert np.isfinite(applied.stored("w_scale")).all()
        assert applied.facts["mean_error"] == 0


def test_facts_are_the_truth(tmp_path: Path) -> None:
    applied = quantize(reader(tmp_path), tmp_path / "out", bits=4, embedding_bits=8, block_size=16)
    stored = {tensor.name: len(tensor.raw_data) for tensor in applied.proto.graph.initializer}
    assert applied.facts["bytes_before"] == 4 * (50 * 64 + 64 * 40)
    assert applied.facts["bytes_after"] == sum(stored.values())
    assert applied.facts["by_bits"] == {"4": 1, "8": 1}
    assert applied.facts["by_block"] == {"16": 2}
    meant = applied.stored("w_int4") * np.repeat(applied.stored("w_scale"), 16, axis=0)
    worst = relative_error(meant, weight(64, 40, seed=1))
    assert applied.facts["worst_error"] == {"node": "head", "error": pytest.approx(worst, rel=1e-3)}
