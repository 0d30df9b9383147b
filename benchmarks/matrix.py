"""Every pass on every example network, on both processors' runtimes: does it run, and how far from float is it?

Each pass gets its defaults and a few calibration samples. `ok` with the cosine to float, `same` where the pass leaves
the network as it is, `refused` with the reason of the pass or of the backend, and FAIL with whatever went wrong.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import EdgetoolError
from edgetool.passes.base import AnyPass, Pass
from edgetool.runner import Feeds

_EXAMPLES = Path(__file__).parents[1] / "examples"
NETWORKS = ("digits", "japanese_vowels", "magika", "silero", "resemblyzer", "ppocr", "mobilenetv2", "minilm")
BACKENDS = ("onnxruntime", "openvino")
_SAMPLES = 4
_NEEDED: Mapping[str, Mapping[str, Any]] = {"convert-opset": {"opset": 21}}
"""Options that a pass has no default for; `specialize` is given the network's own dimensions."""


@dataclass(frozen=True)
class _Samples:
    """The first few, as the framework would hand them over."""

    feeds: Sequence[Feeds]
    digest: str = "0" * 64

    @property
    def count(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self.feeds)


def main(arguments: Sequence[str] = ()) -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix")
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    for network in parser.parse_args(arguments).networks:
        importlib.import_module(f"examples.{network}.prepare").main()
        with tempfile.TemporaryDirectory() as folder:
            _print(network, Path(folder))


def _print(network: str, folder: Path) -> None:
    from edgetool.plugin.loading import load_class
    from edgetool.plugin.manager import load_plugins

    model = _imported(network, folder)
    data = importlib.import_module(f"examples.{network}.data")
    samples = _Samples(list(itertools.islice(data.calibration(), _SAMPLES)))
    expected = _outputs("onnxruntime", model, samples.feeds, folder / "float")
    print(f"{network}:")
    for name, info in load_plugins().passes.items():
        kind = load_class(info, Pass)
        scratch = folder / name
        scratch.mkdir()
        print(f"  {name:20} {_verdict(name, kind, model, samples, expected, scratch)}", flush=True)


def _imported(network: str, folder: Path) -> Model:
    """As edgetool imports and simplifies it, with the dimensions that its targets file declares."""
    from edgetool.graph import read_model
    from edgetool.signature import DimRange
    from edgetool_passes.simplify import Simplify

    target = folder / "float.onnx"
    command = [sys.executable, "-m", "edgetool", "convert", "--quiet", "--output", str(target)]
    subprocess.run(command, cwd=_EXAMPLES / network, check=True)
    tables = tomllib.loads((_EXAMPLES / network / "targets.toml").read_text())["model"].get("dims", {})
    dims = {
        name: DimRange(row["min"], row.get("opt", row["min"]), row.get("max", row["min"]))
        for name, row in tables.items()
    }
    (folder / "simple").mkdir()
    return Simplify(Simplify.Options()).apply(read_model(target, dims), folder / "simple", _context(_Samples(()))).model


def _context(samples: _Samples) -> PassContext:
    from edgetool_onnxruntime.reference import open_onnx

    return PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)


def _verdict(
    name: str, kind: type[AnyPass], model: Model, samples: _Samples, expected: Sequence[Feeds], scratch: Path
) -> str:
    options = dict(_NEEDED.get(name, {}))
    if name == "specialize":
        options["dims"] = {dim: size.opt for dim, size in model.signature.dims.items()}
    try:
        subject = kind(kind.Options(**options))
        if refusals := [problem for problem in subject.check(model) if problem.severity == "refuse"]:
            return f"refused: {refusals[0]}"
        result = subject.apply(model, scratch, _context(samples))
    except EdgetoolError as error:
        return f"refused: {error.message}"
    if not result.changed:
        return "same"
    feeds = samples.feeds if name != "specialize" else [_fitting(feed, result.model) for feed in samples.feeds]
    wanted = expected if name != "specialize" else None
    return ", ".join(f"{backend} {_ran(backend, result.model, feeds, wanted, scratch)}" for backend in BACKENDS)


def _fitting(feeds: Feeds, model: Model) -> Feeds:
    """Cut or padded with zeros to the sizes that were fixed."""
    found = {}
    for spec in model.signature.inputs:
        values = feeds[spec.name]
        for axis, size in enumerate(spec.shape):
            if isinstance(size, int) and values.shape[axis] != size:
                values = np.take(values, np.arange(size) % values.shape[axis], axis=axis)
        found[spec.name] = np.ascontiguousarray(values)
    return found


def _ran(backend: str, model: Model, feeds: Sequence[Feeds], expected: Sequence[Feeds] | None, scratch: Path) -> str:
    try:
        found = _outputs(backend, model, feeds, scratch / backend)
    except EdgetoolError as error:
        return f"refused: {error.message}"
    if any(not np.isfinite(values).all() for output in found for values in output.values()):
        return "FAIL: its outputs are not finite"
    return "ok" if expected is None else f"ok {_cosine(expected, found):.4f}"


def _outputs(backend: str, model: Model, feeds: Sequence[Feeds], folder: Path) -> list[Feeds]:
    from edgetool.backends.base import Backend
    from edgetool.plugin.loading import load_class
    from edgetool.plugin.manager import load_plugins

    folder.mkdir()
    kind = load_class(load_plugins().backend(backend, where="the matrix"), Backend)
    subject, context = kind(kind.Options()), BuildContext(threads=1)
    with subject.open(subject.build(model, folder, context), context) as runner:
        return [{name: np.array(values) for name, values in runner.infer(feed).items()} for feed in feeds]


def _cosine(expected: Sequence[Feeds], found: Sequence[Feeds]) -> float:
    """The smallest over the outputs."""
    least = 1.0
    for name in expected[0]:
        one, other = (
            np.concatenate([row[name].ravel().astype(np.float64) for row in rows]) for rows in (expected, found)
        )
        least = min(least, float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12)))
    return least


if __name__ == "__main__":
    main(sys.argv[1:])
