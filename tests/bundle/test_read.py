"""What is written comes back the same; golden inputs and outputs survive as raw bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgetool.bundle.golden import read_golden, read_golden_inputs, write_golden
from edgetool.bundle.manifest import compatibility_key, manifest_bytes, manifest_from_bytes
from edgetool.bundle.read import read_bundle
from edgetool.bundle.write import write_bundle
from edgetool.errors import IntegrityError

from .samples import MANIFEST, contents  # noqa: TID252 # tests are no package to import from


def test_a_manifest_survives_json() -> None:
    assert manifest_from_bytes(manifest_bytes(MANIFEST), where="m") == MANIFEST
    assert list(json.loads(manifest_bytes(MANIFEST)))[:4] == ["schema_version", "name", "version", "created"]


def test_facts_are_written_in_one_order_whatever_order_they_came_in() -> None:
    turned = replace(MANIFEST, tools={"b": "1", "a": "2"}), replace(MANIFEST, tools={"a": "2", "b": "1"})
    assert manifest_bytes(turned[0]) == manifest_bytes(turned[1])


def test_unknown_keys_are_ignored_and_newer_schemas_refused() -> None:
    data = json.loads(manifest_bytes(MANIFEST))
    assert manifest_from_bytes(json.dumps({**data, "novel": 1}).encode(), where="m") == MANIFEST
    with pytest.raises(IntegrityError) as caught:
        manifest_from_bytes(json.dumps({**data, "schema_version": 2}).encode(), where="m")
    assert caught.value.code == "manifest-version"


@pytest.mark.parametrize("key", ["name", "entry", "signature", "files", "target"])
def test_wrong_types_name_their_key(key: str) -> None:
    data = json.loads(manifest_bytes(MANIFEST))
    data[key] = 7
    with pytest.raises(IntegrityError, match=key) as caught:
        manifest_from_bytes(json.dumps(data).encode(), where="m")
    assert caught.value.code == "manifest-invalid"


def test_a_bundle_gives_back_engine_and_golden_cases(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "net", contents(tmp_path))
    bundle = read_bundle(tmp_path / "net")
    assert bundle.content_digest == written.content_digest
    assert bundle.engine.path.read_bytes() == b"\x08\x09engine"
    assert bundle.engine.lowerings[0].name == "int8-to-uint8"
    (case,) = bundle.golden()
    np.testing.assert_array_equal(case.inputs["x"], np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(case.outputs["y"], case.inputs["x"][:, :2] * 2)


@pytest.mark.parametrize("entry", ["model/nothing.onnx", "../engine.onnx", "reports/validation.json", "manifest.json"])
def test_an_entry_outside_the_model_is_refused(tmp_path: Path, entry: str) -> None:
    write_bundle(tmp_path / "net", contents(tmp_path, entry=entry))
    with pytest.raises(IntegrityError, match="entry"):
        read_bundle(tmp_path / "net")


def test_the_raw_bytes_are_what_a_c_program_would_read(tmp_path: Path) -> None:
    write_golden(tmp_path, {"x": np.array([[1, 2], [3, 4]], ">f4").T}, {"y": np.array([True, False])})
    assert (tmp_path / "case0-input0.bin").read_bytes() == np.array([1, 3, 2, 4], "<f4").tobytes()
    assert (tmp_path / "case0-output0.bin").read_bytes() == b"\x01\x00"
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["cases"][0]["inputs"] == [
        {"dtype": "float32", "file": "case0-input0.bin", "name": "x", "shape": [2, 2]}
    ]


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["float32", "float16", "int64", "uint8", "bool", "int32"]),
        arrays.array_shapes(min_dims=0, min_side=0),
    )
)
def test_tensors_survive(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("io")
    write_golden(folder, {"a/b: c": array}, {})
    found = read_golden_inputs(folder)["a/b: c"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_bfloat16_and_strings_survive(tmp_path: Path) -> None:
    words = np.array([["a", "ß"]], dtype=object)
    write_golden(tmp_path, {"b": np.array([1.5], ml_dtypes.bfloat16), "s": words}, {})
    found = read_golden_inputs(tmp_path)
    assert float(found["b"][0]) == 1.5
    assert found["s"].tolist() == [["a", "ß"]]


@pytest.mark.parametrize(
    "row",
    [
        {"name": "x", "dtype": "float32", "shape": [3], "file": "../secret"},
        {"name": "x", "dtype": "float32", "shape": [3], "file": "a.bin"},
        {"name": "x", "dtype": "float32", "shape": [-1], "file": "a.bin"},
        {"name": "x", "dtype": "object", "shape": [1], "file": "a.bin"},
        {"name": "x", "dtype": "finfo", "shape": [1], "file": "a.bin"},
        {"name": "x", "dtype": "string", "shape": [1], "file": "a.bin"},
        {"name": "x", "dtype": None, "shape": [1], "file": "a.bin"},
        {"name": "x", "dtype": "float32", "shape": 1, "file": "a.bin"},
        {"name": "x"},
        None,
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, row: object) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345678")
    (tmp_path / "index.json").write_text(json.dumps({"cases": [{"inputs": [row], "outputs": []}]}))
    with pytest.raises(IntegrityError) as caught:
        read_golden(tmp_path)
    assert caught.value.code == "golden-damaged"


def test_compatibility_keys_compare() -> None:
    facts = {"isa": ["vnni", "avx2"], "arch": "x86-64", "ram": "4GiB"}
    key = compatibility_key("openvino", "2026.4.1", facts)
    assert key == "openvino=2026.4;arch=x86-64;isa=avx2,vnni"
    assert key == compatibility_key("openvino", "2026.4.2", {**facts, "ram": "8GiB", "isa": ["avx2", "vnni"]})
