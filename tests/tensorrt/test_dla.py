"""DLA int8: typed ONNX becomes a float network and a calibration cache, or is refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.context import PassContext
from edgetool.errors import ModelError
from edgetool.graph import load
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import interpose_pair, store_grid
from edgetool.qdq.ranges import RANGES_KEY, Range
from edgetool.testing.models import tiny_cnn, tiny_int8_cnn
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_static import QuantizeStatic
from edgetool_tensorrt.dla import Lowered, lower, wants_calibration
from edgetool_tensorrt.version import Version
from tests.quantize.conftest import make_residual_cnn, pictures
from tests.tensorrt.dla_files import ORIN, counts, infer, refused, scales_of, with_ranges


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    """A residual network as `quantize-static` leaves it."""
    return quantized(tmp_path)


def quantized(folder: Path, **options: Any) -> Path:
    workdir = folder / "work"
    workdir.mkdir()
    context = PassContext(
        threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=GivenSamples(pictures(6)), note=print
    )
    model = make_residual_cnn(folder)
    options = {"equalization": 0, **options}  # scaled tensors have other names
    return QuantizeStatic(QuantizeStatic.Options(**options)).apply(model, workdir, context).model.path


def test_a_network_as_the_recipe_leaves_it(residual: Path, out: Path) -> None:
    before = hashlib.sha256(residual.read_bytes()).hexdigest()
    lowered = lower(residual, out, ORIN)
    assert hashlib.sha256(residual.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in out.iterdir()) == ["calib.cache", "model.onnx"]
    model = load(lowered.model)
    onnx.checker.check_model(model)
    assert not any("quantize" in node.op_type.lower() for node in model.graph.node)
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT}
    names = [node.name for node in load(residual).graph.node if "quantize" not in node.op_type.lower()]
    assert [node.name for node in model.graph.node] == names
    assert lowered.float16 == ("head",)
    assert set(counts(lowered)) == {
        "qdq-to-calibration-cache", "recorded-scales", "carried-scales", "float-weights", "float16-tail",
    }  # fmt: skip
    assert "head" in lowered.lowerings[-1].summary


def test_every_tensor_of_the_region_has_a_scale(residual: Path, out: Path) -> None:
    lowered = lower(residual, out, ORIN)
    scales = scales_of(lowered)
    activations = [value.name for value in load(residual).graph.input]
    activations += [name for node in load(lowered.model).graph.node for name in node.output]
    assert list(scales) == [name for name in activations if name != "logits"]  # in the graph's order
    assert scales["stem"] == scales["stem_out"], "Relu moves values to zero only"
    assert scales["stem_out"] == scales["pooled"]


def test_scales_are_those_of_the_pairs_to_the_last_bit(residual: Path, out: Path) -> None:
    model = load(residual)
    index = GraphIndex(model.graph)
    pairs = {
        node.input[0]: float(index.values(node.input[1]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    scales = scales_of(lower(residual, out, ORIN))
    assert {name: scales[name] for name in pairs} == pairs


def test_the_float_network_agrees_within_the_quantization_error(residual: Path, out: Path) -> None:
    lowered = lower(residual, out, ORIN)
    scales = scales_of(lowered)
    for feeds in pictures(2, seed=5):
        typed, plain = infer(residual, feeds)["logits"], infer(lowered.model, feeds)["logits"]
        assert np.abs(typed - plain).max() < 40 * scales["flat"]
        cosine = (typed * plain).sum() / np.linalg.norm(typed) / np.linalg.norm(plain)
        assert cosine > 0.999


def test_quantized_by_the_cache_it_computes_what_the_typed_network_does(residual: Path, out: Path) -> None:
    """What TensorRT makes of both files, simulated: every tensor of the cache goes through its int8 grid."""
    lowered = lower(residual, out, ORIN)
    model = load(lowered.model)
    inputs = {value.name for value in model.graph.input}
    editor = GraphEditor(model.graph)
    for name, scale in scales_of(lowered).items():
        if name not in inputs:
            interpose_pair(editor, name, store_grid(editor, name, scale=scale, zero_point=np.int8(0)))
    editor.commit()
    simulated = out / "simulated.onnx"
    onnx.save(model, simulated)
    for feeds in pictures(2, seed=5):
        typed, cached = infer(residual, feeds)["logits"], infer(simulated, feeds)["logits"]
        cosine = (typed * cached).sum() / np.linalg.norm(typed) / np.linalg.norm(cached)
        assert cosine > 0.999


def test_weights_are_dequantized_exactly(tmp_path: Path, out: Path) -> None:
    source = with_ranges(tiny_int8_cnn(tmp_path).path, r2=Range(0, 2), p=Range(0, 1))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in load(source).graph.initializer}
    lowered = lower(source, out, ORIN)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in load(lowered.model).graph.initializer}
    for name in ("stem", "body", "head"):
        shape = (-1,) + (1,) * (stored[f"{name}_q"].ndim - 1)
        expected = stored[f"{name}_q"].astype(np.float32) * stored[f"{name}_scale"].reshape(shape)
        np.testing.assert_array_equal(found[f"{name}_q_float"], expected)
    assert counts(lowered)["float-weights"] == 3


def test_weights_that_do_not_use_all_of_int8_are_said_to_be_rounded_anew(tmp_path: Path, out: Path) -> None:
    lowered = lower(quantized(tmp_path, weight_bits=7), out, ORIN)
    assert counts(lowered)["float-weights-rounded-anew"] == 5
    assert "float-weights" not in counts(lowered)


@pytest.mark.parametrize(
    ("version", "spelled"),
    [("8.2.5", "8205"), ("8.5.2.2", "8502"), ("8.6.2", "8602"), ("10.3.0.30", "100300"), ("10.7.0.23", "100700")],
)
def test_the_first_line_names_version_and_calibrator(residual: Path, out: Path, version: str, spelled: str) -> None:
    lowered = lower(residual, out, Version.parse(version))
    assert lowered.calibration is not None
    first, second, *_ = lowered.calibration.read_text().splitlines()
    assert first == f"TRT-{spelled}-EntropyCalibration2"
    name, digits = second.split(": ")
    assert name == "image"
    assert len(digits) == 8


def test_the_same_input_gives_the_same_bytes(residual: Path, out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first, second = lower(residual, out, ORIN), lower(residual, other, ORIN)
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.calibration and second.calibration
    assert first.calibration.read_bytes() == second.calibration.read_bytes()


def test_which_releases_take_a_cache() -> None:
    takes = {
        text: wants_calibration(Version.parse(text)) for text in ("8.2.1", "10.3.0", "10.7.0.23", "10.8", "11.4.1")
    }
    assert takes == {"8.2.1": True, "10.3.0": True, "10.7.0.23": True, "10.8": False, "11.4.1": False}


def test_a_later_release_is_a_mistake_of_the_caller(residual: Path, out: Path) -> None:
    with pytest.raises(ValueError, match=r"11\.4\.1"):
        lower(residual, out, Version.parse("11.4.1"))


def test_a_float_network_is_left_alone(tmp_path: Path, out: Path) -> None:
    source = tiny_cnn(tmp_path).path
    assert lower(source, out, ORIN) == Lowered(source)
    assert list(out.iterdir()) == []


# What is refused


def test_tensors_without_a_scale_are_named(tmp_path: Path, out: Path) -> None:
    """A network that was quantized elsewhere, on the inputs of weighted nodes only."""
    error = refused(tiny_int8_cnn(tmp_path).path, out)
    assert (error.code, error.exit_code) == ("dla-scale-missing", 3)
    assert error.message.endswith("'c2', 'r2'")
    assert "quantize-static" in (error.hint or "")
    assert list(out.iterdir()) == []


def test_without_the_recorded_ranges_a_recipe_is_refused_too(residual: Path, out: Path) -> None:
    model = onnx.load(residual)
    for entry in [entry for entry in model.metadata_props if entry.key == RANGES_KEY]:
        model.metadata_props.remove(entry)
    onnx.save(model, residual)
    assert refused(residual, out).message.endswith("'thin', 'sum'")


def change_zero(model: onnx.ModelProto) -> None:
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "r1_zero")
    zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), "r1_zero"))


def change_to_uint8(model: onnx.ModelProto) -> None:
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "r1_zero")
    zero.CopyFrom(numpy_helper.from_array(np.array(0, np.uint8), "r1_zero"))


def change_to_channels(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "r1_scale":
            tensor.CopyFrom(numpy_helper.from_array(np.full(8, 0.02, np.float32), "r1_scale"))
        elif tensor.name == "r1_zero":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(8, np.int8), "r1_zero"))


@pytest.mark.parametrize("change", [change_zero, change_to_uint8, change_to_channels])
def test_quantization_that_one_scale_cannot_express(
    tmp_path: Path, out: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    path = with_ranges(tiny_int8_cnn(tmp_path).path, r2=Range(0, 2), p=Range(0, 1))
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    error = refused(path, out)
    assert (error.code, error.exit_code) == ("dla-quantization-unfit", 3)
    assert error.message.endswith("'r1_q', 'r1_dq'")


def test_names_that_would_break_a_line(tmp_path: Path, out: Path) -> None:
    path = with_ranges(tiny_int8_cnn(tmp_path).path, r2=Range(0, 2), p=Range(0, 1))
    model = onnx.load(path)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "r1":
                    names[place] = "r1\nTRT-1"
    onnx.save(model, path)
    with pytest.raises(ModelError) as caught:
        lower(path, out, ORIN)
    assert caught.value.exit_code == 3
    assert not (out / "calib.cache").exists()


def test_qdq_inside_of_control_flow_is_refused(tmp_path: Path, out: Path) -> None:
    path = with_ranges(tiny_int8_cnn(tmp_path).path, r2=Range(0, 2), p=Range(0, 1))
    model = onnx.load(path)
    inner = [
        helper.make_node("QuantizeLinear", ["p", "f_scale", "f_zero"], ["inner_q"], "inner_q"),
        helper.make_node("DequantizeLinear", ["inner_q", "f_scale", "f_zero"], ["inner"], "inner_dq"),
    ]
    result = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    body = helper.make_graph(inner, "body", [], result)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["z"], "if", then_branch=body, else_branch=body))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    onnx.save(model, path)
    assert refused(path, out).message.endswith("'inner_q', 'inner_dq', 'inner_q', 'inner_dq'")
