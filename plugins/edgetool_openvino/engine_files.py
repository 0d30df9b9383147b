"""Writes an engine: the IR, which every device compiles for itself, or a blob that is compiled now."""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from pathlib import Path
from typing import Any

from edgetool.artifact import Engine, JsonValue, Lowering, Model
from edgetool.context import BuildContext
from edgetool.errors import HostError
from edgetool.graph import load
from edgetool_openvino.blob import blob_devices, compile_aside
from edgetool_openvino.conversion import convert, served_signature
from edgetool_openvino.lowering import declared_precision
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.refusal import write_error
from edgetool_openvino.runtime import load_runtime
from edgetool_openvino.session import precision_name, stream_count
from edgetool_openvino.weight_groups import activation_group

_IR = "model.xml"
_WEIGHTS = "model.bin"
_BLOB = "model.blob"
_CONSTANT = re.compile(r'offset="(?P<offset>\d+)" size="(?P<size>\d+)"')


def write_engine(model: Model, directory: Path, options: OpenVinoOptions, context: BuildContext) -> Engine:
    """Convert the model, lower it, and write the engine's files.

    Files are written aside and then renamed: an IR is memory-mapped by whoever has it open, and writing into it would
    kill that process.

    Raises:
        ModelError: `refused-by-openvino`, or `refused-by-device` for a blob.
        DeviceError: a blob is wanted of a device that is not here.
        HostError: disk full, no permission, no memory.
    """
    precision = declared_precision(load(model.path, weights=False), precision_name(options))
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=directory) as folder:
        scratch = Path(folder)
        network, lowerings = convert(model, scratch)
        signature = served_signature(network, model.signature)
        made = _facts(options, network)
        _write_ir(network, scratch / _IR, compress=options.compress_to_fp16)
        files = [_WEIGHTS, _IR]
        if options.artifact == "blob":
            compile_aside(scratch / _IR, scratch / _BLOB, options, threads=context.threads)
            if parts := blob_devices(scratch / _BLOB):
                made["submodels"] = dict(parts)
            files = [_BLOB]
        for name in files:
            (scratch / name).replace(directory / name)
    return Engine(
        backend="openvino",
        directory=directory,
        entry=files[-1],
        precision=precision,
        signature=signature,
        lowerings=(*lowerings, *_compression(options)),
        facts=made,
    )


def _write_ir(network: Any, path: Path, *, compress: bool) -> None:
    openvino = load_runtime()
    try:
        openvino.save_model(network, str(path), compress_to_fp16=compress)
    except RuntimeError as error:
        raise write_error(error, path) from error
    _check_complete(path)


def _check_complete(path: Path) -> None:
    """OpenVINO does not notice every failed write, so see that the weights reach as far as the IR refers to."""
    weights = path.with_suffix(".bin")
    ends = [int(match["offset"]) + int(match["size"]) for match in _CONSTANT.finditer(path.read_text())]
    if weights.stat().st_size < max(ends, default=0):
        raise HostError(
            "disk-full",
            "the weights were not written completely: the disk is full",
            where=str(path.parent),
            hint="check space there",
        )


def _compression(options: OpenVinoOptions) -> tuple[Lowering, ...]:
    if not options.compress_to_fp16:
        return ()
    return (Lowering("weights-to-float16", "float weights are stored in half precision and widened when loaded", 1),)


def _facts(options: OpenVinoOptions, network: Any) -> dict[str, JsonValue]:
    """What was pinned; threads are left out because whoever opens the engine chooses them."""
    facts: dict[str, JsonValue] = {
        "runtime": "openvino",
        "runtime_version": importlib.metadata.version("openvino"),
        "artifact": options.artifact,
        "device": options.device,
        "inference_precision": options.inference_precision,
        "performance_hint": options.performance_hint,
        "num_streams": stream_count(options),
        "pin_threads": options.pin_threads,
        "dynamic_quantization_group": activation_group(network),
        "weights": "float16" if options.compress_to_fp16 else "as the model has them",
    }
    if options.stand_in is not None:
        facts["stand_in"] = options.stand_in
    if options.plugin_name is not None:
        facts["plugin"] = {"name": options.plugin_name, "library": options.plugin_library}
    if options.device_properties:
        facts["device_properties"] = dict(sorted(options.device_properties.items()))
    return facts
