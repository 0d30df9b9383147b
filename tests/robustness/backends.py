"""Senseless models for every backend and the passes that no other kind reaches."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.robustness.models import changed_structure
from tests.robustness.seeds import Seeds

_TARGETS = """\
schema = 1
[model]
source = "model.onnx"
[model.dims.batch]
min = 1
max = 1
[recipes.fused]
passes = [{ use = "simplify" }, { use = "fold-bn" }, { use = "fuse" }]
[recipes.moved]
passes = [{ use = "convert-opset", opset = 21 }]
[recipes.weights]
passes = [{ use = "clip-outliers" }, { use = "quantize-weights", min_size = 1 }]
[recipes.pruned]
passes = [{ use = "prune-magnitude", min_size = 1 }, { use = "cluster-weights", min_size = 2 }]
[recipes.repaired]
passes = [{ use = "repair-qdq" }]
[targets.c]
backend = "c"
c.board = "host"
[targets.openvino]
backend = "openvino"
[targets.engine]
backend = "tensorrt"
builder.kind = "kit"
facts.sm = 87
facts.arch = "aarch64"
facts.tensorrt = "10.3"
[targets.fused]
backend = "onnxruntime"
recipe = "fused"
[targets.moved]
backend = "onnxruntime"
recipe = "moved"
[targets.weights]
backend = "onnxruntime"
recipe = "weights"
[targets.pruned]
backend = "onnxruntime"
recipe = "pruned"
[targets.repaired]
backend = "onnxruntime"
recipe = "repaired"
"""
_CHECK = ("check", "-t")
_BUILD = ("build", "--latency-time", "0.01s", "--no-cache", "-t")
_COMMANDS = (
    *(((*_CHECK, name), 4) for name in ("c", "openvino", "engine")),
    *(((*_BUILD, name), 1) for name in ("c", "openvino", "engine")),
    *(((*_BUILD, name), 1) for name in ("fused", "moved", "weights", "pruned", "repaired")),
)


def model_for_backends(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Well-formed files that say something senseless, where each backend and pass judges and builds them."""
    changed_structure(random, seeds, folder)
    (folder / "targets.toml").write_text(_TARGETS)
    commands, shares = zip(*_COMMANDS, strict=True)
    return random.choices(commands, shares)[0]
