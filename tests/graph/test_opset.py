"""Moving between opsets: exact upwards, with the node to blame where it is impossible, weights never touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgetool import graph
from edgetool.errors import ModelError
from edgetool.graph.opset import convert_opset, opset_of
from edgetool.graph.save import save
from tests.graph.building import linear, model, run, with_external_weight, written


def _reduction(opset: int) -> bytes:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0, name="mean")]
    return model(nodes, outputs={"y": ["batch"]}, opset=opset).SerializeToString()


@pytest.mark.parametrize("opset", [12, 17, 18, 21])
def test_upwards_computes_the_same(opset: int, tmp_path: Path) -> None:
    source = tmp_path / "a.onnx"
    source.write_bytes(_reduction(11))
    converted = convert_opset(graph.load(source), opset, where="a")
    assert opset_of(converted) == opset
    save(converted, tmp_path / "b.onnx")
    graph.check(tmp_path / "b.onnx")
    x = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)
    np.testing.assert_array_equal(run(source, {"x": x})[0], run(tmp_path / "b.onnx", {"x": x})[0])


def test_softmax_over_an_inner_axis_keeps_its_old_meaning_upwards(tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    proto = model([node], {"x": [2, 3, 4]}, {"y": [2, 3, 4]}, opset=12)
    path = written(proto, tmp_path / "old.onnx")
    save(convert_opset(graph.load(path), 17, where="m"), tmp_path / "new.onnx")
    x = np.random.default_rng(0).standard_normal((2, 3, 4), dtype=np.float32)
    np.testing.assert_allclose(run(tmp_path / "new.onnx", {"x": x})[0], run(path, {"x": x})[0], rtol=1e-6)


@pytest.mark.parametrize("opset", [12, 20])
def test_external_weights_metadata_and_inputs_survive(opset: int, tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    proto = graph.load(path, weights=False)
    prop = proto.metadata_props.add()
    prop.key, prop.value = "character", "abc"
    before = [value.name for value in proto.graph.input]
    converted = convert_opset(proto, opset, where="m")
    assert [(p.key, p.value) for p in converted.metadata_props] == [("character", "abc")]
    assert [value.name for value in converted.graph.input] == before
    save(converted, tmp_path / "out.onnx", folder=tmp_path)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(run(tmp_path / "out.onnx", {"x": x})[0], x)


def test_no_way_down_names_the_node(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale"], ["y"], name="norm"),
    ]
    proto = model(nodes, weights={"scale": np.ones(4, np.float32)})
    with pytest.raises(ModelError) as caught:
        convert_opset(proto, 13, where="net.onnx")
    assert caught.value.code == "opset-conversion-failed"
    assert caught.value.where == "net.onnx: node norm"


@pytest.mark.parametrize("opset", [8, 99])
def test_opsets_that_nobody_reads(opset: int) -> None:
    with pytest.raises(ModelError, match="not between"):
        convert_opset(linear(), opset, where="m")


def test_same_opset_is_the_same_model(tmp_path: Path) -> None:
    proto = graph.load(written(linear(), tmp_path / "m.onnx"))
    assert convert_opset(proto, 17, where="m") is proto
