"""Networks that are right here, and wrong on an older processor; built once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

HEAD = """schema = 1
[model]
name = "{name}"
version = "1.0.0"
source = "model.onnx"
"""

BRIGHT = """[data]
calibration = "samples"
evaluation = "samples"
[recipes.int8]
passes = [{ use = "quantize-static" }]
"""

INT8 = """[targets.{name}-{bits}]
backend = "{backend}"
recipe = "int8"
facts = {{ arch = "x86_64", weight_bits = {bits} }}
"""

BFLOAT16 = """[targets.bf16]
backend = "openvino"
openvino = { inference_precision = "bf16" }
[targets.f32]
backend = "openvino"
"""


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of a convolution whose weights and whose inputs, in one half of the picture, are all near the limit.

    Two products of 255 and 127 exceed 16 bits, of 255 and 63 do not.
    """
    folder = tmp_path_factory.mktemp("bright")
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.8, 1, size=(8, 8, 3, 3)).astype("float32") / 72
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    _save(folder, nodes, [1, 8, 16, 16], {"w": weights})
    (folder / "samples").mkdir()
    for index in range(3):
        x = generator.uniform(0.9, 1, size=(1, 8, 16, 16)).astype("float32")
        x[..., 8:] *= 0.4
        np.savez(folder / "samples" / f"{index}.npz", x=x)
    targets = [("ort", "onnxruntime", 8), ("ov", "openvino", 7), ("ov", "openvino", 8)]
    tables = [INT8.format(name=name, backend=backend, bits=bits) for name, backend, bits in targets]
    return _built(folder, HEAD.format(name="bright") + BRIGHT + "".join(tables))


@pytest.fixture(scope="session")
def differences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of a network that takes the difference of two nearly equal products, in two precisions."""
    folder = tmp_path_factory.mktemp("differences")
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(64, 64)).astype("float32")
    nearly = (weights + 0.004 * generator.normal(size=weights.shape)).astype("float32")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="one"),
        helper.make_node("MatMul", ["x", "d"], ["b"], name="other"),
        helper.make_node("Sub", ["a", "b"], ["y"], name="difference"),
    ]
    _save(folder, nodes, [32, 64], {"w": weights, "d": nearly})
    return _built(folder, HEAD.format(name="differences") + BFLOAT16)


def _save(folder: Path, nodes: list[onnx.NodeProto], shape: list[int], weights: dict[str, np.ndarray]) -> None:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")


def _built(folder: Path, targets: str) -> Path:
    (folder / "targets.toml").write_text(targets)
    command = [
        sys.executable,
        "-m",
        "edgetool",
        "validate",
        "--keep",
        "dist",
        "--allow-unverified",
        "--latency-time",
        "0.05s",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "dist"
