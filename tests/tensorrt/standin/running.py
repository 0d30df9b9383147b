"""How a stand-in device runs an engine: with ONNX Runtime, from the ONNX that it built the engine from."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.tensorrt.standin.itself import Itself, TrtexecError, say

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(bool)": "bool",
}  # fmt: skip


def run(device: Itself, options: dict[str, str]) -> None:
    """Run what `--loadEngine` (or `--saveEngine`, after a build) names."""
    import onnxruntime

    model = _model(device, Path(options.get("loadEngine") or options["saveEngine"]))
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    feeds = _feeds(device, session.get_inputs(), options)
    say("I", "Starting inference")
    time.sleep(device.faults.slow_run)
    names = [one.name for one in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, feeds), strict=True))
    rows = _measure(lambda: session.run(names, feeds), options)
    say("I", f"Warmup completed 1 queries over {options.get('warmUp', 200)} ms")
    say("I", f"Timing trace has {len(rows)} queries over {sum(row['latencyMs'] for row in rows) / 1000:.5g} s")
    if "exportTimes" in options:
        Path(options["exportTimes"]).write_text(_times(rows))
    if "exportOutput" in options:
        _export(device, Path(options["exportOutput"]), outputs)


def _model(device: Itself, path: Path) -> Path:
    """What an engine came from. Only engines of this device load, byte by byte, as with the real one."""
    try:
        engine = path.read_bytes()
    except OSError as error:
        raise TrtexecError(f"Error opening engine file: {path}") from error
    model = device.model_of(engine)
    if not model.exists():
        what = "magicTagRead == kMAGIC_TAG failed.Magic tag does not match"
        if engine[:4] in (b"vtrt", b"ftrt"):
            what = "stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. " \
                "Note: Current Version: 239, Serialized Engine Version: 240"  # fmt: skip
        say(
            "E",
            f"Error[1]: IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion {what})",
        )
        say("E", "Engine deserialization failed")
        raise TrtexecError("Got invalid engine!")
    if tuple(json.loads(device.version_of(engine).read_text())) != device.tensorrt:
        say("E", "Error[1]: IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
            "stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. "
            "Note: Current Version: 239, Serialized Engine Version: 240)")  # fmt: skip
        raise TrtexecError("Got invalid engine!")
    say("I", "Engine loaded in 0.001 sec.")
    return model


def _feeds(device: Itself, inputs: list[Any], options: dict[str, str]) -> dict[str, np.ndarray]:
    files = _pairs(options.get("loadInputs", ""))
    shapes = _pairs(options.get("shapes", ""))
    generator = np.random.default_rng(0)
    feeds = {}
    for one in inputs:
        wanted = np.dtype(_TYPES[one.type])
        stored = _stored(device, wanted)
        sizes = [int(size) for size in shapes[one.name].split("x")] if one.name in shapes else one.shape
        shape = tuple(size if isinstance(size, int) else 1 for size in sizes)
        if one.name in files:
            feeds[one.name] = _read(Path(files[one.name]), stored, shape).astype(wanted)
        else:
            feeds[one.name] = generator.uniform(-1, 1, shape).astype(wanted)
    return feeds


def _stored(device: Itself, dtype: np.dtype) -> np.dtype:
    """Engines hold float64 as float32, and int64 as int32 before TensorRT 10."""
    narrowed = {"float64": "float32"} | ({"int64": "int32"} if device.tensorrt[0] < 10 else {})
    return np.dtype(narrowed.get(dtype.name, dtype.name))


def _read(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrtexecError(f"Cannot open file {path}!") from error
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise TrtexecError(
            f"Unexpected file size for input file: {path}. Note: Input binding size is: {wanted} bytes but the file "
            f"size is {len(data)} bytes. Double check the size and datatype of the provided data."
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _pairs(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (one.rpartition(":") for one in text.split(",") if one)}


def _measure(infer: Any, options: dict[str, str]) -> list[dict[str, float]]:
    """At least so many inferences, and for at least so long, as trtexec: 10 and 3 s unless said otherwise."""
    wanted, until = int(options.get("iterations", 10)), time.monotonic() + float(options.get("duration", 3))
    rows: list[dict[str, float]] = []
    while len(rows) < wanted or time.monotonic() < until:
        start = time.perf_counter()
        infer()
        rows.append(_row(start * 1e3, time.perf_counter() * 1e3))
    return rows


def _row(start: float, end: float) -> dict[str, float]:
    before = dict.fromkeys(("startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs"), start)
    after = dict.fromkeys(("endComputeMs", "startD2hMs", "endD2hMs"), end)
    return {**before, **after, "h2dMs": 0.0, "computeMs": end - start, "d2hMs": 0.0, "latencyMs": end - start}


def _times(rows: list[dict[str, float]]) -> str:
    lines = ("{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in row.items()) + " }" for row in rows)
    return "[\n  " + "\n, ".join(lines) + "\n]\n"


def _export(device: Itself, path: Path, outputs: dict[str, np.ndarray]) -> None:
    faults = device.faults
    blocks = []
    for index, (name, array) in enumerate(outputs.items()):
        if index == 0 and faults.drop_output:
            continue
        values = [_printed(value, faults.perturb, nan=faults.nan) for value in array.reshape(-1)]
        if index == 0 and faults.wrong_count:
            values = values[:-1]
        dimensions = "x".join(map(str, array.shape))
        blocks.append(
            f'{{ "name" : "{name}"\n  , "dimensions" : "{dimensions}"\n  , "values" : [ {", ".join(values)} ]\n  }}\n'
        )
    text = "[\n  " + ", ".join(blocks) + "]\n"
    path.write_text(text[: len(text) // 2] if faults.truncate_outputs else text)


def _printed(value: Any, perturb: float, *, nan: bool) -> str:
    """As a C++ stream prints it: six digits, `nan`, `-inf`."""
    if value.dtype.kind != "f":
        return str(int(value) + int(perturb))
    return "nan" if nan else f"{float(value) + perturb:.6g}"
