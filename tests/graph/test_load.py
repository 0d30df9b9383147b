"""Files that are no sound ONNX: one error each, with the right code, exit code, place and next step, and quickly."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import EdgetoolError
from tests.graph.building import linear, model, with_external_weight, written

Make = Callable[[Path], Path]


def _bytes(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(content)
        return path

    return make


def _proto(edit: Callable[[onnx.ModelProto], None]) -> Make:
    def make(folder: Path) -> Path:
        proto = linear()
        edit(proto)
        return written(proto, folder / "model.onnx")

    return make


def _zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.onnx", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return folder / "model.onnx"


def _truncated(folder: Path) -> Path:
    path = written(linear(np.ones((4, 4), np.float32)), folder / "model.onnx")
    path.write_bytes(path.read_bytes()[:150])
    return path


def _cut_after_graph(folder: Path) -> Path:
    """Cut where a field ends, so that protobuf is content with the rest."""
    proto = linear()
    del proto.opset_import[:]
    return written(proto, folder / "model.onnx")


def _set_opset(version: int) -> Make:
    def edit(proto: onnx.ModelProto) -> None:
        proto.opset_import[0].version = version

    return _proto(edit)


def _set_node(**fields: str) -> Make:
    def edit(proto: onnx.ModelProto) -> None:
        for name, value in fields.items():
            setattr(proto.graph.node[1], name, value)

    return _proto(edit)


def _cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "back"
    proto.graph.node.append(helper.make_node("Neg", ["y"], ["back"], name="turn"))


def _unsorted(proto: onnx.ModelProto) -> None:
    nodes = list(proto.graph.node)[::-1]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)


def _two_definitions(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].output[0] = "y"


def _two_initializers(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(proto.graph.initializer[0])


def _dangling(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].input[0] = "nowhere"


def _no_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "nothing"


def _new_ir(proto: onnx.ModelProto) -> None:
    proto.ir_version = 60


def _cut_weight(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = bytes(60)


def _odd_type(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = 77


def _negative_size(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -4


def _other_field(proto: onnx.ModelProto) -> None:
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.int64_data.extend(range(16))


def _segment(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].segment.end = 8


def _two_outputs(proto: onnx.ModelProto) -> None:
    proto.graph.output.add().CopyFrom(proto.graph.output[0])


def _not_text(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(linear().SerializeToString().replace(b"rectify", b"rec\xb9ify"))
    return path


PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
BAD_FILES: dict[str, tuple[Make, str, int, str]] = {
    "missing": (lambda folder: folder / "none.onnx", "model-not-found", 2, "no such file"),
    "folder": (lambda folder: folder, "model-not-found", 2, "folder"),
    "empty": (_bytes(b""), "not-onnx", 3, "empty"),
    "garbage": (_bytes(bytes(range(256)) * 8), "not-onnx", 3, "not an ONNX file"),
    "text": (_bytes(b"to whom it may concern\n"), "not-onnx", 3, "a text file"),
    "json": (_bytes(b'{"a": 1}'), "not-onnx", 3, "JSON"),
    "web page": (_bytes(b"<!DOCTYPE html><html>404"), "not-onnx", 3, "HTML"),
    "openvino ir": (_bytes(b'<?xml version="1.0"?><net name="x">'), "not-onnx", 3, "XML"),
    "lfs pointer": (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1"), "not-onnx", 3, "Git LFS"),
    "zip": (_zip, "not-onnx", 3, "zip archive"),
    "png": (_bytes(PNG), "not-onnx", 3, "PNG"),
    "pickle": (_bytes(pickle.dumps({"a": 1}, protocol=4)), "not-onnx", 3, "pickle"),
    "tflite": (_bytes(b"\x1c\0\0\0TFL3" + bytes(64)), "not-onnx", 3, "TensorFlow Lite"),
    "ort": (_bytes(b"\x1c\0\0\0ORTM" + bytes(64)), "not-onnx", 3, "ORT-format"),
    "tensorrt": (_bytes(b"ftrt" + bytes(64)), "not-onnx", 3, "TensorRT"),
    "safetensors": (_bytes(b"\x40\0\0\0\0\0\0\0" + b'{"w":{}}'), "not-onnx", 3, "safetensors"),
    "truncated": (_truncated, "damaged-model", 3, "truncated"),
    "cut after a field": (_cut_after_graph, "damaged-model", 3, "no opset"),
    "opset 99": (_set_opset(99), "unsupported-opset", 3, "99"),
    "opset 8": (_set_opset(8), "unsupported-opset", 3, "8"),
    "new ir version": (_proto(_new_ir), "unsupported-opset", 3, "60"),
    "unknown op": (_set_node(op_type="Reluu"), "unknown-operator", 3, "Reluu"),
    "unknown domain": (_set_node(domain="acme.ops"), "unknown-operator", 3, "acme.ops"),
    "later op": (_set_node(op_type="Gelu"), "unknown-operator", 3, "opset 20"),
    "removed op": (_set_node(op_type="Upsample"), "unknown-operator", 3, "removed"),
    "undeclared domain": (_set_node(domain="com.microsoft"), "unknown-operator", 3, "no opset is declared"),
    "weight cut short": (_proto(_cut_weight), "damaged-model", 3, "60 bytes instead of 64"),
    "weight of no type": (_proto(_odd_type), "unsupported-type", 3, "77"),
    "negative size": (_proto(_negative_size), "damaged-model", 3, "[-4, 4]"),
    "values in another type's field": (_proto(_other_field), "damaged-model", 3, "0 values instead of 16"),
    "segment of a tensor": (_proto(_segment), "damaged-model", 3, "segment"),
    "two outputs": (_proto(_two_outputs), "duplicate-name", 3, "two outputs"),
    "a name that is no text": (_not_text, "damaged-model", 3, "not text"),
    "cycle": (_proto(_cycle), "graph-cycle", 3, "product → rectify → turn → product"),
    "unsorted": (_proto(_unsorted), "unsorted-graph", 3, "later node"),
    "two definitions": (_proto(_two_definitions), "duplicate-name", 3, "'y'"),
    "two initializers": (_proto(_two_initializers), "duplicate-name", 3, "'w'"),
    "dangling input": (_proto(_dangling), "undefined-tensor", 3, "'nowhere'"),
    "dangling output": (_proto(_no_output), "undefined-tensor", 3, "'nothing'"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(case: str, tmp_path: Path) -> None:
    make, code, exit_code, words = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(EdgetoolError) as caught:
        graph.load(path)
    error = caught.value
    assert (error.code, error.exit_code) == (code, exit_code)
    assert words in error.message
    assert error.where is not None
    assert error.where.startswith(str(path))
    assert "\n" not in error.message


@pytest.mark.parametrize("case", [case for case, (_, code, _, _) in BAD_FILES.items() if code == "not-onnx"])
def test_the_digest_says_the_same_of_files_that_are_no_onnx(case: str, tmp_path: Path) -> None:
    path = BAD_FILES[case][0](tmp_path)
    with pytest.raises(EdgetoolError) as caught:
        graph.digest(path)
    assert caught.value.code == "not-onnx"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = written(linear(), tmp_path / "model.onnx")
    path.chmod(0)
    with pytest.raises(EdgetoolError) as caught:
        graph.load(path)
    assert (caught.value.code, caught.value.exit_code) == ("unreadable-model", 10)


def test_unknown_operator_suggests_the_right_one(tmp_path: Path) -> None:
    path = _set_node(op_type="Reluu")(tmp_path)
    with pytest.raises(EdgetoolError) as caught:
        graph.load(path)
    assert caught.value.hint == "did you mean Relu?"
    assert caught.value.where == f"{path}: node rectify"


@pytest.mark.parametrize("domain", ["com.microsoft", "org.openvinotoolkit"])
def test_domains_of_runtimes_are_left_to_the_backend(domain: str, tmp_path: Path) -> None:
    proto = linear()
    proto.graph.node[1].domain = domain
    proto.graph.node[1].op_type = "FancyRelu"
    proto.opset_import.append(helper.make_opsetid(domain, 1))
    assert graph.load(written(proto, tmp_path / "m.onnx")).graph.node[1].op_type == "FancyRelu"


def test_onnx_functions_and_ml_operators_are_known(tmp_path: Path) -> None:
    proto = linear()
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Relu", ["a"], ["b"])]
    proto.functions.append(helper.make_function("mine", "Rectify", ["a"], ["b"], body, opsets))
    proto.graph.node[1].domain, proto.graph.node[1].op_type = "mine", "Rectify"
    graph.load(written(proto, tmp_path / "function.onnx"))

    nodes = [helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0])]
    proto = model(nodes)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    graph.load(written(proto, tmp_path / "ml.onnx"))


def test_subgraphs_see_outer_names_and_are_checked(tmp_path: Path) -> None:
    def branch(name: str, read: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Relu", [read], [f"{name}_out"], name=name)], name, [], [out])

    def choice(read: str) -> onnx.ModelProto:
        nodes = [
            helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0),
            helper.make_node("Cast", ["peak"], ["condition"], to=TensorProto.BOOL),
            helper.make_node(
                "If", ["condition"], ["y"], then_branch=branch("yes", "x"), else_branch=branch("no", read)
            ),
        ]
        return model(nodes)

    graph.load(written(choice("x"), tmp_path / "good.onnx"))
    with pytest.raises(EdgetoolError) as caught:
        graph.load(written(choice("elsewhere"), tmp_path / "bad.onnx"))
    assert caught.value.code == "undefined-tensor"
    assert "node no" in (caught.value.where or "")


def test_external_weights_come_along_or_stay(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    assert len(graph.load(path).graph.initializer[0].raw_data) == 64
    left = graph.load(path, weights=False).graph.initializer[0]
    assert not left.raw_data
    assert left.external_data


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_a_crash(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever bytes are changed, the answer is a model or an error of ours."""
    content = bytearray(linear().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for look in (graph.check, graph.inspect, graph.digest):
        with contextlib.suppress(EdgetoolError):
            look(path)
