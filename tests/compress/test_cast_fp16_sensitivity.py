"""cast-fp16: layers that lose too much stay float32, and quantized networks get float16 scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ConfigError
from edgetool.passes.base import PassResult
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.cast_fp16 import CastFp16, CastFp16Options
from edgetool_passes.quantize_static import QuantizeStatic
from tests.compress.quantize_networks import images, mobile_block, written
from tests.quantize.conftest import Feed, apply_pass, cosine, run  # noqa: F401 (a fixture)

Array = np.ndarray[Any, Any]


@pytest.fixture
def delicate(tmp_path: Path) -> Model:
    """Two products; what the second reads lies far from zero, and only its differences count."""
    chance = np.random.default_rng(0)
    stored = {
        "w": (chance.normal(size=(16, 16)) / 4).astype(np.float32), "far": np.full(16, 3000, np.float32),
        "v": (chance.normal(size=(16, 16)) / 4).astype(np.float32),
    }  # fmt: skip
    stored["v"] -= stored["v"].mean(axis=0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Add", ["a", "far"], ["b"], "shift"),
        helper.make_node("MatMul", ["b", "v"], ["y"], "second"),
    ]
    return written(tmp_path / "m.onnx", nodes, stored, {"x": ["batch", 16]}, {"y": ["batch", 16]})


def _feeds(count: int) -> list[Feed]:
    chance = np.random.default_rng(1)
    return [{"x": chance.normal(size=(3, 16)).astype(np.float32)} for _ in range(count)]


def _cast(model: Model, folder: Path, feeds: list[Feed] | None, **options: Any) -> PassResult:
    folder.mkdir()
    context = PassContext(
        threads=1,
        open_reference=lambda path: open_onnx(path, 1),
        calibration=None if feeds is None else GivenSamples(feeds),
    )
    return CastFp16(CastFp16Options(**options)).apply(model, folder, context)


def test_sensitivity_is_what_an_independent_computation_says(delicate: Model, tmp_path: Path) -> None:
    """Inputs, weights and the result rounded, everything else in float32, energies over all samples."""
    feeds = _feeds(5)
    facts = _cast(delicate, tmp_path / "out", feeds, min_sqnr=0).facts
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(delicate.path).graph.initializer}

    def half(array: Array) -> Array:
        return array.astype(np.float16).astype(np.float32)

    x = np.concatenate([feed["x"] for feed in feeds])
    a = x @ values["w"]
    b = a + values["far"]
    expected = {}
    for name, exact, rounded in (
        ("a", a, half(half(x) @ half(values["w"]))),
        ("b", b, half(half(a) + half(values["far"]))),
        ("y", b @ values["v"], half(half(b) @ half(values["v"]))),
    ):
        expected[name] = 10 * np.log10((exact**2).sum() / ((exact - rounded) ** 2).sum())
    measured = dict(facts["least_sqnr"])
    assert measured == pytest.approx(expected, abs=0.3)
    assert facts["least_sqnr"][0][0] == "y"
    assert facts["sensitivity_samples"] == 5


def test_the_most_sensitive_layers_stay_float32(delicate: Model, tmp_path: Path) -> None:
    feeds = _feeds(8)
    kept = _cast(delicate, tmp_path / "one", feeds, keep_most_sensitive=1).facts["kept"]
    ((reason, nodes),) = kept.items()
    assert nodes == ["second"] and "dB are left of its result in float16" in reason
    by_limit = _cast(delicate, tmp_path / "limit", feeds, min_sqnr=40).facts
    assert [node for nodes in by_limit["kept"].values() for node in nodes] == ["second"]
    assert by_limit["sensitive_nodes"] == 1
    everything = _cast(delicate, tmp_path / "all", feeds, keep_most_sensitive=99)
    assert not everything.changed and len(everything.facts["kept"]) >= 1


def test_keeping_them_pays(delicate: Model, tmp_path: Path) -> None:
    feeds = _feeds(8)
    held_out = _feeds(20)[8:]
    expected = run(delicate.path, held_out)
    errors = []
    for count in (0, 2):
        cast = _cast(delicate, tmp_path / str(count), feeds, keep_most_sensitive=count).model
        errors.append(float(((run(cast.path, held_out) - expected) ** 2).mean()))
    assert errors[1] < 0.2 * errors[0]


def test_sensitivity_needs_samples(delicate: Model, tmp_path: Path) -> None:
    assert CastFp16.wants_calibration(CastFp16Options(keep_most_sensitive=1))
    assert not CastFp16.wants_calibration(CastFp16Options())
    with pytest.raises(ConfigError) as caught:
        _cast(delicate, tmp_path / "out", None, keep_most_sensitive=1)
    assert caught.value.code == "calibration-missing"
    assert "keep" in (caught.value.hint or "")


def test_one_sample_is_enough(delicate: Model, tmp_path: Path) -> None:
    assert _cast(delicate, tmp_path / "out", _feeds(1), keep_most_sensitive=1).facts["sensitivity_samples"] == 1


def test_scales_become_float16_and_no_cast_stands_before_an_operator(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    model = mobile_block(tmp_path, uneven=False)
    typed = apply_pass(QuantizeStatic, model, images(8)).result.model
    result = _cast(typed, tmp_path / "out", images(4))
    assert result.facts["opset"] == {"from": 17, "to": 19}
    assert result.facts["casts"] == 2, "one at each border of the model"
    graph = onnx.load(result.model.path).graph
    cast = {node.output[0] for node in graph.node if node.op_type == "Cast"}
    assert not [node.name for node in graph.node if node.op_type in ("Conv", "Gemm") and cast.intersection(node.input)]
    scales = {node.input[1] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    kinds = {tensor.data_type for tensor in graph.initializer if tensor.name in scales}
    assert kinds == {onnx.TensorProto.FLOAT16}


def test_a_target_that_reads_no_float16_scales_keeps_casts(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    typed = apply_pass(QuantizeStatic, mobile_block(tmp_path, uneven=False), images(8)).result.model
    result = _cast(typed, tmp_path / "out", images(4), max_opset=18)
    assert result.facts["opset"] == {"from": 17, "to": 17}
    assert result.facts["casts"] > 10


@pytest.mark.parametrize("kind", [OnnxRuntime, OpenVino])
def test_float16_scales_compute_the_same_on_both_runtimes(tmp_path: Path, apply_pass: Any, kind: Any) -> None:  # noqa: F811
    model = mobile_block(tmp_path)
    typed = apply_pass(QuantizeStatic, model, images(16)).result.model
    half = _cast(typed, tmp_path / "half", images(4)).model
    feeds = images(8, seed=5)
    backend, context = kind(kind.Options()), BuildContext(threads=1)
    (tmp_path / "engine").mkdir()
    with backend.open(backend.build(half, tmp_path / "engine", context), context) as runner:
        actual = np.concatenate([runner.infer(feed)["logits"] for feed in feeds])
    assert cosine(run(model.path, feeds), actual) > 0.99


def test_the_reference_computes_float16_scales_rightly(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    """Small scales of both inputs: their product is zero in float16, and biases must not be lost for it."""
    chance = np.random.default_rng(0)
    stored = {"w": (chance.normal(size=(4, 3, 1, 1)) * 0.02).astype(np.float32), "b": np.full(4, 0.5, np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv"), helper.make_node("Relu", ["c"], ["y"], "relu")]
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 8, 8]})
    feeds = [{"x": (chance.normal(size=(1, 3, 8, 8)) * 0.02).astype(np.float32)} for _ in range(4)]
    typed = apply_pass(QuantizeStatic, model, feeds).result.model
    half = _cast(typed, tmp_path / "half", feeds).model
    np.testing.assert_allclose(run(half.path, feeds), run(model.path, feeds), atol=1e-3)
