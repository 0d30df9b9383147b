"""How a stand-in device builds an engine: with TensorRT-RTX, for its own compute capability."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import onnx
import tensorrt_rtx as trt

from tests.tensorrt.standin.itself import Itself, TrtexecError, say

_ON_EVERY_HOST_WITHOUT_A_GPU = ("catchCudaError", "CUDA driver version is insufficient", "CUDA initialization")
_TYPES = {1: "Float", 10: "Half", 3: "Int8", 6: "Int32", 7: "Int64", 9: "Bool", 16: "BFloat16"}


class _Logger(trt.ILogger):
    """TensorRT-RTX's own texts go into the log, but for what every machine without a GPU says."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)

    def log(self, severity: Any, message: str) -> None:
        if severity <= trt.ILogger.Severity.WARNING and not any(one in message for one in _ON_EVERY_HOST_WITHOUT_A_GPU):
            say("W" if severity == trt.ILogger.Severity.WARNING else "E", f"[TRT] {message}")


def build(device: Itself, options: dict[str, str]) -> None:
    """Build what `--onnx` names into what `--saveEngine` names."""
    started = time.monotonic()
    if "useDLACore" in options:
        raise TrtexecError(f"Cannot create DLA engine, {options['useDLACore']} not available")
    logger = _Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    config = builder.create_builder_config()
    _parse(parser, Path(options["onnx"]))
    _profile(builder, network, config, options)
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{device.sm}"), 0)
    if mebibytes := options.get("workspace") or options.get("memPoolSize", "").removeprefix("workspace:"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(mebibytes) << 20)
    _load_timing_cache(options)
    _wait(device)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise TrtexecError("Engine could not be created from network")
    engine = _spoiled(device, bytes(plan))
    say("I", f"[TRT] Detected {network.num_inputs} inputs and {network.num_outputs} output network tensors.")
    say("I", f"[TRT] Engine generation completed in {time.monotonic() - started:.5g} seconds.")
    say("I", f"Engine built in {time.monotonic() - started:.5g} sec.")
    say("I", f"Created engine with size: {len(engine) / (1 << 20):.5g} MiB")
    _save(device, options, engine, whole=bytes(plan))


def _parse(parser: Any, path: Path) -> None:
    say("I", "Start parsing network model.")
    started = time.monotonic()
    if not path.exists():
        say("E", f"[TRT] ModelImporter.cpp:914: Failed to parse ONNX model from file: {path}!")
        say("E", f"Could not open file {path}")
        raise TrtexecError("Failed to parse onnx file")
    if not parser.parse_from_file(str(path)):
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            node = f"In node {error.node()} with name: {error.node_name()} and operator: {error.node_operator()}"
            say("E", f"[TRT] {node} ({error.func()}): {str(error.code()).rpartition('.')[2]}: {error.desc()}")
        raise TrtexecError("Failed to parse onnx file")
    say("I", f"Finished parsing network model. Parse time: {time.monotonic() - started:.5g}")


def _profile(builder: Any, network: Any, config: Any, options: dict[str, str]) -> None:
    """As trtexec: shapes for static inputs are refused, missing ones are replaced by 1, with a warning."""
    points = [_shapes(options.get(name, "")) for name in ("minShapes", "optShapes", "maxShapes")]
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for name in points[1]:
        if name not in {one.name for one in inputs}:
            raise TrtexecError(f'Cannot find input tensor with name "{name}" in the network inputs!')
    dynamic = [one for one in inputs if -1 in tuple(one.shape)]
    if not dynamic:
        if points[1]:
            raise TrtexecError(
                "Static model does not take explicit shapes since the shape of inference tensors will be determined"
            )
        return
    profile = builder.create_optimization_profile()
    for one in dynamic:
        shapes = [point.get(one.name) for point in points]
        if None in shapes:
            ones = tuple(size if size > 0 else 1 for size in one.shape)
            say("W", f"Dynamic dimensions required for input: {one.name}, but no shapes were provided. "
                f"Automatically overriding shape to: {'x'.join(map(str, ones))}")  # fmt: skip
            shapes = [ones] * 3
        profile.set_shape(one.name, *shapes)
    config.add_optimization_profile(profile)


