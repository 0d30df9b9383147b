"""Bundles for the device's self-test, the program itself, and how it is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgetool.backends import DeviceSources
from edgetool.bundle.golden import write_golden
from edgetool.selftest import selftest_sources
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.selftest import device_sources

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-O1")

Arrays = Mapping[str, np.ndarray[Any, Any]]


def write_sources(bundle: Path, own: DeviceSources, entry: str) -> None:
    """`src/`, as a build writes it."""
    (bundle / "src").mkdir(exist_ok=True)
    for name, content in selftest_sources(entry, bundle / "io", own).items():
        (bundle / "src" / name).write_bytes(content)


def write_bundle_of(
    folder: Path, model: onnx.ModelProto, inputs: Arrays, outputs: Arrays, options: OnnxRuntimeOptions | None = None
) -> Path:
    """What of a bundle the self-test reads: model/, io/ and src/."""
    for name in ("model", "io"):
        (folder / name).mkdir(parents=True)
    onnx.save(model, folder / "model" / "model.onnx")
    write_golden(folder / "io", inputs, outputs)
    write_sources(folder, device_sources(options or OnnxRuntimeOptions()), "model/model.onnx")
    return folder


def linear(*, x: str = "x", y: str = "y", best: str = "best") -> tuple[onnx.ModelProto, Arrays, Arrays]:
    """A product and its largest entries, with a batch of any size; what goes in and what comes out."""
    generator = np.random.default_rng(0)
    weights, feed = (generator.normal(size=size).astype("float32") for size in ((4, 3), (2, 4)))
    graph = helper.make_graph(
        [helper.make_node("MatMul", [x, "w"], [y]), helper.make_node("ArgMax", [y], [best], axis=1, keepdims=0)],
        "linear",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 4])],
        [
            helper.make_tensor_value_info(y, TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info(best, TensorProto.INT64, ["n"]),
        ],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    scores = feed @ weights
    return model_of(graph), {x: feed}, {y: scores, best: scores.argmax(axis=1)}


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def compiled(folder: Path, sources: Path, *flags: str, compiler: str = "gcc") -> Path:
    """The program, of all C files in a folder."""
    program = folder / "edgetool-selftest"
    files = sorted(map(str, sources.glob("*.c")))
    subprocess.run([compiler, *(flags or STRICT), "-o", str(program), *files, "-ldl", "-lm"], check=True)
    return program


def runtime_library() -> Path:
    """ONNX Runtime's library, inside its wheel."""
    import onnxruntime

    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


def run(
    program: Sequence[str | Path], *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [*map(str, program), *map(str, arguments)]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=300, check=False, env=environment
    )
