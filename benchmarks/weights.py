"""What weight-only quantization gains on real networks, and what it takes for large ones.

MiniLM and magika with the examples' own data and metrics, on both CPU runtimes: size of the engine and of its xz
archive, accuracy, and processor time of one thread in turns. With `--stream 8GiB`: only the memory and the speed of
int8 round-to-nearest on a synthetic model of that size, in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import write_project
from benchmarks.timing import Ratio
from edgetool.artifact import Model
from edgetool.backends.base import AnyBackend
from edgetool.config.units import byte_count, format_bytes
from edgetool.context import BuildContext, PassContext
from edgetool.graph import read_model
from edgetool.runner import Feeds, Runner
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples

MEMORY_LIMIT = 2_000_000_000
"""Bytes that the pass may hold at once, however large the model is."""
SPEED_LIMIT = 100_000_000
"""Bytes of float32 weights that it reads in a second of processor time, at least."""
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantize a network.

    Attributes:
        options: of `quantize-weights`.
        required: how many times smaller the engine of ONNX Runtime has to be; None for rows to compare with.
    """

    options: Mapping[str, Any]
    required: float | None = None

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.options.items()) or "defaults"


@dataclass(frozen=True, slots=True)
class Network:
    """An example, and what is asked of it.

    Attributes:
        name: of the example.
        dims: sizes to prove it at.
        recipes: to compare.
        allowed: how much of the metric may be lost.
    """

    name: str
    dims: Mapping[str, DimRange]
    recipes: tuple[Recipe, ...]
    allowed: float


NETWORKS = (
    Network(
        "minilm",
        {"batch": DimRange(1, 1, 4), "tokens": DimRange(8, 128, 256)},
        (
            Recipe({}),
            Recipe({"bits": 4}, 6.0),
            Recipe({"bits": 4, "method": "hqq"}),
            Recipe({"bits": 4, "method": "awq"}),
            Recipe({"bits": 4, "method": "gptq"}, 6.0),
            Recipe({"bits": 4, "method": "gptq", "symmetric": False}),
            Recipe({"bits": 4, "method": "gptq", "block_size": 128}, 6.0),
        ),
        allowed=0.01,
    ),
    Network(
        "magika",
        {"batch": DimRange(1, 1, 16)},
        (
            Recipe({}),
            Recipe({"bits": 4, "block_size": 256}),
            Recipe({"bits": 4, "block_size": 0, "method": "hqq"}, 7.0),
        ),
        allowed=0.002,
    ),
)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [network.name for network in NETWORKS]
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(names)}")
    parser.add_argument("--stream", metavar="SIZE", help="of a synthetic model; its folder needs 1.3 times as much")
    parser.add_argument("--folder", type=Path, help="where to write it")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    if unknown := set(options.networks) - set(names):  # `choices` refuses the empty list beside an option
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.inside:
        print(json.dumps(_quantize_large(options.inside)))
    elif options.stream:
        _print_streamed(stream(byte_count(options.stream), options.folder))
    else:
        for network in NETWORKS:
            if options.networks and network.name not in options.networks:
                continue
            with tempfile.TemporaryDirectory() as folder:
                _compare(network, Path(folder))


# ---------------------------------------------------------------------------------------------- large models


@dataclass(frozen=True, slots=True)
class Streamed:
    """What quantizing a large model took.

    Attributes:
        size: bytes of its float32 weights.
        cpu, wall: seconds.
        peak: bytes of the largest resident set, interpreter and mapped weights included.
    """

    size: int
    cpu: float
    wall: float
    peak: int


def stream(size: int, folder: Path | None = None) -> Streamed:
    """Write a model of about `size` bytes and quantize it to int8 in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="edgetool-weights-", dir=folder) as name:
        written = write_project(Path(name), size=size, backend="onnxruntime", recipe="float")
        command = [sys.executable, "-m", "benchmarks.weights", "--inside", name]
        single = {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env={**os.environ, **single}, capture_output=True, text=True, check=True)
    return Streamed(written, **json.loads(done.stdout))


def _quantize_large(folder: Path) -> dict[str, float]:
    from edgetool_onnxruntime.reference import open_onnx
    from edgetool_passes.quantize_weights import QuantizeWeights

    workdir = folder / "quantized"
    workdir.mkdir()
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1))
    model = read_model(folder / "model.onnx")
    wall, cpu = time.perf_counter(), time.process_time()
    QuantizeWeights(QuantizeWeights.Options()).apply(model, workdir, context)
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "peak": _peak(),
    }


def _peak() -> int:
    """Bytes of this process's largest resident set; what `resource` says would count its parent's, too."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def _print_streamed(done: Streamed) -> None:
    speed = done.size / done.cpu
    print(
        f"weights: {format_bytes(done.size)} to int8, round-to-nearest, one thread\n"
        f"  {speed / 1e6:.0f} MB/s of processor time, {done.size / done.wall / 1e6:.0f} MB/s of wall time"
        f"  required >= {SPEED_LIMIT / 1e6:.0f}: {'held' if speed >= SPEED_LIMIT else 'MISSED'}\n"
        f"  largest resident set {done.peak / 1e6:.0f} MB"
        f"  required <= {MEMORY_LIMIT / 1e6:.0f}: {'held' if done.peak <= MEMORY_LIMIT else 'MISSED'}",
        flush=True,
    )


