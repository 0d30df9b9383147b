"""A model of more than 2 GiB goes through the reference and the backend without being held in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

ROWS, WIDTH = 600_000, 1024

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from edgetool.context import BuildContext
from edgetool.engine.memory import peak_resident
from edgetool.graph import read_model
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx

path, directory = map(Path, sys.argv[1:])
feeds = {"ids": np.array([0, 599_999])}
backend, context = OnnxRuntime(OnnxRuntime.Options()), BuildContext(threads=1)
model = read_model(path)
with open_onnx(path, 1) as runner:
    reference = runner.infer(feeds)["y"]
assert backend.supports(model, context).accepted
directory.mkdir()
engine = backend.build(model, directory, context)
with backend.open(engine, context) as runner:
    assert np.array_equal(runner.infer(feeds)["y"], reference)
assert backend.evidence(engine, context).nodes
assert reference[0, 0] == 7 and reference[1, 0] == 9
print(peak_resident())
"""


@pytest.mark.slow
def test_more_than_two_gigabytes(tmp_path: Path) -> None:
    size = ROWS * WIDTH * 4
    assert size > 2**31
    with (tmp_path / "table.bin").open("wb") as file:
        file.write(np.float32(7).tobytes())
        file.seek(size - WIDTH * 4)
        file.write(np.float32(9).tobytes())
        file.truncate(size)
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[ROWS, WIDTH], raw_data=b"")
    set_external_data(table, "table.bin", offset=0, length=size)
    table.ClearField("raw_data")
    node = helper.make_node("Gather", ["table", "ids"], ["y"], name="embed")
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])]
    graph = helper.make_graph([node], "large", inputs, outputs, [table])
    path = tmp_path / "large.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, tmp_path / "engine"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4 * size + 300e6
    assert onnx.load(tmp_path / "engine" / "model.onnx", load_external_data=False).graph.initializer[0].name == "table"
    print(f"peak {int(done.stdout) / size:.2f} x the model's size")
    for part in tmp_path.rglob("table.bin"):
        part.unlink()  # pytest would keep them
