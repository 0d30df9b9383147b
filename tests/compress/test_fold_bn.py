"""`fold-bn`: it computes what the normalization computed, wherever that stood, and leaves what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.graph import read_model
from edgetool.passes.base import PassResult
from edgetool.testing import PassConformance, tiny_cnn, tiny_lstm, tiny_mlp
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.fold_bn import FoldBn

Array = np.ndarray[Any, Any]
_CHANCE = np.random.default_rng(3)


class TestConformance(PassConformance):
    pass_class = FoldBn
    models = (tiny_mlp, tiny_cnn, tiny_lstm)
    samples = 0


def normal(*shape: int) -> Array:
    return _CHANCE.normal(size=shape).astype(np.float32)


def norm(source: str, result: str, channels: int, name: str = "bn") -> tuple[onnx.NodeProto, dict[str, Array]]:
    parts = {f"{name}.{part}": normal(channels) for part in ("scale", "bias", "mean")}
    parts[f"{name}.variance"] = np.abs(normal(channels)) + np.float32(0.1)
    return helper.make_node("BatchNormalization", [source, *parts], [result], name, epsilon=1e-3), parts


def save(
    folder: Path, nodes: Sequence[onnx.NodeProto], stored: dict[str, Array], shape: Sequence[int | str], rank: int
) -> Model:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, folder / "net.onnx")
    return read_model(folder / "net.onnx")


def fold(model: Model, folder: Path) -> PassResult:
    folder.mkdir()
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1))
    return FoldBn(FoldBn.Options()).apply(model, folder, context)


def conv_then_norm(folder: Path, **attributes: Any) -> Model:
    node, parts = norm("c", "y", 6)
    conv = helper.make_node("Conv", ["x", "w", "b"], ["c"], **attributes)
    groups = attributes.get("group", 1)
    stored = {"w": normal(6, 4 // groups, 3, 3), "b": normal(6), **parts}
    return save(folder, [conv, node], stored, [2, 4, 8, 8], 4)


def grouped_conv(folder: Path) -> Model:
    return conv_then_norm(folder, group=2, pads=[1, 1, 1, 1])


def transposed(folder: Path) -> Model:
    node, parts = norm("c", "y", 6)
    conv = helper.make_node("ConvTranspose", ["x", "w"], ["c"], group=2, strides=[2, 2])
    return save(folder, [conv, node], {"w": normal(4, 3, 2, 2), **parts}, [2, 4, 8, 8], 4)


def conv_add_norm(folder: Path) -> Model:
    node, parts = norm("s", "y", 6)
    conv, add = helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Add", ["k", "c"], ["s"])
    return save(folder, [conv, add, node], {"w": normal(6, 4, 3, 3), "k": normal(6, 1, 1), **parts}, [2, 4, 8, 8], 4)


def product_norm(folder: Path) -> Model:
    node, parts = norm("c", "y", 6)
    return save(folder, [helper.make_node("MatMul", ["x", "w"], ["c"]), node], {"w": normal(4, 6), **parts}, [3, 4], 2)


def product_add_norm(folder: Path) -> Model:
    node, parts = norm("s", "y", 6)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["c"]), helper.make_node("Add", ["c", "k"], ["s"]), node]
    return save(folder, nodes, {"w": normal(4, 6), "k": normal(6), **parts}, [3, 4], 2)


def gemm_norm(folder: Path) -> Model:
    node, parts = norm("c", "y", 6)
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["c"], transB=1, alpha=0.5)
    return save(folder, [gemm, node], {"w": normal(6, 4), "b": normal(6), **parts}, [3, 4], 2)


BEHIND = (conv_then_norm, grouped_conv, transposed, conv_add_norm, product_norm, product_add_norm, gemm_norm)


def norm_conv(folder: Path) -> Model:
    node, parts = norm("x", "n", 4)
    conv = helper.make_node("Conv", ["n", "w"], ["y"], group=2, strides=[2, 2])
    return save(folder, [node, conv], {"w": normal(6, 2, 3, 3), **parts}, [2, 4, 8, 8], 4)


def norm_gemm(folder: Path) -> Model:
    node, parts = norm("x", "n", 4)
    gemm = helper.make_node("Gemm", ["n", "w", "b"], ["y"], alpha=0.5)
    return save(folder, [node, gemm], {"w": normal(4, 6), "b": normal(6), **parts}, [3, 4], 2)


def norm_gemm_flipped(folder: Path) -> Model:
    node, parts = norm("x", "n", 4)
    gemm = helper.make_node("Gemm", ["n", "w"], ["y"], transB=1)
    return save(folder, [node, gemm], {"w": normal(6, 4), **parts}, [3, 4], 2)


AHEAD = (norm_conv, norm_gemm, norm_gemm_flipped)


@pytest.mark.parametrize("make", [*BEHIND, *AHEAD])
def test_it_computes_the_same_without_the_normalization(tmp_path: Path, make: Any) -> None:
    model = make(tmp_path)
    done = fold(model, tmp_path / "out")
    assert "BatchNormalization" not in _operators(done.model)
    assert (done.facts["folded_behind"], done.facts["folded_ahead"]) == ((1, 0) if make in BEHIND else (0, 1))
    stored = {tensor.name for tensor in onnx.load(done.model.path).graph.initializer}
    assert not [name for name in stored if name.startswith("bn.") and not name.endswith("_folded")]
    _agree(model, done.model)


@pytest.mark.parametrize("backend", [OnnxRuntime, OpenVino])
def test_engines_compute_the_same(tmp_path: Path, backend: Any) -> None:
    model = conv_add_norm(tmp_path)
    done = fold(model, tmp_path / "out")
    (tmp_path / "engine").mkdir()
    subject, context = backend(backend.Options()), BuildContext(threads=1)
    with subject.open(subject.build(done.model, tmp_path / "engine", context), context) as runner:
        feeds = {"x": normal(2, 4, 8, 8)}
        expected = open_onnx(model.path, 1).infer(feeds)["y"]
        assert np.allclose(runner.infer(feeds)["y"], expected, atol=1e-4)


def _padded(folder: Path) -> Model:
    node, parts = norm("x", "n", 4)
    conv = helper.make_node("Conv", ["n", "w"], ["y"], pads=[1, 1, 1, 1])
    return save(folder, [node, conv], {"w": normal(6, 4, 3, 3), **parts}, [2, 4, 8, 8], 4)


def _also_read(folder: Path) -> Model:
    node, parts = norm("c", "n", 6)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        node,
        helper.make_node("Add", ["c", "n"], ["y"]),
    ]
    return save(folder, nodes, {"w": normal(6, 4, 3, 3), **parts}, [2, 4, 8, 8], 4)


def _sequence_product(folder: Path) -> Model:
    """Channels are the second axis, which is not the one that the product writes."""
    node, parts = norm("c", "y", 5)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["c"]), node]
    return save(folder, nodes, {"w": normal(4, 5), **parts}, [2, 5, 4], 3)


def _added_pictures(folder: Path) -> Model:
    node, parts = norm("s", "y", 6)
    conv, add = helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Add", ["k", "c"], ["s"])
    return save(folder, [conv, add, node], {"w": normal(6, 4, 3, 3), "k": normal(6, 6, 6), **parts}, [2, 4, 8, 8], 4)


@pytest.mark.parametrize("make", [_padded, _also_read, _sequence_product, _added_pictures])
def test_what_would_compute_something_else_is_left_with_a_reason(tmp_path: Path, make: Any) -> None:
    model = make(tmp_path)
    done = fold(model, tmp_path / "out")
    assert not done.changed
    assert done.model == model
    assert done.facts["left"] == {"bn": "no layer beside it can take it in"}


def test_parameters_that_are_not_finite_stay_where_they_are(tmp_path: Path) -> None:
    model = conv_then_norm(tmp_path)
    proto = onnx.load(model.path)
    for tensor in proto.graph.initializer:
        if tensor.name == "bn.variance":
            tensor.CopyFrom(numpy_helper.from_array(np.full(6, -1, np.float32), tensor.name))
    onnx.save(proto, model.path)
    assert fold(model, tmp_path / "out").facts["left"] == {"bn": "its parameters are not finite"}


def test_parameters_that_are_inputs_are_left(tmp_path: Path) -> None:
    model = conv_then_norm(tmp_path)
    proto = onnx.load(model.path)
    place = next(place for place, row in enumerate(proto.graph.initializer) if row.name == "bn.scale")
    del proto.graph.initializer[place]
    proto.graph.input.append(helper.make_tensor_value_info("bn.scale", TensorProto.FLOAT, [6]))
    onnx.save(proto, model.path)
    found = fold(read_model(model.path), tmp_path / "out").facts["left"]
    assert found == {"bn": "its parameters are computed or are inputs"}


def test_a_weight_that_two_layers_share_stays_for_the_other(tmp_path: Path) -> None:
    node, parts = norm("c", "n", 4)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        node,
        helper.make_node("Conv", ["n", "w"], ["y"]),
    ]
    model = save(tmp_path, nodes, {"w": normal(4, 4, 3, 3), **parts}, [2, 4, 8, 8], 4)
    done = fold(model, tmp_path / "out")
    assert done.facts["folded_behind"] == 1
    _agree(model, done.model)


def _operators(model: Model) -> list[str]:
    return [node.op_type for node in onnx.load(model.path).graph.node]


def _agree(before: Model, after: Model) -> None:
    (spec,) = before.signature.inputs
    feeds = {"x": np.random.default_rng(9).normal(size=[int(size) for size in spec.shape]).astype(np.float32)}
    expected, found = (open_onnx(model.path, 1).infer(feeds)["y"] for model in (before, after))
    assert np.allclose(expected, found, rtol=1e-4, atol=1e-4)
