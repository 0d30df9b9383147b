"""A model over 2 GB, which no single protobuf holds, through import, simplify and cast-fp16."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WIDTH, LAYERS = 8192, 9
SIZE = LAYERS * WIDTH * WIDTH * 4
ALLOWANCE = 300 * 2**20
"""What a build may take beside four times the model's size."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < 4 * SIZE:
        pytest.skip("not enough disk space")
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    """Nine layers of 268 MB, in one file of external data; an Identity a layer gives simplify something to do."""
    block = np.random.default_rng(0).standard_normal((WIDTH // 8, WIDTH), dtype=np.float32) / 90
    with (folder / "w.bin").open("wb") as file:
        for _ in range(LAYERS * 8):
            file.write(block)
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        nodes += [
            helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"], name=f"product{layer}"),
            helper.make_node("Identity", [f"m{layer}"], [f"i{layer}"], name=f"identity{layer}"),
            helper.make_node("Relu", [f"i{layer}"], [f"r{layer}"], name=f"relu{layer}"),
        ]
        last = f"r{layer}"
        tensor = TensorProto(name=f"w{layer}", data_type=1, dims=[WIDTH, WIDTH], data_location=TensorProto.EXTERNAL)
        length = WIDTH * WIDTH * 4
        for key, value in (("location", "w.bin"), ("offset", layer * length), ("length", length)):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        weights.append(tensor)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", last)]
    proto = helper.make_model(
        helper.make_graph(nodes, "large", values[:1], values[1:], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = folder / "large.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def _step(name: str, source: Path, workdir: Path) -> dict[str, object]:
    script = Path(__file__).with_name("large_step.py")
    command = [sys.executable, str(script), name, str(source), str(workdir)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_through_import_simplify_and_cast(source: Path, folder: Path) -> None:
    imported = _step("import", source, folder / "import")
    simplified = _step("simplify", Path(str(imported["path"])), folder / "simplify")
    shutil.rmtree(folder / "import")
    cast = _step("cast", Path(str(simplified["path"])), folder / "cast")
    assert simplified["facts"] == {"nodes_before": 3 * LAYERS, "nodes_after": 2 * LAYERS}
    path = Path(str(cast["path"]))
    assert sum(part.stat().st_size for part in graph.files(path)) == pytest.approx(SIZE / 2, rel=0.01)
    kinds = {tensor.data_type for tensor in onnx.load(path, load_external_data=False).graph.initializer}
    assert kinds == {TensorProto.FLOAT16}
    for step in (imported, simplified, cast):
        assert int(str(step["peak"])) < 1.5 * SIZE + ALLOWANCE, "aim: about once the model's size"
    assert int(str(simplified["peak"])) < ALLOWANCE, "simplify reads no weight"


def test_inspecting_it_reads_no_weight(source: Path) -> None:
    inspection = graph.inspect(source)
    assert inspection.weight_bytes == SIZE
    assert inspection.macs.value == LAYERS * WIDTH * WIDTH
