"""The sound files that mutants are made of: small models, a project, a bundle, its archive, signature and baseline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.testing import models
from tests.tiny import write_tiny_project

if TYPE_CHECKING:
    import onnx

TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
license = "MIT"
source = "model.onnx"
[model.dims.batch]
min = 1
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static", per_channel = true }]
[targets.float]
backend = "onnxruntime"
unverified = "allow"
[targets.float.facts]
arch = "x86_64"
[targets.float.onnxruntime]
graph_optimization = "all"
session_entries = { "session.use_env_allocators" = "0" }
[targets.float.budget]
min_cosine = 0.99
min_agreement = "50%"
size = "20MiB"
latency_p99 = "900ms"
[targets.int8]
extends = "float"
recipe = "int8"
fallback = ["openvino"]
[targets.int8.builder]
timeout = "60s"
memory = "2GiB"
"""
PLAIN_TARGETS = """\
schema = 1
[recipes.smaller]
passes = [{ use = "simplify" }, { use = "quantize-dynamic" }]
[recipes.half]
passes = [{ use = "simplify" }, { use = "cast-fp16" }]
[targets.float]
backend = "onnxruntime"
[targets.smaller]
backend = "onnxruntime"
recipe = "smaller"
[targets.half]
backend = "onnxruntime"
recipe = "half"
"""
"""For mutated models: none of them says what data it takes."""

BUNDLE = "tiny-1.0.0-float.edgebundle"
ARCHIVE = "tiny-1.0.0-float.edgearchive"
SIGNATURE = f"{BUNDLE}.sig"
KEY = "key.pub"
BASELINE = "baseline.json"


@dataclass(frozen=True, slots=True)
class Seeds:
    """A folder with `models/NAME/model.onnx`, `project/`, a `BUNDLE` signed by `KEY`, its `ARCHIVE`, a `BASELINE`."""

    folder: Path

    @property
    def models(self) -> list[Path]:
        return sorted((self.folder / "models").glob("*/model.onnx"))

    def take(self, name: str, into: Path) -> Path:
        """A copy of a file or folder, free to be changed."""
        source, copy = self.folder / name, into / name
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copyfile(source, copy)
        return copy


def make_seeds(folder: Path) -> Seeds:
    """Write all of them, the bundle and what belongs to it with the command itself."""
    made = folder / "models"
    for name, make in (
        ("mlp", models.tiny_mlp),
        ("cnn", models.tiny_cnn),
        ("int8", models.tiny_int8_cnn),
        ("lstm", models.tiny_lstm),
        ("branches", models.tiny_branches),
        ("text", models.tiny_text),
    ):
        place = made / name
        place.mkdir(parents=True)
        make(place).path.rename(place / "model.onnx")
    _save(_loop(), made / "loop")
    _save(_function(), made / "function")
    _save_external(made / "cnn" / "model.onnx", made / "external")
    (folder / "project").mkdir()
    write_tiny_project(folder / "project", TARGETS, calibration=24, evaluation=2)
    _write_key(folder)
    baseline = ("--baseline", str(folder / BASELINE), "--update-baseline")
    for command in (
        ("build", "-t", "float", "--output", str(folder)),
        ("archive", str(folder / BUNDLE)),
        ("sign", str(folder / BUNDLE), "--key", str(folder / "key.pem")),
        ("validate", "-t", "float", *baseline),
    ):
        _edgetool(folder, *command)
    return Seeds(folder)


def _edgetool(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "EDGETOOL_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edgetool", *arguments]
    done = subprocess.run(command, cwd=folder / "project", env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):  # a busy machine may miss the budget of time
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")


def _write_key(folder: Path) -> None:
    """Always the same pair, so that mutants of a key are the same, too."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.trust.credentials import private_pem, public_pem, write_private

    key = ec.derive_private_key(20_240_229, ec.SECP256R1())
    write_private(folder / "key.pem", private_pem(key))
    (folder / KEY).write_bytes(public_pem(key))


def _save(model: onnx.ModelProto, place: Path) -> None:
    place.mkdir()
    (place / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))


def _save_external(source: Path, place: Path) -> None:
    import onnx

    place.mkdir()
    onnx.save(
        onnx.load(source),
        place / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.bin",
        size_threshold=0,
    )


def _loop() -> onnx.ModelProto:
    """Adds `x` three times in a Loop whose body has a constant of its own."""
    from onnx import parser

    return parser.parse_model(
        """
        <ir_version: 9, opset_import: ["" : 18]>
        looped (float[batch, 4] x) => (float[batch, 4] y) {
            trips = Constant <value = int64 {3}> ()
            go = Constant <value = bool {1}> ()
            y = Loop (trips, go, x) <body = each (int64 step, bool still, float[batch, 4] sum)
                => (bool on, float[batch, 4] next) {
                    on = Identity (still)
                    half = Constant <value = float {0.5}> ()
                    added = Mul (x, half)
                    next = Add (sum, added)
            }>
        }
        """
    )


def _function() -> onnx.ModelProto:
    """Calls a function of its own, which calls another."""
    from onnx import parser

    return parser.parse_model(
        """
        <ir_version: 9, opset_import: ["" : 18, "own" : 1]>
        calling (float[batch, 4] x) => (float[batch, 4] y) { y = own.outer (x) }
        <domain: "own", opset_import: ["" : 18, "own" : 1]>
        outer (a) => (b) { c = own.inner (a)  b = Relu (c) }
        <domain: "own", opset_import: ["" : 18]>
        inner (a) => (b) { b = Neg (a) }
        """
    )
