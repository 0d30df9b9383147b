"""Bundles that carry a kit, and a device's shell to run it in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from edgetool.artifact import Model
from edgetool.backends import BuildContext, Site
from edgetool.bundle.golden import write_golden
from edgetool.bundle.manifest import Manifest, RuntimeRecord, SourceRecord, StepRecord, TargetRecord
from edgetool.bundle.write import Contents, write_bundle
from edgetool_tensorrt import kit
from edgetool_tensorrt.options import TensorRtOptions

FACTS: dict[str, Any] = {"arch": os.uname().machine, "sm": 86, "tensorrt": "10.3.0"}
STAND_IN = "TensorRT-RTX and ONNX Runtime"


def write_kit_bundle(
    folder: Path, model: Model, *, facts: dict[str, Any] | None = None, options: TensorRtOptions | None = None
) -> Path:
    """Build a kit of a model and write its bundle, as `edgetool build` does without the device."""
    facts = FACTS if facts is None else facts
    options = TensorRtOptions(stand_in=STAND_IN) if options is None else options
    engine_folder, golden = folder / "engine", folder / "golden"
    for path in (engine_folder, golden):
        path.mkdir(parents=True)
    engine = kit.build(model, engine_folder, options, Site("kit", facts=facts), BuildContext(threads=1))
    feeds = _feeds(model)
    write_golden(golden, feeds, _reference(model.path, feeds), made_by="reference", min_cosine=0.999)
    manifest = Manifest(
        name="net",
        version="1.0.0",
        created=None,
        target=TargetRecord("board", facts, "any"),
        runtime=RuntimeRecord("tensorrt", facts["tensorrt"], engine.facts),
        backend=StepRecord("tensorrt", options.model_dump(mode="json")),
        entry=f"model/{engine.entry}",
        precision=engine.precision,
        lowerings=(),
        passes=(),
        signature=model.signature,
        preprocessing=None,
        source=SourceRecord("net.onnx", "ab" * 32, "onnx"),
        calibration=None,
        evaluation=None,
        validation={"status": "unverified"},
        verdicts=(),
        tools={},
    )
    contents = Contents(
        manifest=manifest, engine=engine_folder, golden=golden, validation={"status": "unverified"}, measurements={}
    )
    return write_bundle(folder / "net.edgebundle", contents).path


def _feeds(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    shapes = model.signature.input_shapes("opt")
    return {
        spec.name: generator.normal(size=shapes[spec.name]).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else generator.integers(0, 4, size=shapes[spec.name]).astype(spec.dtype)
        for spec in model.signature.inputs
    }


def _reference(path: Path, feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
