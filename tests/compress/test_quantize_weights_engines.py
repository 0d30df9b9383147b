"""What the runtimes make of stored integers: small engines, their own kernels, and nearly the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.backends.base import AnyBackend
from edgetool.context import BuildContext
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.session import open_engine
from edgetool_openvino.weight_groups import activation_group
from tests.compress.weight_networks import (
    Array,
    convolutions,
    feeds,
    perceptron,
    product,
    quantize,
    reader,
    relative_error,
    run,
)

CONTEXT = BuildContext(threads=1)
NETWORKS = (product, perceptron, convolutions, reader)
GRAINS: dict[str, dict[str, Any]] = {
    "int8": {},
    "uint8": {"symmetric": False},
    "int8 in blocks": {"block_size": 32},
    "uint8 in blocks": {"block_size": 16, "symmetric": False},
    "int4 in blocks": {"bits": 4},
    "uint4 in blocks": {"bits": 4, "symmetric": False, "block_size": 16},
    "int4": {"bits": 4, "block_size": 0},
}


def build(backend: AnyBackend, model: Model, folder: Path) -> Engine:
    folder.mkdir()
    assert not backend.supports(model, CONTEXT).problems
    return backend.build(model, folder, CONTEXT)


def onnx_runtime(**options: Any) -> OnnxRuntime:
    return OnnxRuntime(OnnxRuntime.Options(**options))


def open_vino() -> OpenVino:
    return OpenVino(OpenVino.Options())


def results(backend: AnyBackend, engine: Engine, samples: list[dict[str, Array]]) -> Array:
    with backend.open(engine, CONTEXT) as runner:
        return np.concatenate([next(iter(runner.infer(feed).values())) for feed in samples])


def meant(model: Model, samples: list[dict[str, Array]]) -> Array:
    """What the typed ONNX says: its integers widened by ourselves, the rest computed in float."""
    proto = onnx.load(model.path)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in [node for node in proto.graph.node if node.op_type == "DequantizeLinear"]:
        attributes = {entry.name: entry.i for entry in node.attribute}
        values = widened([stored[name] for name in node.input], attributes["axis"], attributes.get("block_size", 0))
        proto.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        proto.graph.node.remove(node)
    path = model.path.with_name("widened.onnx")
    onnx.save(proto, path)
    return run(path, samples)


def widened(parts: list[Array], axis: int, block: int) -> Array:
    """DequantizeLinear in numpy."""
    integers, *others = (part.astype(np.float32) for part in parts)
    if block:
        spread = [np.repeat(other, block, axis=axis) for other in others]
    else:
        spread = [other.reshape([-1 if place == axis else 1 for place in range(integers.ndim)]) for other in others]
    result: Array = (integers - (spread[1] if len(spread) > 1 else 0)) * spread[0]
    return result


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("backend", [onnx_runtime(), open_vino()], ids=["onnxruntime", "openvino"])
def test_runtimes_compute_what_the_typed_network_says(
    tmp_path: Path, backend: AnyBackend, network: Any, grain: str
) -> None:
    """But for the activations, which both round to int8 where they multiply integers."""
    typed = quantize(network(tmp_path), tmp_path / "typed", **GRAINS[grain]).result.model
    engine = build(backend, typed, tmp_path / "engine")
    samples = feeds(typed, 2)
    assert relative_error(results(backend, engine, samples), meant(typed, samples)) < 0.02
    assert backend.open(engine, CONTEXT).signature == typed.signature


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (product, {}, {"matmul-nbits": 1}),
        (product, {"bits": 4}, {"matmul-nbits": 1}),
        (perceptron, {"bits": 4}, {"matmul-nbits": 2}),
        (reader, {}, {"matmul-nbits": 1, "gather-then-dequantize": 1}),
        (reader, {"bits": 4}, {"matmul-nbits": 1, "gather-block-quantized": 1}),
        (reader, {"symmetric": False}, {"matmul-nbits": 1, "gather-block-quantized": 1}),
        (convolutions, {"bits": 4, "block_size": 16}, {"widen-on-load": 6}),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_lowerings_of_onnx_runtime_are_recorded(tmp_path: Path, network: Any, options: Any, expected: Any) -> None:
    typed = quantize(network(tmp_path), tmp_path / "typed", **options).result.model
    before = typed.path.read_bytes()
    engine = build(onnx_runtime(), typed, tmp_path / "engine")
    assert {lowering.name: lowering.count for lowering in engine.lowerings} == expected
    assert typed.path.read_bytes() == before
    operators = {node.op_type for node in onnx.load(engine.path).graph.node}
    assert "DequantizeLinear" not in operators
    assert onnx_runtime().evidence(engine, CONTEXT).unfused == ()


def test_without_lowering_the_typed_network_runs_as_it_is(tmp_path: Path) -> None:
    typed = quantize(reader(tmp_path), tmp_path / "typed", bits=4).result.model
    backend = onnx_runtime(lower_int8="never")
    engine = build(backend, typed, tmp_path / "engine")
    assert engine.lowerings == ()
    samples = feeds(typed, 2)
    assert relative_error(results(backend, engine, samples), meant(typed, samples)) < 0.02


def test_the_ort_format_does_not_grow(tmp_path: Path) -> None:
    """It is optimized before it is saved, so integers that were widened on load would be saved widened."""
    typed = quantize(convolutions(tmp_path), tmp_path / "typed").result.model
    backend = onnx_runtime(format="ort")
    folder = tmp_path / "engine"
    folder.mkdir()
    engine = backend.build(typed, folder, CONTEXT)
    floats = sum(4 * np.prod(tensor.dims) for tensor in onnx.load(convolutions(tmp_path).path).graph.initializer)
    assert engine.path.stat().st_size < 0.5 * floats
    samples = feeds(typed, 2)
    assert relative_error(results(backend, engine, samples), meant(typed, samples)) < 0.02


@pytest.mark.parametrize(("bits", "least"), [(8, 3.8), (4, 7.0)])
@pytest.mark.parametrize("backend", [onnx_runtime(), open_vino()], ids=["onnxruntime", "openvino"])
def test_engines_are_small(tmp_path: Path, backend: AnyBackend, bits: int, least: float) -> None:
    """Also OpenVINO's, whose converter might widen the weights."""
    model = product(tmp_path, inputs=1024, outputs=512)
    typed = quantize(model, tmp_path / "typed", bits=bits, block_size=128).result.model
    engine = build(backend, typed, tmp_path / "engine")
    size = sum(path.stat().st_size for path in engine.directory.rglob("*"))
    assert model.path.stat().st_size / size > least
    assert engine.precision == "mixed"


