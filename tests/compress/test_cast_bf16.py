"""cast-bf16: what becomes bfloat16 in which opset, what stays, and that the numbers hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ModelError
from edgetool.passes.base import PassResult
from edgetool.testing import MakeModel, PassConformance, tiny_branches, tiny_cnn, tiny_lstm, tiny_mlp
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.cast_bf16 import CastBf16, CastBf16Options
from tests.compress.quantize_networks import images, mobile_block, written
from tests.quantize.conftest import cosine, run

Array = np.ndarray[Any, Any]


class TestConformance(PassConformance):
    pass_class = CastBf16
    models = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches)
    min_cosine = None  # the interpreter knows no bfloat16 products
    samples = 0


class TestConformanceOfStorage(PassConformance):
    pass_class = CastBf16
    options: ClassVar[dict[str, Any]] = {"activations": False}
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches)
    min_cosine = 0.999
    samples = 0


def _cast(model: Model, folder: Path, **options: Any) -> tuple[PassResult, list[str]]:
    notes: list[str] = []
    folder.mkdir()
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), note=notes.append)
    return CastBf16(CastBf16Options(**options)).apply(model, folder, context), notes


def _dtypes(path: Path) -> set[str]:
    tensors = [tensor for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1]
    return {TensorProto.DataType.Name(tensor.data_type) for tensor in tensors}


def test_the_whole_network_computes_in_bfloat16_on_openvino(tmp_path: Path) -> None:
    model = mobile_block(tmp_path)
    result, notes = _cast(model, tmp_path / "out")
    assert result.facts["opset"] == {"from": 17, "to": 22}
    assert result.facts["kept"] == {} and result.facts["casts"] == 2 and notes == []
    assert _dtypes(result.model.path) == {"BFLOAT16"}
    assert [spec.dtype for spec in (*result.model.signature.inputs, *result.model.signature.outputs)] == ["float32"] * 2
    backend, context = OpenVino(OpenVino.Options()), BuildContext(threads=1)
    (tmp_path / "engine").mkdir()
    feeds = images(4, seed=2)
    with backend.open(backend.build(result.model, tmp_path / "engine", context), context) as runner:
        actual = np.concatenate([runner.infer(feed)["logits"] for feed in feeds])
    assert cosine(run(model.path, feeds), actual) > 0.999


def test_onnx_runtime_refuses_what_it_has_no_kernel_for(tmp_path: Path) -> None:
    result, _ = _cast(mobile_block(tmp_path), tmp_path / "out")
    with pytest.raises(ModelError, match="no kernel for Conv"):
        open_onnx(result.model.path, 1)


@pytest.mark.parametrize("kind", [OnnxRuntime, OpenVino])
def test_stored_weights_run_everywhere(tmp_path: Path, kind: Any) -> None:
    model = mobile_block(tmp_path)
    result, _ = _cast(model, tmp_path / "out", activations=False)
    assert result.facts["stored_weights"] == 4, "the head is too small to gain anything"
    assert result.facts["opset"] == {"from": 17, "to": 17}
    backend, context = kind(kind.Options()), BuildContext(threads=1)
    (tmp_path / "engine").mkdir()
    feeds = images(4, seed=2)
    with backend.open(backend.build(result.model, tmp_path / "engine", context), context) as runner:
        actual = np.concatenate([runner.infer(feed)["logits"] for feed in feeds])
    assert cosine(run(model.path, feeds), actual) > 0.9999


def test_weights_are_rounded_to_nearest(tmp_path: Path) -> None:
    """Against a rounding of the bits that is done by hand: half a unit of the 16th bit is added, ties to even."""
    weight = np.random.default_rng(0).normal(size=(32, 16)).astype(np.float32)
    weight[0, :4] = (1.00390625, 3.4e38, -1e-40, 0)  # a tie, the largest, a denormal, zero
    model = written(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": weight},
        {"x": [1, 32]},
        {"y": [1, 16]},
    )
    result, _ = _cast(model, tmp_path / "out", activations=False)
    bits = weight.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    expected[weight == np.float32(3.4e38)] = 0x7F7F  # clamped: it would become infinite
    stored = next(tensor for tensor in onnx.load(result.model.path).graph.initializer if tensor.name == "w")
    np.testing.assert_array_equal(np.frombuffer(stored.raw_data, np.uint16).reshape(32, 16), expected)


def test_an_old_target_keeps_its_convolutions_in_float32(tmp_path: Path) -> None:
    result, notes = _cast(mobile_block(tmp_path), tmp_path / "out", max_opset=20)
    assert result.facts["opset"] == {"from": 17, "to": 17}
    (reason,) = result.facts["kept"]
    assert reason == "operator has no bfloat16 form in this opset"
    assert set(result.facts["kept"][reason]) == {"stem", "wide", "deep", "thin", "pool"}
    assert _dtypes(result.model.path) == {"FLOAT", "BFLOAT16"}
    assert "22 has more" in notes[0]


def test_what_the_user_names_and_what_counts_positions_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["f"], "count", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "half"], ["g"], "middle"),
        helper.make_node("MatMul", ["x", "w"], ["m"], "product/first"),
        helper.make_node("Add", ["m", "g"], ["y"], "shift"),
    ]
    stored = {"half": np.array(0.5, np.float32), "w": np.eye(4, dtype=np.float32)}
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [1, 4], "n": [1]}, {"y": [1, 4]})
    proto = onnx.load(model.path)
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(proto, model.path)
    result, _ = _cast(model, tmp_path / "out", keep=("product/*",))
    kept = {node: reason for reason, nodes in result.facts["kept"].items() for node in nodes}
    assert kept == {"count": "computes with integers", "middle": "computes with integers", "product/first": "asked for"}


def test_twice_is_once_and_nothing_is_said_to_be_nothing(tmp_path: Path) -> None:
    once, _ = _cast(mobile_block(tmp_path), tmp_path / "once")
    twice, _ = _cast(once.model, tmp_path / "twice")
    assert not twice.changed and twice.model == once.model


def test_sixteen_bits_at_the_borders_when_asked(tmp_path: Path) -> None:
    result, _ = _cast(mobile_block(tmp_path), tmp_path / "out", keep_io=False)
    assert result.model.signature.inputs[0].dtype == "bfloat16"
    assert result.facts["casts"] == 0
