"""`fuse`: every spelling becomes one operator that computes the same; what only looks like one is left."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from edgetool_passes.fuse import Fuse

WIDTH = 8
_ROOT, _TANH = math.sqrt(2), math.sqrt(2 / math.pi)


class Spelling:
    """A network that is written down operator by operator."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, np.ndarray[Any, Any]] = {}

    def op(self, kind: str, *inputs: str | float, **attributes: Any) -> str:
        names = [value if isinstance(value, str) else self.keep(np.float32(value)) for value in inputs]
        result = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [result], **attributes))
        return result

    def keep(self, values: Any) -> str:
        name = f"k{len(self.stored)}"
        self.stored[name] = np.asarray(values)
        return name

    def mean(self, source: str, opset: int, **attributes: Any) -> str:
        if opset >= 18:
            return self.op("ReduceMean", source, self.keep(np.array([-1], np.int64)), **attributes)
        return self.op("ReduceMean", source, axes=[-1], **attributes)

    def save(self, folder: Path, result: str, opset: int) -> Model:
        self.nodes.append(helper.make_node("Identity", [result], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, WIDTH])],
            [numpy_helper.from_array(values, name) for name, values in self.stored.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(proto, full_check=True)
        onnx.save(proto, folder / "net.onnx")
        return read_model(folder / "net.onnx")


def layer_norm(net: Spelling, opset: int, *, power: bool, reciprocal: bool, flipped: bool) -> str:
    weight = net.keep(np.linspace(0.5, 2, WIDTH, dtype=np.float32))
    bias = net.keep(np.linspace(-1, 1, WIDTH, dtype=np.float32))
    deviation = net.op("Sub", "x", net.mean("x", opset))
    square = net.op("Pow", deviation, 2.0) if power else net.op("Mul", deviation, deviation)
    spread = net.op("Sqrt", net.op("Add", net.mean(square, opset, keepdims=1), 1e-5))
    divided = net.op("Mul", net.op("Reciprocal", spread), deviation) if reciprocal else net.op("Div", deviation, spread)
    scaled = net.op("Mul", *((weight, divided) if flipped else (divided, weight)))
    return net.op("Add", *((bias, scaled) if flipped else (scaled, bias)))


def rms_norm(net: Spelling) -> str:
    weight = net.keep(np.linspace(0.5, 2, WIDTH, dtype=np.float32))
    spread = net.op("Sqrt", net.op("Add", net.mean(net.op("Pow", "x", 2.0), 18, keepdims=1), 1e-6))
    return net.op("Mul", weight, net.op("Mul", "x", net.op("Reciprocal", spread)))


def erf_gelu(net: Spelling, order: int, *, divide: bool = True, root: float = _ROOT) -> str:
    inner = net.op("Div", "x", root) if divide else net.op("Mul", 1 / root, "x")
    return _halved(net, net.op("Add", net.op("Erf", inner), 1.0), order)


def tanh_gelu(net: Spelling, order: int) -> str:
    cube = net.op("Mul", 0.044715, net.op("Pow", "x", 3.0))
    return _halved(net, net.op("Add", 1.0, net.op("Tanh", net.op("Mul", _TANH, net.op("Add", "x", cube)))), order)


def _halved(net: Spelling, one_and: str, order: int) -> str:
    match order:
        case 0:
            return net.op("Mul", net.op("Mul", "x", one_and), 0.5)
        case 1:
            return net.op("Mul", net.op("Mul", 0.5, "x"), one_and)
        case _:
            return net.op("Mul", net.op("Mul", 0.5, one_and), "x")


def old_transformer(folder: Path) -> Model:
    """Both operators, in an opset that has neither."""
    net = Spelling()
    net.op("Identity", "x")
    result = layer_norm(net, 13, power=True, reciprocal=False, flipped=False)
    gelu = net.op("Mul", net.op("Mul", result, net.op("Add", net.op("Erf", net.op("Div", result, _ROOT)), 1.0)), 0.5)
    return net.save(folder, gelu, 13)


class TestConformance(PassConformance):
    pass_class = Fuse
    models = (old_transformer, tiny_mlp, tiny_cnn, tiny_lstm)
    samples = 0


def fuse(model: Model, folder: Path, **options: Any) -> PassResult:
    folder.mkdir()
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1))
    return Fuse(Fuse.Options(**options)).apply(model, folder, context)


def operators(model: Model) -> set[str]:
    return {node.op_type for node in onnx.load(model.path).graph.node} - {"Identity"}


