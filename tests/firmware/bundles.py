"""Bundles of every shape that a package format may meet, written by the real writer."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgetool.bundle.golden import write_golden
from edgetool.bundle.manifest import (
    Manifest,
    RuntimeRecord,
    SourceRecord,
    StepRecord,
    TargetRecord,
    compatibility_key,
)
from edgetool.bundle.write import Contents, write_bundle
from edgetool.signature import DimRange, Signature, TensorSpec

X86 = {"arch": "x86-64", "isa": ["avx2", "vnni"]}
ORIN = {"arch": "aarch64", "sm": 87, "soc": "tegra234", "jetpack": "6.2", "tensorrt": "10.3.0"}

_ENGINE = {"engine.onnx": b"\x08\x09engine", "data/weights.bin": bytes(range(256)) * 40}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a bundle shall be; every field may be given to `make_bundle`.

    Attributes:
        name, version, target: also the name of the folder.
        files: of `model/`; a number stands for so many bytes that do not compress. The first is the engine's entry.
        runtime, runtime_version, runtime_facts, facts: as the manifest says them.
        inputs, outputs, dims: the signature; golden data is written where all shapes are known from it.
        changes: of any other field of the manifest.
    """

    name: str = "net"
    version: str = "1.2.0"
    target: str = "ort"
    files: Mapping[str, bytes | int] = field(default_factory=lambda: _ENGINE)
    runtime: str = "onnxruntime"
    runtime_version: str | None = "1.31.1"
    runtime_facts: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=lambda: X86)
    precision: str = "int8"
    inputs: Sequence[TensorSpec] = (TensorSpec("x", "float32", ("batch", 3)),)
    outputs: Sequence[TensorSpec] = (TensorSpec("y", "float32", ("batch", 2)),)
    dims: Mapping[str, DimRange] = field(default_factory=lambda: {"batch": DimRange(1, 1, 8)})
    golden: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)

    def manifest(self) -> Manifest:
        manifest = Manifest(
            name=self.name,
            version=self.version,
            created=None,
            target=TargetRecord(
                self.target, self.facts, compatibility_key(self.runtime, self.runtime_version, self.facts)
            ),
            runtime=RuntimeRecord(self.runtime, self.runtime_version, self.runtime_facts),
            backend=StepRecord(self.runtime),
            entry=f"model/{next(iter(self.files))}",
            precision=self.precision,
            lowerings=(),
            passes=(StepRecord("simplify"),),
            signature=Signature(tuple(self.inputs), tuple(self.outputs), self.dims),
            preprocessing=None,
            source=SourceRecord("models/net.onnx", "ab" * 32, "onnx", {"opset": 17}, "MIT"),
            calibration=None,
            evaluation=None,
            validation={"status": "passed"},
            verdicts=(),
            tools={"onnx": "1.23.2"},
        )
        return replace(manifest, **self.changes)


def write_recipe(recipe: Recipe, folder: Path) -> Path:
    """Write `NAME-VERSION-TARGET.edgebundle` into a folder, which is made if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        engine, golden = Path(scratch, "engine"), Path(scratch, "golden")
        for name, content in recipe.files.items():
            path = engine / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else random.Random(0).randbytes(content))
        if recipe.golden:
            golden.mkdir()
            write_golden(golden, _arrays(recipe, recipe.inputs), _arrays(recipe, recipe.outputs))
        contents = Contents(
            manifest=recipe.manifest(),
            engine=engine,
            golden=golden if recipe.golden else None,
            validation={"status": "passed"},
            measurements={"p50_s": 0.001},
        )
        name = f"{recipe.name}-{recipe.version}-{recipe.target}".replace("/", "_")
        return write_bundle(folder / f"{name}.edgebundle", contents).path


def _arrays(recipe: Recipe, specs: Sequence[TensorSpec]) -> dict[str, Any]:
    sizes = {name: rank.opt for name, rank in recipe.dims.items()}
    arrays = {}
    for spec in specs:
        shape = tuple(size if isinstance(size, int) else sizes.get(str(size), 1) for size in spec.shape)
        kind = spec.dtype if spec.dtype in np.sctypeDict else "float32"
        arrays[spec.name] = np.zeros(shape, dtype=object if spec.dtype == "string" else kind)
        if spec.dtype == "string":
            arrays[spec.name].fill("text")
    return arrays
