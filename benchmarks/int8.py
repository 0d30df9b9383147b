"""What int8 gains: our engines on both CPU runtimes, beside float and beside NNCF's own quantized IR.

One thread, processor time, all contestants in turns on one input. The networks are downloaded (`benchmarks.networks`).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import Network, prepare
from benchmarks.timing import Ratio
from edgetool.artifact import Model
from edgetool.backends.base import AnyBackend
from edgetool.context import BuildContext, PassContext
from edgetool.graph import read_model
from edgetool.runner import Feeds, Runner
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples

Array = np.ndarray[Any, Any]
Infer = Callable[[Feeds], Array]

_ROUNDS = 60
_SAMPLES = 64
_HELD_OUT = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One network: what is required of each engine, as a ratio to float on ONNX Runtime."""

    network: str
    openvino: float
    onnxruntime: float
    nncf_model_type: str | None = None


ROWS = (
    Row("minilm", openvino=2.3, onnxruntime=1.8, nncf_model_type="transformer"),
    Row("mobilenet_v2", openvino=2.0, onnxruntime=1.9),
    Row("resnet18", openvino=3.3, onnxruntime=3.0),
)


def main() -> None:
    """Print, for each network, times, ratios to float ONNX Runtime, and cosines to its results."""
    print(f"int8: against float on ONNX Runtime; batch 1, one thread, {_ROUNDS} rounds of processor time")
    for row in ROWS:
        network = prepare(row.network)
        with tempfile.TemporaryDirectory() as folder:
            contestants = _contestants(row, network, Path(folder))
            _print(row, contestants, network)


def _contestants(row: Row, network: Network, scratch: Path) -> dict[str, Infer]:
    from edgetool_onnxruntime.backend import OnnxRuntime
    from edgetool_openvino.backend import OpenVino
    from edgetool_passes.quantize_dynamic import QuantizeDynamic
    from edgetool_passes.quantize_static import QuantizeStatic

    source = read_model(network.path, {"batch": DimRange(1, 1, 1)})
    static = _applied(QuantizeStatic, source, network, scratch / "static")
    onnxruntime, openvino = OnnxRuntime(OnnxRuntime.Options()), OpenVino(OpenVino.Options())
    found = {
        "onnxruntime float": _engine(onnxruntime, source, scratch / "ort"),
        "openvino float": _engine(openvino, source, scratch / "ov"),
        "onnxruntime int8": _engine(onnxruntime, static, scratch / "ort8"),
        "openvino int8": _engine(openvino, static, scratch / "ov8"),
        "NNCF's IR on openvino": _nncf(row, network),
    }
    if row.nncf_model_type:
        scores = _applied(QuantizeStatic, source, network, scratch / "scores", attention_scores=True)
        found["openvino int8, scores too"] = _engine(openvino, scores, scratch / "ov8s")
    if not QuantizeDynamic(QuantizeDynamic.Options()).check(source):
        dynamic = _applied(QuantizeDynamic, source, network, scratch / "dynamic")
        found["onnxruntime int8 dynamic"] = _engine(onnxruntime, dynamic, scratch / "ort8d")
        found["openvino int8 dynamic"] = _engine(openvino, dynamic, scratch / "ov8d")
    return found


def _applied(kind: Any, model: Model, network: Network, folder: Path, **options: Any) -> Model:
    from edgetool_onnxruntime.reference import open_onnx

    folder.mkdir()
    samples = _samples(network)
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)
    result: Model = kind(kind.Options(**options)).apply(model, folder, context).model
    return result


def _samples(network: Network) -> GivenSamples:
    """Calibration feeds of one sample each."""
    return GivenSamples(list(islice(network.feeds(network.calibration, batch=1), _SAMPLES)))


def _engine(backend: AnyBackend, model: Model, folder: Path) -> Infer:
    folder.mkdir()
    context = BuildContext(threads=1)
    runner: Runner = backend.open(backend.build(model, folder, context), context)
    return lambda feeds: next(iter(runner.infer(feeds).values()))


def _nncf(row: Row, network: Network) -> Infer:
    """The route that NNCF's own documentation takes: OpenVINO's model, NNCF's IR, the same precision hint."""
    from edgetool_nncf.toolkit import load_nncf, quiet
    from edgetool_openvino.runtime import load_runtime

    openvino, nncf = load_runtime(), load_nncf()
    model = openvino.convert_model(network.path)
    model.reshape({port.any_name: [1, *port.partial_shape[1:]] for port in model.inputs})
    with quiet(nncf):
        quantized = nncf.quantize(
            model,
            nncf.Dataset(_samples(network)),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if row.nncf_model_type else None,
            subset_size=_SAMPLES,
        )
    pinned = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(quantized, "CPU", pinned).create_infer_request()
    return lambda feeds: np.array(next(iter(request.infer(dict(feeds)).values())))


def _print(row: Row, contestants: Mapping[str, Infer], network: Network) -> None:
    held_out = [feeds for _, feeds in zip(range(_HELD_OUT), network.feeds(network.evaluation, batch=1), strict=False)]
    times = _take_turns(contestants, held_out[0])
    results = {name: np.concatenate([infer(feeds) for feeds in held_out]) for name, infer in contestants.items()}
    required = {"onnxruntime int8": row.onnxruntime, "openvino int8": row.openvino}
    base = "onnxruntime float"
    print(f"  {row.network}")
    for name, spent in times.items():
        line = f"    {name:26} {statistics.median(spent) * 1e3:7.2f} ms"
        if name != base:
            cosines = _cosines(results[base], results[name])
            line += f"  = {Ratio.of(times[base], spent)}  cosine {cosines.mean():.4f} (worst {cosines.min():.4f})"
        if name in required:
            ratio = Ratio.of(times[base], spent).median
            line += f"  required >= {required[name]} x: {'held' if ratio >= required[name] else 'MISSED'}"
        print(line, flush=True)


def _take_turns(contestants: Mapping[str, Infer], feeds: Feeds) -> dict[str, list[float]]:
    """Seconds of processor time of each call, after three rounds that do not count."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(_ROUNDS + 3):
        for name, infer in contestants.items():
            started = time.process_time()
            infer(feeds)
            if number >= 3:
                found[name].append(time.process_time() - started)
    return found


def _cosines(these: Array, those: Array) -> Array:
    a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (these, those))
    result: Array = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return result


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
