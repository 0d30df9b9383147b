"""A small bundle to write, read and damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgetool.bundle.golden import write_golden
from edgetool.bundle.manifest import (
    DataRecord,
    LoweringRecord,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    StepRecord,
    TargetRecord,
    compatibility_key,
)
from edgetool.bundle.write import Contents
from edgetool.signature import DimRange, Signature, TensorSpec

FACTS = {"arch": "x86-64", "isa": ["avx2", "vnni"], "ram": "4GiB"}

MANIFEST = Manifest(
    name="net",
    version="1.2.0",
    created=None,
    target=TargetRecord("ort", FACTS, compatibility_key("onnxruntime", "1.31.1", FACTS)),
    runtime=RuntimeRecord("onnxruntime", "1.31.1", {"threads": 1}),
    backend=StepRecord("onnxruntime", {"format": "onnx"}),
    entry="model/engine.onnx",
    precision="int8",
    lowerings=(LoweringRecord("int8-to-uint8", "zero points shifted", 3),),
    passes=(StepRecord("simplify"), StepRecord("quantize-static", {"per_channel": True}, facts={"quantized": 7})),
    signature=Signature(
        (TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", None)),),
        {"batch": DimRange(1, 1, 8)},
    ),
    preprocessing={"resize": 256, "mean": [0.5]},
    source=SourceRecord("models/net.onnx", "ab" * 32, "onnx", {"opset": 17}, "MIT"),
    calibration=DataRecord(64, "cd" * 32),
    evaluation=None,
    validation={"status": "passed", "cosine": 0.999},
    verdicts=({"name": "size", "status": "held"},),
    tools={"onnx": "1.23.2"},
)  # fmt: skip


def contents(folder: Path, **changes: object) -> Contents:
    """An engine of two files, with golden inputs and outputs, below `folder`."""
    engine, golden = folder / "engine", folder / "golden"
    for path in (engine / "data", golden):
        path.mkdir(parents=True, exist_ok=True)
    (engine / "engine.onnx").write_bytes(b"\x08\x09engine")
    (engine / "data" / "weights.bin").write_bytes(bytes(range(256)) * 40)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_golden(golden, {"x": x}, {"y": x[:, :2] * 2})
    return Contents(
        manifest=replace(MANIFEST, **changes),  # type: ignore[arg-type]
        engine=engine,
        golden=golden,
        validation={"status": "passed", "trials": [1, 2.5]},
        measurements={"p50_s": 0.001},
    )
