"""What ONNX Runtime really executes, read back from its own optimized graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.backends.base import Evidence
from edgetool.context import BuildContext
from edgetool.graph import read_model
from edgetool.testing import tiny_cnn, tiny_int8_cnn, tiny_text
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions

CONTEXT = BuildContext(threads=1)


def _evidence(model: Model, directory: Path, **options: object) -> Evidence:
    backend = OnnxRuntime(OnnxRuntimeOptions.model_validate(options))
    directory.mkdir()
    return backend.evidence(backend.build(model, directory, CONTEXT), CONTEXT)


def test_float_convolutions_run_in_float(tmp_path: Path) -> None:
    evidence = _evidence(tiny_cnn(tmp_path), tmp_path / "engine")
    assert set(evidence.precision_counts()) == {"float32"}
    assert "Conv" in [row.op_type for row in evidence.nodes]
    assert "Relu" not in [row.op_type for row in evidence.nodes], "fused into the convolution"
    assert evidence.unfused == ()


@pytest.mark.parametrize("form", ["onnx", "ort"])
def test_quantized_convolutions_run_on_integer_kernels(form: str, tmp_path: Path) -> None:
    evidence = _evidence(tiny_int8_cnn(tmp_path), tmp_path / "engine", format=form)
    kernels = {row.op_type: row.precision for row in evidence.nodes}
    assert kernels["QLinearConv"] == "int8"
    assert kernels["DequantizeLinear"] == "float32"
    assert "Conv" not in kernels
    assert evidence.unfused == ("body",), "nothing quantizes what `body` gives, so it cannot be fused"


def test_all_quantized_nodes_stay_in_float_where_nothing_is_optimized(tmp_path: Path) -> None:
    options = {"graph_optimization": "disabled", "lower_int8": "never"}
    evidence = _evidence(tiny_int8_cnn(tmp_path), tmp_path / "engine", **options)
    assert "QLinearConv" not in [row.op_type for row in evidence.nodes]
    assert evidence.unfused == ("stem", "body", "head")


def test_indices_and_conditions_are_not_counted_as_float(tmp_path: Path) -> None:
    evidence = _evidence(tiny_text(tmp_path), tmp_path / "engine")
    assert {row.precision for row in evidence.nodes} == {"float32"}
    assert {row.device for row in evidence.nodes} == {"CPU"}


def test_half_precision_is_seen_with_the_casts_around_it(write_graph: Callable[..., Path], tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    import numpy as np

    weight = numpy_helper.from_array(np.ones((4, 4), np.float16), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], name="product"), helper.make_node("Sin", ["m"], ["y"])]
    value = helper.make_tensor_value_info
    path = write_graph(nodes, [value("x", half, [1, 4])], [value("y", half, [1, 4])], [weight])
    evidence = _evidence(read_model(path), tmp_path / "engine")
    assert {"float16", "float32"} >= set(evidence.precision_counts())
