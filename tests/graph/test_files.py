"""Files and digest: found by our own reader of the wire format, which must agree with protobuf, without onnx."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import EdgetoolError
from edgetool.graph.wire import external_locations
from tests.graph.building import linear, model, with_external_weight, written


def _external(name: str, location: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def test_locations_are_found_wherever_tensors_hide() -> None:
    proto = linear()
    proto.graph.initializer.append(_external("a", "initializer.bin"))
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(_external("b", "values.bin"))
    sparse.indices.CopyFrom(_external("c", "indices.bin"))
    constant = helper.make_node("Constant", [], ["k"], value=_external("d", "attribute.bin"))
    inner = helper.make_graph([constant], "inner", [], [], [_external("e", "subgraph.bin")])
    proto.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    function = helper.make_function("f", "f", [], ["k"], [constant], [helper.make_opsetid("", 17)])
    function.node[0].attribute[0].t.external_data[0].value = "function.bin"
    proto.functions.append(function)
    stale = _external("g", "stale.bin")
    stale.data_location = TensorProto.DEFAULT
    proto.graph.initializer.append(stale)
    found = external_locations(proto.SerializeToString())
    assert found == tuple(
        f"{name}.bin" for name in ("attribute", "function", "indices", "initializer", "subgraph", "values")
    )


@given(st.binary(max_size=200))
def test_any_bytes_give_names_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(external_locations(data), tuple)


@given(st.integers(min_value=1, max_value=400))
def test_a_truncated_model_never_reads_as_something_else(kept: int) -> None:
    whole = linear().SerializeToString()
    data = whole[: min(kept, len(whole))]
    try:
        onnx.ModelProto.FromString(data)
    except Exception:  # noqa: BLE001  # protobuf's DecodeError differs between its implementations
        with pytest.raises(ValueError, match=r"byte|wire"):
            external_locations(data)
    else:
        assert external_locations(data) == ()


def test_digest_covers_the_data_and_not_the_name(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    before = graph.digest(path)
    assert graph.digest(path.rename(tmp_path / "other.onnx")) == before
    (tmp_path / "w.bin").write_bytes(bytes(64))
    assert graph.digest(tmp_path / "other.onnx") != before


def test_moving_bytes_from_one_file_to_the_next_changes_the_digest(tmp_path: Path) -> None:
    """Sizes are part of the digest: the same bytes divided otherwise are another model."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    path = with_external_weight(first, data=bytes(64))
    copied = with_external_weight(second, data=bytes(63))
    assert graph.digest(path) != graph.digest(copied)


def test_damaged(tmp_path: Path) -> None:
    path = written(linear(), tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EdgetoolError) as caught:
        graph.digest(path)
    assert caught.value.code == "damaged-model"


def test_digest_imports_no_framework(tmp_path: Path) -> None:
    path = written(model([helper.make_node("Relu", ["x"], ["y"])]), tmp_path / "model.onnx")
    code = (
        "import sys, pathlib, edgetool.graph as g; g.digest(pathlib.Path(sys.argv[1]))\n"
        "print([m for m in ('numpy', 'onnx', 'google.protobuf', 'onnx_ir') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
