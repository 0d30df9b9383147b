"""Models and data by somebody who means harm: what they point at is not read, what they claim is not allocated."""

from __future__ import annotations

import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import EdgetoolError
from tests.tiny import write_tiny_project

Cli = Callable[..., subprocess.CompletedProcess[str]]


def save(
    folder: Path,
    node: onnx.NodeProto,
    *,
    domain: str = "",
    shape: tuple[str | int, ...] = (1, 4),
    weights: tuple[onnx.TensorProto, ...] = (),
) -> Path:
    """A model of one node, from `x` to `y` of the given shape."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    made = helper.make_graph([node], "hostile", [x], [y], list(weights))
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.slow
def test_a_context_that_lies_in_another_file(tmp_path: Path, run_cli: Cli) -> None:
    """EPContext names a blob that a runtime would load; `../` and absolute paths included."""
    node = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0, ep_cache_context="../../secret.bin",
        source="OpenVINOExecutionProvider",
    )  # fmt: skip
    save(tmp_path, node, domain="com.microsoft")
    done = run_cli("build", "model.onnx", "-t", "ort", cwd=_project(tmp_path))
    assert done.returncode == 3, done.stderr
    assert not list(tmp_path.glob("dist/*"))


def test_an_operator_of_a_library_that_nobody_named(tmp_path: Path, run_cli: Cli) -> None:
    save(tmp_path, helper.make_node("Evil", ["x"], ["y"], domain="evil.ops"), domain="evil.ops")
    done = run_cli("check", "model.onnx", "-t", "ort", cwd=_project(tmp_path))
    assert done.returncode == 3, done.stderr


def test_a_weight_that_claims_more_than_there_is(tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=bytes(16))
    path = save(tmp_path, helper.make_node("Add", ["x", "w"], ["y"]), weights=(weight,))
    with pytest.raises(EdgetoolError) as error:
        graph.load(path)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("size", [1 << 46, pytest.param(1 << 62, marks=pytest.mark.slow)])
def test_a_small_model_that_wants_a_large_memory(size: int, tmp_path: Path, run_cli: Cli) -> None:
    """ConstantOfShape turns eight bytes into more than there is, for whoever folds constants or runs the network."""
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [size])
    save(tmp_path, helper.make_node("ConstantOfShape", ["s"], ["y"]), shape=("n",), weights=(shape,))
    done = run_cli("build", "model.onnx", "-t", "ort", cwd=_project(tmp_path), timeout=120)
    assert done.returncode in (3, 10), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("dist/*"))


def _project(folder: Path) -> Path:
    (folder / "targets.toml").write_text(
        'schema = 1\n[recipes.simple]\npasses = [{ use = "simplify" }]\n[targets.ort]\nbackend = "onnxruntime"\n'
        'recipe = "simple"\n'
    )
    return folder


def _png_bomb(path: Path) -> None:
    """A picture of 60000 x 60000 pixels, black, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20), 9) * 4
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def _npy_bomb(path: Path) -> None:
    """An archive of arrays, one of which says that it has terabytes."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 1048576, 1048576)}"
    header = header.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1 << 20))


@pytest.mark.parametrize(
    ("name", "write"),
    [("0.png", _png_bomb), pytest.param("0.npz", _npy_bomb, marks=pytest.mark.slow)],
    ids=["png", "npz"],
)
def test_data_that_unpacks_to_terabytes(name: str, write: Callable[[Path], None], tmp_path: Path, run_cli: Cli) -> None:
    targets = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[data]
evaluation = "eval"
[targets.ort]
backend = "onnxruntime"
"""
    write_tiny_project(tmp_path, targets, calibration=0, evaluation=0)
    write(tmp_path / "eval" / name)
    if name.endswith("png"):
        with (tmp_path / "targets.toml").open("a") as file:
            file.write("[data.preprocess]\nresize = 8\ncrop = 8\n")
    done = run_cli("build", "-t", "ort", cwd=tmp_path, timeout=120)
    assert done.returncode in (2, 3, 10), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