def agree(before: Model, after: Model) -> None:
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 3, WIDTH)).astype(np.float32)}
    expected, found = (open_onnx(model.path, 1).infer(feeds)["y"] for model in (before, after))
    assert np.allclose(expected, found, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize(("power", "reciprocal", "flipped"), [(True, False, False), (False, True, True)])
def test_layer_normalization(tmp_path: Path, opset: int, power: bool, reciprocal: bool, flipped: bool) -> None:
    net = Spelling()
    result = layer_norm(net, opset, power=power, reciprocal=reciprocal, flipped=flipped)
    model = net.save(tmp_path, result, opset)
    done = fuse(model, tmp_path / "out")
    assert operators(done.model) == {"LayerNormalization"}
    assert done.facts["opset"] == {"from": opset, "to": 18}
    agree(model, done.model)


@pytest.mark.parametrize("spell", [erf_gelu, tanh_gelu])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_gelu(tmp_path: Path, spell: Callable[[Spelling, int], str], order: int) -> None:
    net = Spelling()
    model = net.save(tmp_path, spell(net, order), 17)
    done = fuse(model, tmp_path / "out")
    assert operators(done.model) == {"Gelu"}
    assert done.facts["fused"] == {"Gelu": 1}
    agree(model, done.model)


def test_gelu_that_multiplies_by_the_root_s_inverse(tmp_path: Path) -> None:
    net = Spelling()
    model = net.save(tmp_path, erf_gelu(net, 1, divide=False), 20)
    assert operators(fuse(model, tmp_path / "out").model) == {"Gelu"}


def test_rms_normalization_where_it_is_asked_for(tmp_path: Path) -> None:
    net = Spelling()
    model = net.save(tmp_path, rms_norm(net), 18)
    assert not fuse(model, tmp_path / "no").changed
    done = fuse(model, tmp_path / "out", operators=("RMSNormalization",))
    assert operators(done.model) == {"RMSNormalization"}
    agree(model, done.model)


@pytest.mark.parametrize("backend", [OnnxRuntime, OpenVino])
def test_engines_compute_the_same(tmp_path: Path, backend: Any) -> None:
    model = old_transformer(tmp_path)
    done = fuse(model, tmp_path / "out")
    assert done.facts["fused"] == {"LayerNormalization": 1, "Gelu": 1}
    (tmp_path / "engine").mkdir()
    subject, context = backend(backend.Options()), BuildContext(threads=1)
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 3, WIDTH)).astype(np.float32)}
    with subject.open(subject.build(done.model, tmp_path / "engine", context), context) as runner:
        assert np.allclose(runner.infer(feeds)["y"], open_onnx(model.path, 1).infer(feeds)["y"], atol=1e-4)


def _wrong_root(net: Spelling) -> str:
    return erf_gelu(net, 0, root=1.5)


def _mean_of_another_axis(net: Spelling) -> str:
    weight = net.keep(np.ones(WIDTH, np.float32))
    deviation = net.op("Sub", "x", net.op("ReduceMean", "x", net.keep(np.array([1], np.int64))))
    spread = net.op("Sqrt", net.op("Add", net.mean(net.op("Mul", deviation, deviation), 18), 1e-5))
    return net.op("Add", net.op("Mul", net.op("Div", deviation, spread), weight), weight)


def _wide_scale(net: Spelling) -> str:
    """One scale for each position, too: LayerNormalization over the last axis has none for that."""
    weight = net.keep(np.ones((3, WIDTH), np.float32))
    deviation = net.op("Sub", "x", net.mean("x", 18))
    spread = net.op("Sqrt", net.op("Add", net.mean(net.op("Mul", deviation, deviation), 18), 1e-5))
    return net.op("Add", net.op("Mul", net.op("Div", deviation, spread), weight), weight)


@pytest.mark.parametrize("spell", [_wrong_root, _mean_of_another_axis, _wide_scale])
def test_what_only_looks_like_one_is_left(tmp_path: Path, spell: Callable[[Spelling], str]) -> None:
    net = Spelling()
    model = net.save(tmp_path, spell(net), 18)
    done = fuse(model, tmp_path / "out")
    assert not done.changed
    assert done.model == model


def test_a_value_in_between_that_others_read_stays(tmp_path: Path) -> None:
    net = Spelling()
    result = layer_norm(net, 18, power=True, reciprocal=False, flipped=False)
    deviation = next(node.output[0] for node in net.nodes if node.op_type == "Sub")
    model = net.save(tmp_path, net.op("Add", result, deviation), 18)
    done = fuse(model, tmp_path / "out")
    agree(model, done.model)


def test_the_target_s_newest_opset_is_not_passed(tmp_path: Path) -> None:
    model = old_transformer(tmp_path)
    done = fuse(model, tmp_path / "out", max_opset=18)
    assert done.facts["fused"] == {"LayerNormalization": 1}
    assert done.facts["left"] == {"Gelu": "it needs opset 20, and the target reads 18"}
    assert done.facts["opset"] == {"from": 13, "to": 18}


def test_nothing_is_raised_where_nothing_can_be_fused(tmp_path: Path) -> None:
    model = tiny_mlp(tmp_path)
    assert not fuse(model, tmp_path / "out").changed