@pytest.mark.parametrize(("block", "expected"), [(32, 32), (64, 64), (256, 128), (0, 128)])
def test_openvino_groups_activations_to_fit_the_blocks(tmp_path: Path, block: int, expected: int) -> None:
    typed = quantize(product(tmp_path, inputs=256), tmp_path / "typed", bits=4, block_size=block).result.model
    engine = build(open_vino(), typed, tmp_path / "engine")
    assert engine.facts["dynamic_quantization_group"] == expected
    opened = open_engine(engine.path, OpenVino.Options(), threads=1)
    assert activation_group(opened.network) == expected
    assert int(opened.compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) == expected


@pytest.mark.parametrize(
    "options",
    [{}, {"bits": 4, "block_size": 128}, {"bits": 4, "block_size": 32}],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
@pytest.mark.parametrize("network", [product, perceptron, reader], ids=lambda make: make.__name__)
def test_tensorrt_rtx_builds_what_it_takes(tmp_path: Path, network: Any, options: Any) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgetool_tensorrt.plan_file import read_header
    from tests.tensorrt.rtx import build_rtx

    typed = quantize(network(tmp_path), tmp_path / "typed", **options).result.model
    assert read_header(build_rtx(typed, tmp_path / "engine").path).product == "tensorrt-rtx"


@pytest.mark.parametrize(
    ("network", "options"),
    [(product, {"symmetric": False}), (convolutions, {"block_size": 16})],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_tensorrt_rtx_refuses_zero_points_and_convolutions_in_blocks(
    tmp_path: Path, network: Any, options: Any
) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgetool.errors import ModelError
    from tests.tensorrt.rtx import build_rtx

    typed = quantize(network(tmp_path), tmp_path / "typed", bits=4, **options).result.model
    with pytest.raises(ModelError):
        build_rtx(typed, tmp_path / "engine")
