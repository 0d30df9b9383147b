"""What low-rank leaves whole and says why, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pydantic
import pytest

from edgetool.errors import ConfigError, ModelError
from edgetool.signature import DimRange
from edgetool_passes.low_rank import LowRank, LowRankOptions
from tests.compress.residual_networks import (
    SMALL,
    WIDTH,
    Network,
    apply,
    make_encoder,
    make_residual_cnn,
    sentences,
)


def _reasons(tmp_path: Path, network: Network, **options: Any) -> dict[str, str]:
    from edgetool_passes.factorize.layers import find_layers

    dims = {"batch": DimRange(1, 2, 4)}
    fed = options.pop("fed", ())
    inputs = options.pop("inputs", {"x": ("batch", WIDTH)})
    outputs = {network.nodes[-1].output[0]: ("batch", *["d"] * (len(next(iter(inputs.values()))) - 1))}
    model = network.save(tmp_path / "m.onnx", inputs, outputs, dims, fed=fed)
    chosen = LowRankOptions(**{**SMALL, **options})
    return dict(find_layers(onnx.load(model.path), chosen.wishes()).left)


def test_weights_out_of_reach_are_named_with_reasons(tmp_path: Path) -> None:
    network = Network()
    a = network.node("MatMul", ["x", network.weight("fed", WIDTH, WIDTH)], "a")
    b = network.node("MatMul", [a, network.weight("named", WIDTH, WIDTH)], "b")
    c = network.node("MatMul", [b, network.weight("small", WIDTH, 2)], "c")
    d = network.node("MatMul", [c, network.weight("both", 2, WIDTH)], "d")
    e = network.node("Add", [d, network.node("Slice", ["both", *_bounds(network)], "slice")], "e")
    transposed = network.node("Transpose", [network.weight("computed", WIDTH, WIDTH)], "t")
    f = network.node("Gemm", [e, transposed], "f")
    network.node("MatMul", [network.weight("batched", 3, WIDTH, WIDTH), network.constant("k", np.eye(WIDTH))], "g")
    h = network.node("MatMul", [f, "g"], "h")
    network.node("MatMul", [network.weight("left", WIDTH, WIDTH), h], "i")
    reasons = _reasons(tmp_path, network, fed=["fed"], exclude=["node_b"], min_size=33)
    assert reasons == {
        "node_a": "its weight is an input of the model",
        "node_b": "excluded by the recipe",
        "node_c": "it has fewer than min_size = 33 weights",
        "node_d": "Slice node 'node_slice' reads its weight, too, in another way",
        "node_f": "its weight is computed while the model runs",
        "node_h": "its weight is computed while the model runs",
        "node_i": "its weight is its first input",
    }


def _bounds(network: Network) -> list[str]:
    return [network.constant(name, [value], np.int64) for name, value in (("from", 0), ("to", 1))]


def test_grouped_convolutions_are_left_with_reasons(tmp_path: Path) -> None:
    network = Network()
    network.node("Conv", ["x", network.weight("deep", 8, 1, 3, 3)], "a", group=8)
    network.node("Conv", ["a", network.weight("grouped", 8, 4, 3, 3)], "b", group=2)
    reasons = _reasons(tmp_path, network, inputs={"x": ("batch", 8, 9, 9)})
    assert reasons == {"node_a": "it is depthwise: its kernels share nothing", "node_b": "it has 2 groups"}
    dims = {"batch": DimRange(1, 2, 4)}
    model = network.save(tmp_path / "m.onnx", {"x": ("batch", 8, 9, 9)}, {"b": ("batch", 8, 5, 5)}, dims)
    (problem,) = LowRank(LowRankOptions(**SMALL)).check(model)
    assert "nothing to factor: the first weighted node stays whole because it is depthwise" in problem.reason


def test_half_precision_weights_are_left_with_a_fix(tmp_path: Path) -> None:
    network = Network()
    half = network.constant("half", np.ones((WIDTH, WIDTH)), np.float16)
    cast = network.node("Cast", ["x"], "narrow", to=onnx.TensorProto.FLOAT16)
    network.node("Cast", [network.node("MatMul", [cast, half], "m")], "y", to=onnx.TensorProto.FLOAT)
    assert "put this pass in front of the one that casts" in _reasons(tmp_path, network)["node_m"]


def test_a_budget_out_of_reach_says_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        apply(LowRank, make_encoder(tmp_path), sentences(4), keep=0.01, **SMALL)
    assert caught.value.code == "keep-out-of-reach"
    possible = float((caught.value.hint or "").split("keep to ")[1].split(" ")[0])
    assert apply(LowRank, make_encoder(tmp_path), sentences(4), keep=possible, **SMALL).result.changed


@pytest.mark.parametrize(
    "options",
    [{"energy": 1}, {"energy": 0}, {"keep": 1.5}, {"energy": 0.9, "keep": 0.5}, {"op_types": [], "embeddings": False},
     {"prior": 0}, {"op_types": ["LSTM"]}],
)  # fmt: skip
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        LowRankOptions(**options)


def test_nan_in_the_data_is_refused(tmp_path: Path) -> None:
    bad = [{"image": np.full((2, 3, 8, 8), np.nan, np.float32)}]
    with pytest.raises(ConfigError) as caught:
        apply(LowRank, make_residual_cnn(tmp_path), bad, **SMALL)
    assert caught.value.code == "calibration-not-finite"