# ---------------------------------------------------------------------------------------------- real networks


@dataclass(frozen=True)
class Contestant:
    """An engine that is open.

    Attributes:
        name: as the table prints it.
        runner: of the engine.
        size, archived: bytes of its files, and of these compressed by xz.
        required: least ratio of sizes, or None.
    """

    name: str
    runner: Runner
    size: int
    archived: int
    required: float | None


def _compare(network: Network, folder: Path) -> None:
    data = importlib.import_module(f"examples.{network.name}.data")
    source = _imported(network, folder)
    found = [*_engines("float", source, folder / "float", None)]
    for number, recipe in enumerate(network.recipes):
        workdir = folder / f"recipe{number}"
        model = _quantized(source, workdir, recipe, data)
        found += _engines(str(recipe), model, workdir / "engines", recipe.required)
    evaluation = list(data.evaluation())
    feeds = [feed for feed, _ in evaluation]
    labels = [label for _, label in evaluation]
    times = _take_turns(found, feeds[0])
    base, base_size = found[0], found[0].size
    expected: list[Feeds] = []
    floats = 0.0
    print(f"weights: {network.name}, {base_size / 1e6:.2f} MB in float; {len(feeds)} feeds, one thread")
    for one in found:
        outputs: list[Feeds] = [one.runner.infer(feed) for feed in feeds]
        metric = data.metric(outputs, labels)
        if one is base:
            expected, floats = outputs, metric
        line = f"  {one.name:52} {base_size / one.size:5.2f} x smaller, archived {base_size / one.archived:5.2f} x"
        line += f"  metric {metric:.4f} ({metric - floats:+.4f})  cosine {_cosine(expected, outputs):.4f}"
        line += f"  {Ratio.of(times[base.name], times[one.name])} faster"
        if one.required is not None:
            held = base_size / one.size >= one.required and floats - metric <= network.allowed
            line += f"  required >= {one.required} x, <= {network.allowed} lost: {'held' if held else 'MISSED'}"
        print(line, flush=True)


def _imported(network: Network, folder: Path) -> Model:
    """The example's network as edgetool imports it; downloaded when it is not there yet."""
    importlib.import_module(f"examples.{network.name}.prepare").main()
    example = Path(importlib.import_module(f"examples.{network.name}.data").__file__ or "").parent
    target = folder / "model.onnx"
    command = [sys.executable, "-m", "edgetool", "convert", "--quiet", "--output", str(target)]
    subprocess.run(command, cwd=example, check=True, stdout=subprocess.DEVNULL)
    return read_model(target, network.dims)


def _quantized(source: Model, workdir: Path, recipe: Recipe, data: Any) -> Model:
    from edgetool_onnxruntime.reference import open_onnx
    from edgetool_passes.quantize_weights import QuantizeWeights

    workdir.mkdir()
    samples = GivenSamples(list(data.calibration()))
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)
    return QuantizeWeights(QuantizeWeights.Options(**recipe.options)).apply(source, workdir, context).model


def _engines(name: str, model: Model, folder: Path, required: float | None) -> Iterator[Contestant]:
    from edgetool_onnxruntime.backend import OnnxRuntime
    from edgetool_onnxruntime.options import OnnxRuntimeOptions
    from edgetool_openvino.backend import OpenVino
    from edgetool_openvino.options import OpenVinoOptions

    backends: dict[str, AnyBackend] = {
        "onnxruntime": OnnxRuntime(OnnxRuntimeOptions()),
        "openvino": OpenVino(OpenVinoOptions()),
    }
    for kind, backend in backends.items():
        directory = folder / kind
        directory.mkdir(parents=True)
        context = BuildContext(threads=1)
        runner = backend.open(backend.build(model, directory, context), context)
        files = [path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()]
        archived = len(lzma.compress(b"".join(files), preset=6))
        wanted = required if kind == "onnxruntime" else None
        yield Contestant(f"{kind} {name}", runner, sum(map(len, files)), archived, wanted)


def _take_turns(contestants: Sequence[Contestant], feeds: Feeds) -> dict[str, list[float]]:
    """Seconds of processor time of each call, after three rounds that do not count."""
    found: dict[str, list[float]] = {one.name: [] for one in contestants}
    for number in range(_ROUNDS + 3):
        for one in contestants:
            started = time.process_time()
            one.runner.infer(feeds)
            if number >= 3:
                found[one.name].append(time.process_time() - started)
    return found


def _cosine(expected: Sequence[Feeds], outputs: Sequence[Feeds]) -> float:
    """Mean cosine of the first output, feed by feed."""
    cosines = []
    for these, those in zip(expected, outputs, strict=True):
        a, b = (next(iter(one.values())).reshape(-1).astype(np.float64) for one in (these, those))
        cosines.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return statistics.mean(cosines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