def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    pairs = (one.rpartition(":") for one in text.split(",") if one)
    return {name: tuple(map(int, shape.split("x"))) for name, _, shape in pairs}


def _load_timing_cache(options: dict[str, str]) -> None:
    if "timingCacheFile" not in options:
        return say("I", "[TRT] Local timing cache in use. Profiling results in this builder pass will not be stored.")
    path = Path(options["timingCacheFile"])
    if path.exists():
        say("I", f"Loaded {path.stat().st_size} bytes of timing cache from {path}")
    else:
        say("W", f"Could not read timing cache from: {path}. A new timing cache will be generated and written.")
    return say("I", "[TRT] Global timing cache in use. Profiling results in this builder pass will be stored.")


def _wait(device: Itself) -> None:
    until = time.monotonic() + device.faults.slow
    while time.monotonic() < until:
        say("I", "[TRT] [GraphReduction] The approximate region cut reduction algorithm is called.")
        time.sleep(min(0.1, max(0.0, until - time.monotonic())))


def _spoiled(device: Itself, engine: bytes) -> bytes:
    faults = device.faults
    if faults.engine_tag:
        engine = faults.engine_tag.encode("latin-1")[:4] + engine[4:]
    if faults.engine_version:
        engine = engine[:24] + bytes(map(int, faults.engine_version.split("."))) + engine[28:]
    return engine[: len(engine) // 2] if faults.truncate_engine else engine


def _save(device: Itself, options: dict[str, str], engine: bytes, *, whole: bytes) -> None:
    path = Path(options["saveEngine"])
    if device.faults.disk_full:
        path.write_bytes(engine[: len(engine) // 3])
        raise TrtexecError("Saving engine to file failed.")
    try:
        path.write_bytes(engine)
    except OSError as error:
        say("E", f"Cannot open engine file: {path}")
        raise TrtexecError("Saving engine to file failed.") from error
    model = onnx.load(options["onnx"])
    onnx.save(model, device.model_of(whole))
    device.version_of(whole).write_text(json.dumps(device.tensorrt))
    if "timingCacheFile" in options:
        cache = Path(options["timingCacheFile"])
        cache.write_bytes(b"timings of a stand-in\n")
        say("I", f"Saved {cache.stat().st_size} bytes of timing cache to {cache}")
    if "exportLayerInfo" in options:
        Path(options["exportLayerInfo"]).write_text(_layers(device, model, options.get("profilingVerbosity")))


def _layers(device: Itself, model: onnx.ModelProto, verbosity: str | None) -> str:
    """The nodes of the model as if each were a layer, in the keys of the device's version."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {one.name: one for one in (*graph.input, *graph.output, *graph.value_info)}
    modern = device.tensorrt >= (11, 0, 0)

    def tensor(name: str) -> dict[str, object]:
        kind = known[name].type.tensor_type if name in known else None
        sizes = [dim.dim_value or -1 for dim in kind.shape.dim] if kind else []
        said = _TYPES.get(kind.elem_type, "Float") if kind else "Float"
        types = {"DataType": said, "Format": "kLINEAR"} if modern else {"Format/Datatype": said}
        return {"Name": name, "Dimensions": sizes, **types}

    layers: list[object] = [
        {
            "Name": node.name,
            "LayerType": node.op_type,
            "Inputs": [tensor(name) for name in node.input if name in known],
            "Outputs": [tensor(name) for name in node.output],
            "TacticName": "",
        }
        if verbosity == "detailed"
        else node.name
        for node in graph.node
    ]
    bindings = [one.name for one in (*graph.input, *graph.output)]
    if modern:
        return json.dumps({"Layers": layers, "I/O Tensors": [{"Name": name} for name in bindings]}, indent=1)
    return json.dumps({"Layers": layers, "Bindings": bindings}, indent=1)
