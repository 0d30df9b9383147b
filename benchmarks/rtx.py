"""What our TensorRT-RTX builder adds to the library's own calls: time and memory for a float16 network of 50 MB.

Both run in one process, in turns, so that imports count for neither: a build's process has them behind it. The bare
calls parse by path and stream the engine to its file, and neither check the model nor look at what they wrote. For the
memory each runs alone in a fresh process, imports included.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from benchmarks.timing import Run, report

Build = Callable[[Path, Path], None]

_LIMIT = 1.25
_ALLOWANCE = 200_000_000  # bytes
_LAYERS, _WIDTH = 25, 1024
_ROUNDS = 15


def main() -> None:
    """Time both, then look at the largest resident set of each."""
    print("rtx: our builder against the bare calls of TensorRT-RTX, one float16 network of 50 MB for 8.6")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_network(folder / "model.onnx")
        report(_take_turns(model, folder), against="bare", limits={"edgetool": _LIMIT})
        bare, ours = (_peak(which, model, folder) for which in CONTESTANTS)
    added = ours - bare
    print(
        f"  largest resident set {bare / 1e6:.0f} MB and {ours / 1e6:.0f} MB: {added / 1e6:+.0f} MB"
        f"  required <= {_ALLOWANCE / 1e6:.0f} MB: {'held' if added <= _ALLOWANCE else 'MISSED'}"
    )


def write_network(path: Path) -> Path:
    """A chain of matrix products in float16, 52 MB of weights."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights = [], []
    for index in range(_LAYERS):
        weight = generator.normal(size=(_WIDTH, _WIDTH), scale=_WIDTH**-0.5).astype(np.float16)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes += [
            helper.make_node("MatMul", [f"h{index}", f"w{index}"], [f"m{index}"], name=f"matmul{index}"),
            helper.make_node("Relu", [f"m{index}"], [f"h{index + 1}"], name=f"relu{index}"),
        ]
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, (1, _WIDTH)) for name in ("h0", f"h{_LAYERS}")
    )
    graph = helper.make_graph(nodes, "chain", [first], [last], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def build_bare(model: Path, folder: Path) -> None:
    """The fewest calls that write an engine."""
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(model))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    with (folder / "engine.plan").open("wb") as file:
        writer = _writer(trt, file)
        assert builder.build_serialized_network_to_stream(network, config, writer)


def build_ours(model: Path, folder: Path) -> None:
    """The backend's builder."""
    from edgetool.artifact import Model
    from edgetool.backends import Site
    from edgetool.context import BuildContext
    from edgetool.signature import Signature, TensorSpec
    from edgetool_tensorrt import rtx
    from edgetool_tensorrt.options import TensorRtOptions

    specs = (TensorSpec(name, "float16", (1, _WIDTH)) for name in ("h0", f"h{_LAYERS}"))
    signature = Signature((next(specs),), (next(specs),))
    rtx.build(Model(model, signature), folder, TensorRtOptions(), Site(facts={"sm": 86}), BuildContext(threads=1))


CONTESTANTS: dict[str, Build] = {"bare": build_bare, "edgetool": build_ours}


def _writer(trt: Any, file: IO[bytes]) -> Any:
    class Writer(trt.IStreamWriter):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)

        def write(self, data: bytes) -> int:
            return file.write(data)

    return Writer()


def _take_turns(model: Path, folder: Path) -> dict[str, list[Run]]:
    """Every contestant once a round, after one round that does not count."""
    found: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    for number in range(_ROUNDS + 1):
        for name, build in CONTESTANTS.items():
            target = folder / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            wall, cpu = time.perf_counter(), time.process_time()
            build(model, target)
            run = Run(time.perf_counter() - wall, time.process_time() - cpu)
            if number:
                found[name].append(run)
    return found


def _peak(which: str, model: Path, folder: Path) -> int:
    """Bytes of the largest resident set of a process that builds once, the median of three."""
    target = folder / f"{which}-alone"
    target.mkdir()
    command = [sys.executable, "-m", "benchmarks.rtx", which, str(model), str(target)]
    runs = (subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3))
    return int(statistics.median(int(run.stdout) for run in runs))


def _build_once(which: str, model: str, folder: str) -> None:
    from edgetool.engine.memory import peak_resident

    CONTESTANTS[which](Path(model), Path(folder))
    print(peak_resident())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if len(sys.argv) > 1:
        _build_once(*sys.argv[1:])
    else:
        main()
