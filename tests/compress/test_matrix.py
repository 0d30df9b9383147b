"""The matrix of passes and networks: its cells from real builders, its file, its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.matrix.builders import Question, answer, outputs
from benchmarks.matrix.cell import Cell, Results
from benchmarks.matrix.subject import make, run
from benchmarks.matrix.tables import FLOAT, tables
from edgetool.graph import read_model
from edgetool.testing import tiny_mlp
from edgetool.testing.samples import GivenSamples

NETWORKS, PASSES = ("small", "large"), (FLOAT, "cast-bf16", "fuse", "quantize-dynamic")


def question(folder: Path, use: str) -> Question:
    model = tiny_mlp(folder)
    random = np.random.default_rng(0)
    (spec,) = model.signature.inputs
    shape = [size if isinstance(size, int) else 2 for size in spec.shape]
    feeds = [{spec.name: random.normal(size=shape).astype(np.float32)} for _ in range(2)]
    expected = outputs("onnxruntime", model, feeds, folder / "expected")
    samples = GivenSamples(feeds)
    return Question(run(make(use, {}), model, samples, folder / use).model, samples, feeds, expected)


def test_a_runtime_says_how_far_from_float_a_pass_leads(tmp_path: Path) -> None:
    cell = answer("openvino", question(tmp_path, "cast-fp16"), tmp_path / "openvino")
    assert cell.mark == "ran" and cell.cosine is not None and 0.999 < cell.cosine <= 1


def test_what_a_runtime_has_no_kernel_for_is_its_refusal(tmp_path: Path) -> None:
    cell = answer("onnxruntime", question(tmp_path, "cast-bf16"), tmp_path / "onnxruntime")
    assert (cell.mark, cell.by) == ("refused", "onnxruntime") and "no kernel" in cell.reason


def test_rtx_builds_an_engine_after_the_pass_that_it_asks_for(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    unsigned = (
        numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        numpy_helper.from_array(np.float32(0.1), "step"),
    )
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], unsigned)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    asked = Question(read_model(tmp_path / "model.onnx"), GivenSamples(()), (), None)
    cell = answer("rtx", asked, tmp_path / "rtx")
    assert (cell.mark, cell.cured) == ("built", "repair-qdq") and cell.size is not None and cell.size > 1000


def test_a_run_goes_on_with_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results.of(path)["small", "fuse", "rtx"] = Cell("built", size=7, seconds=0.5, cured="repair-qdq")
    assert dict(Results.of(path)) == {("small", "fuse", "rtx"): Cell("built", size=7, seconds=0.5, cured="repair-qdq")}


def test_tables_tell_refusals_failures_and_what_is_not_measured_apart() -> None:
    results = Results(None)
    results["small", FLOAT, "rtx"] = Cell("built", size=2_000_000)
    results["small", "cast-bf16", "rtx"] = Cell("built", size=1_280_000, cured="repair-qdq")
    results["small", "cast-bf16", "onnxruntime"] = Cell("refused", reason="no kernel", by="onnxruntime")
    results["small", "cast-bf16", "openvino"] = Cell("ran", cosine=0.99774)
    results["small", "fuse", "onnxruntime"] = results["small", "fuse", "openvino"] = Cell("ran", cosine=0.99996)
    results["small", "fuse", "rtx"] = Cell("parsed", seconds=60.1)
    results["small", "quantize-dynamic", "rtx"] = Cell("refused", reason="reads no MatMulInteger", by="rtx")
    results["large", "quantize-dynamic", "rtx"] = Cell("refused", reason="convolutions", by="quantize-dynamic")
    results["large", "fuse", "openvino"] = Cell("failed", reason="Traceback of it", by="openvino")
    processors, rtx, rest = tables(results, NETWORKS, PASSES).split("\n\n", 2)
    assert processors.splitlines()[2:] == [
        "| `cast-bf16` | -, .997 |  |",
        "| `fuse` | 1 | , FAIL |",
        "| `quantize-dynamic` |  |  |",
    ]
    assert rtx.splitlines()[2:] == [
        "| (float) | 2.0 MB |  |",
        "| `cast-bf16` | 0.64 + |  |",
        "| `fuse` | parsed |  |",
        "| `quantize-dynamic` | *a* | - |",
    ]
    assert "- *a*: reads no MatMulInteger" in rest and "FAIL: large, fuse, openvino: Traceback of it" in rest
