"""Writes a kit: the typed ONNX, and a script that builds the engine of it on the device."""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path

from edgetool.artifact import Engine, JsonValue, Model
from edgetool.backends import BuildContext, Site
from edgetool.disk import host_errors
from edgetool.errors import ModelError
from edgetool.graph import files
from edgetool_tensorrt.kit.facts import KitFacts, kit_facts
from edgetool_tensorrt.kit.plan import CALIBRATION, ENGINE, MODEL, TIMING_CACHE, build_lines, measure_lines, run_lines
from edgetool_tensorrt.kit.reasons import reason_lines
from edgetool_tensorrt.kit.target import target_lines
from edgetool_tensorrt.network import Network, build_settings, prepare
from edgetool_tensorrt.options import TensorRtOptions

ENTRY = "model.onnx"
CACHE = "calib.cache"
SCRIPT = "build-engine.sh"


def build(model: Model, directory: Path, options: TensorRtOptions, site: Site, context: BuildContext) -> Engine:
    """Write a kit into `directory`; it becomes `model/` of a bundle, with the golden inputs in `io/` beside it.

    Args:
        model: typed ONNX.
        directory: exists and is empty.
        options: of the backend.
        site: its facts describe the device, which is not asked.
        context: told what remains to be done.

    Returns:
        An engine whose entry is the ONNX, and that no runtime here opens.

    Raises:
        ConfigError: `missing-facts`.
        ModelError: `unsafe-tensor-name`, `wrong-profile`, `int8-without-scales`; as `dla.lower`.
        HostError: the disk is full.
    """
    known = kit_facts(site)
    with host_errors(directory), tempfile.TemporaryDirectory() as scratch:
        network = prepare(model, Path(scratch), options, known.version)
        size = _copy(network, directory)
    settings = build_settings(
        network, options, onnx=MODEL, engine=ENGINE, calibration=CALIBRATION, timing_cache=TIMING_CACHE
    )
    inputs = tuple(spec.name for spec in model.signature.inputs)
    texts = {
        "target": target_lines(site.facts, options, model.signature, model_bytes=size),
        "reasons": reason_lines(),
        "build-arguments": build_lines(known.version, settings),
        "run-arguments": run_lines(known.version, inputs, dla_core=options.dla_core),
        "measure-arguments": measure_lines(known.version, inputs, dla_core=options.dla_core),
    }
    with host_errors(directory):
        _copy_tree(resources("edgetool_tensorrt.kit") / "script", directory)
        for name, text in texts.items():
            (directory / "kit" / name).write_text(text, encoding="utf-8")
    context.note(f"the device builds the engine: sh BUNDLE/model/{SCRIPT} --output DIR")
    return Engine(
        backend="tensorrt",
        directory=directory,
        entry=ENTRY,
        precision=network.precision,
        signature=model.signature,
        lowerings=network.lowerings,
        facts=_facts(known, options),
    )


def _copy(network: Network, directory: Path) -> int:
    """Copy the network; external data keep their names, which are written in it. Returns the bytes of the network."""
    size = 0
    for part in files(network.path):
        name = ENTRY if part == network.path else part.relative_to(network.path.parent)
        destination = directory / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part, destination)
        size += destination.stat().st_size
    if network.calibration is not None:
        shutil.copyfile(network.calibration, directory / CACHE)
    return size


def _copy_tree(source: Traversable, destination: Path) -> None:
    for item in source.iterdir():
        if (destination / item.name).exists():
            raise ModelError(
                "unsafe-file-name",
                f"a file of the model is named like one of the kit: {item.name}",
                where=str(destination),
                hint="rename the model's external data files",
            )
        if item.is_dir():
            (destination / item.name).mkdir()
            _copy_tree(item, destination / item.name)
        else:
            (destination / item.name).write_bytes(item.read_bytes())


def _facts(known: KitFacts, options: TensorRtOptions) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {
        "kind": "kit",
        "runtime": "tensorrt",
        "runtime_version": known.tensorrt,
        "sm": known.sm,
        "script": SCRIPT,
    }
    if options.dla_core is not None:
        facts["dla_core"] = options.dla_core
    if options.stand_in is not None:
        facts["stand_in"] = options.stand_in
    return facts
