"""What the passes work on: an example network as edgetool imports and simplifies it, and a few of its own samples."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import AnyPass, Pass, PassResult
from edgetool.runner import Feeds
from edgetool.testing.samples import GivenSamples

NETWORKS = (
    "digits",
    "japanese_vowels",
    "magika",
    "silero",
    "resemblyzer",
    "ppocr",
    "mobilenetv2",
    "efficientnet_lite0",
    "minilm",
)
_EXAMPLES = Path(__file__).parents[2] / "examples"
_SAMPLES = 4
_NEEDED: Mapping[str, Mapping[str, Any]] = {"convert-opset": {"opset": 21}}
"""Options that a pass has no default for; `specialize` is given the network's own dimensions."""


@dataclass(frozen=True)
class Subject:
    """A float network.

    Attributes:
        name: of the example.
        model: simplified, with the dimensions that the example's targets file declares.
        samples: to calibrate with, and to compare on.
    """

    name: str
    model: Model
    samples: GivenSamples


def prepare(name: str, folder: Path) -> Subject:
    """Fetch what the example needs, and import its network into `folder`."""
    from edgetool.graph import read_model
    from edgetool.signature import DimRange

    importlib.import_module(f"examples.{name}.prepare").main()
    data = importlib.import_module(f"examples.{name}.data")
    samples = GivenSamples(list(itertools.islice(data.calibration(), _SAMPLES)))
    target = folder / "float.onnx"
    command = [sys.executable, "-m", "edgetool", "convert", "--quiet", "--output", str(target)]
    subprocess.run(command, cwd=_EXAMPLES / name, check=True)
    tables = tomllib.loads((_EXAMPLES / name / "targets.toml").read_text())["model"].get("dims", {})
    dims = {
        dim: DimRange(row["min"], row.get("opt", row["min"]), row.get("max", row["min"])) for dim, row in tables.items()
    }
    raw = Subject(name, read_model(target, dims), samples)
    return Subject(name, run(make("simplify", {}), raw.model, samples, folder / "simple").model, samples)


def chosen(name: str, model: Model) -> AnyPass:
    """A pass with its defaults, and with what it has no default for."""
    options = dict(_NEEDED.get(name, {}))
    if name == "specialize":
        options["dims"] = {dim: size.opt for dim, size in model.signature.dims.items()}
    return make(name, options)


def make(name: str, options: Mapping[str, Any]) -> AnyPass:
    """A pass of the plugins."""
    from edgetool.plugin.loading import load_class
    from edgetool.plugin.manager import load_plugins

    kind = load_class(load_plugins().passes[name], Pass)
    subject: AnyPass = kind(kind.Options(**options))
    return subject


def run(subject: AnyPass, model: Model, samples: GivenSamples, folder: Path) -> PassResult:
    """Apply a pass; `folder` is made."""
    from edgetool_onnxruntime.reference import open_onnx

    folder.mkdir()
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)
    return subject.apply(model, folder, context)


def fitting(feeds: Feeds, model: Model) -> Feeds:
    """Cut or repeated to the sizes that `specialize` fixed."""
    found = {}
    for spec in model.signature.inputs:
        values = feeds[spec.name]
        for axis, size in enumerate(spec.shape):
            if isinstance(size, int) and values.shape[axis] != size:
                values = np.take(values, np.arange(size) % values.shape[axis], axis=axis)
        found[spec.name] = np.ascontiguousarray(values)
    return found
