"""Blame finds the layer that was spoilt, says whether weights or activations did it, and draws it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.blame.clusters import clusters, shared_tensors
from edgetool.blame.findings import LayerError, cause_of
from edgetool.blame.histogram import HistogramSum
from edgetool.blame.measure import blame
from edgetool.blame.variants import with_one_layer
from edgetool.engine.reference import open_reference
from tests.tiny import write_tiny_project

Cli = Callable[..., subprocess.CompletedProcess[str]]
RANDOM = np.random.default_rng(5)
LAYERS = 4
SAMPLES = [{"x": RANDOM.normal(size=(8, 16)).astype(np.float32)} for _ in range(3)]
WEIGHTS = [RANDOM.normal(size=(16, 16)).astype(np.float32) / 4 for _ in range(LAYERS)]


def _network(weights: Sequence[np.ndarray], *, quantize_input_of: int | None = None) -> onnx.ModelProto:
    """Four products with Relu between them; the input of one may go through a pair."""
    nodes, initializers, tensor = [], [], "x"
    for at, weight in enumerate(weights):
        if at == quantize_input_of:
            initializers += [
                numpy_helper.from_array(np.float32(0.5), "step"),
                numpy_helper.from_array(np.int8(0), "zero"),
            ]
            nodes += [
                helper.make_node("QuantizeLinear", [tensor, "step", "zero"], ["q"], name="q"),
                helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["dq"], name="dq"),
            ]
            tensor = "dq"
        initializers.append(numpy_helper.from_array(weight, f"w{at}"))
        nodes.append(helper.make_node("MatMul", [tensor, f"w{at}"], [f"m{at}"], name=f"layer{at}"))
        tensor = f"m{at}"
        if at < LAYERS - 1:
            nodes.append(helper.make_node("Relu", [tensor], [f"r{at}"], name=f"relu{at}"))
            tensor = f"r{at}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["batch", 16])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _blame(compressed: onnx.ModelProto, *, worst: int = 2):
    return blame(
        _network(WEIGHTS),
        compressed,
        SAMPLES,
        open_reference=lambda path: open_reference(path, 1),
        worst=worst,
        progress=lambda done, total, what: None,
    )


@pytest.mark.parametrize("spoilt", range(LAYERS))
def test_the_layer_with_spoilt_weights_comes_first(spoilt: int) -> None:
    weights = [weight.copy() for weight in WEIGHTS]
    weights[spoilt] = np.round(weights[spoilt] * 4) / 4
    found = _blame(_network(weights))
    first = found.layers[0]
    assert first.layer == f"layer{spoilt}"
    assert first.error.output == pytest.approx(found.outputs_db, abs=0.01), "it is the only one"
    others = [row for row in found.layers if row.layer != first.layer]
    assert all(row.error.alone > 100 for row in others)
    later = {row.layer: row for row in others}
    for at in range(spoilt + 1, LAYERS):
        assert later[f"layer{at}"].cause == "inherited"
    for at in range(spoilt):
        assert later[f"layer{at}"].cause == "none"


def test_a_coarse_activation_is_told_from_coarse_weights() -> None:
    found = _blame(_network(WEIGHTS, quantize_input_of=2))
    first = found.layers[0]
    assert (first.layer, first.cause) == ("layer2", "activations")
    assert first.error.weights_only is not None
    assert first.error.weights_only > 100 > first.error.alone
    assert "layer2" in first.fix


def test_the_error_alone_is_that_of_the_layer_on_float_inputs() -> None:
    """Against numpy: the second layer's product with rounded weights, on the float network's own input."""
    weights = [weight.copy() for weight in WEIGHTS]
    weights[0] = np.round(weights[0] * 2) / 2
    weights[1] = np.round(weights[1] * 4) / 4
    found = {row.layer: row for row in _blame(_network(weights)).layers}
    signal = error = 0.0
    for feeds in SAMPLES:
        given = np.maximum(feeds["x"] @ WEIGHTS[0], 0)
        wanted, got = given @ WEIGHTS[1], given @ weights[1]
        signal += float((wanted**2).sum())
        error += float(((got - wanted) ** 2).sum())
    assert found["layer1"].error.alone == pytest.approx(10 * np.log10(signal / error), abs=0.01)
    assert found["layer1"].error.cumulative < found["layer1"].error.alone


def test_one_layer_in_the_original_is_a_sound_model() -> None:
    compressed = _network(WEIGHTS, quantize_input_of=1)
    original = _network(WEIGHTS)
    shared = shared_tensors(original, compressed)
    for cluster in clusters(compressed, shared):
        onnx.checker.check_model(with_one_layer(original, compressed, cluster), full_check=True)


def test_two_products_in_place_of_one_are_one_layer() -> None:
    """As low-rank factorisation leaves it: the tensor between them is not in the original."""
    left, values, right = np.linalg.svd(WEIGHTS[1])
    compressed = _network(WEIGHTS)
    place = next(at for at, node in enumerate(compressed.graph.node) if node.name == "layer1")
    compressed.graph.node.remove(compressed.graph.node[place])
    compressed.graph.initializer.extend(
        [
            numpy_helper.from_array((left[:, :4] * values[:4]).astype(np.float32), "u"),
            numpy_helper.from_array(right[:4].astype(np.float32), "v"),
        ]
    )
    compressed.graph.node.insert(place, helper.make_node("MatMul", ["inner", "v"], ["m1"], name="layer1_right"))
    compressed.graph.node.insert(place, helper.make_node("MatMul", ["r0", "u"], ["inner"], name="layer1_left"))
    first = _blame(compressed).layers[0]
    assert first.tensor == "m1"
    assert first.error.alone < 20


def test_a_tensor_that_lost_channels_is_another_one() -> None:
    """As structured pruning leaves it: the first product is narrower, the second reads less."""
    found = _blame(_network([WEIGHTS[0][:, :8], WEIGHTS[1][:8], *WEIGHTS[2:]]))
    assert {"m0", "r0"}.isdisjoint(row.tensor for row in found.layers)
    assert found.layers[0].tensor == "m1"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (LayerError(alone=80, weights_only=90, cumulative=80, output=None, cosine=1), "none"),
        (LayerError(alone=80, weights_only=90, cumulative=20, output=None, cosine=1), "inherited"),
        (LayerError(alone=30, weights_only=30.5, cumulative=20, output=None, cosine=1), "weights"),
        (LayerError(alone=30, weights_only=45, cumulative=20, output=None, cosine=1), "activations"),
        (LayerError(alone=30, weights_only=33, cumulative=20, output=None, cosine=1), "both"),
    ],
)
def test_causes(error: LayerError, cause: str) -> None:
    assert cause_of(error, marked=True) == cause


def test_a_histogram_that_widens_counts_the_same_as_one_that_is_wide_from_the_start() -> None:
    parts = [RANDOM.normal(size=500).astype(np.float32) * width for width in (0.1, 1.0, 30.0)]
    total = HistogramSum()
    for part in parts:
        total.add(part)
    found = total.result()
    everything = np.concatenate(parts)
    assert sum(found.counts) == everything.size
    assert found.largest == pytest.approx(np.abs(everything).max())
    assert found.rms == pytest.approx(np.sqrt((everything.astype(np.float64) ** 2).mean()), rel=1e-6)
    assert found.low == -found.high
    assert found.high >= found.largest


TARGETS = """\
schema = 1
[model]
source = "model.onnx"
[model.inputs.x]
shape = ["batch", 3, 8, 8]
[model.dims.batch]
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]
[targets.cpu]
backend = "onnxruntime"
recipe = "int8"
[targets.float]
backend = "onnxruntime"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blame")
    write_tiny_project(folder, TARGETS, calibration=16, evaluation=4)
    return folder


def test_the_command_lists_layers_and_draws_them(project: Path, run_cli: Cli) -> None:
    done = run_cli("blame", "--target", "cpu", "--json", "--plot", "blame.html", cwd=project)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["layers"], "it has convolutions"
    worst = result["layers"][0]
    assert worst["output_db"] >= result["outputs_db"] - 1e-6, "one layer alone does not do more harm than all"
    page = (project / "blame.html").read_text()
    assert worst["layer"] in page
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", ""), "nothing is fetched"


def test_layers_without_a_run_of_their_own_are_not_called_exact(project: Path, run_cli: Cli) -> None:
    done = run_cli("blame", "--target", "cpu", "--all", "--top", "1", cwd=project)
    assert done.returncode == 0, done.stderr
    _, header, worst, *others, _ = done.stdout.splitlines()
    place = slice(header.index("outputs"), header.index("alone"))
    assert "dB" in worst[place]
    assert others
    assert {line[place].strip() for line in others} == {""}


def test_a_target_without_passes_has_nobody_to_blame(project: Path, run_cli: Cli) -> None:
    done = run_cli("blame", "--target", "float", cwd=project)
    assert done.returncode == 2
    assert "nothing-to-blame" in done.stderr
