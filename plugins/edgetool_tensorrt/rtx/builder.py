"""Builds a TensorRT-RTX engine from typed ONNX: parse, one profile, build, straight into the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgetool.artifact import Engine, JsonValue, Model
from edgetool.backends import Site
from edgetool.context import BuildContext
from edgetool.disk import written_aside
from edgetool.errors import ConfigError, UnavailableError
from edgetool.graph import load
from edgetool.graph.precision import declared_precision
from edgetool_tensorrt.listeners import make_monitor, make_writer
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import read_header, require_whole
from edgetool_tensorrt.profiles import Profile, profiles_of
from edgetool_tensorrt.rejections import rejections
from edgetool_tensorrt.rtx.capability import of, wanted
from edgetool_tensorrt.rtx.failure import build_failure, parse_failure
from edgetool_tensorrt.rtx.guard import require_no_shape_inputs, require_outputs, require_same_bindings
from edgetool_tensorrt.rtx.toolkit import load_toolkit
from edgetool_tensorrt.session import Session
from edgetool_tensorrt.version import Version

ENTRY = "engine.plan"
_MIB = 1 << 20


def build(model: Model, directory: Path, options: TensorRtOptions, site: Site, context: BuildContext) -> Engine:
    """Write the engine for the wanted compute capabilities into `directory`; no GPU is needed, and none is used.

    The same float model gives the same bytes again. With int8 and with loops TensorRT-RTX (1.7.1) orders inner names by
    where they lie in memory, so bytes may differ while the engine is the same. Whatever `context.progress` raises
    cancels the build and comes out of this function.

    Raises:
        ConfigError: `no-capability`, `capability-not-served`, `wrong-options`.
        ModelError: `refused-by-tensorrt-rtx`, `type-not-on-gpu`, `binding-changed`, `wrong-profile`,
            `workspace-too-small`, or what `edgetool.graph.load` refuses.
        UnavailableError: `tensorrt-rtx-missing`, `tensorrt-failed`.
        HostError: disk full, no permission, no memory.
    """
    capabilities = wanted(options, site)
    _refuse_dla(options)
    precision = _precision(model)
    profiles = profiles_of(model.signature, where=model.path.name)
    with Session(load_toolkit()) as session:
        _parse(session, model)
        _configure(session, profiles, capabilities, options)
        version = str(session.trt.__version__)
        _build(session, model, directory / ENTRY, options, context)
    _check(directory / ENTRY, Version.parse(version))
    return Engine(
        backend="tensorrt",
        directory=directory,
        entry=ENTRY,
        precision=precision,
        signature=model.signature,
        facts=_facts(version, capabilities, profiles, options),
    )


def _refuse_dla(options: TensorRtOptions) -> None:
    if options.dla_core is not None:
        raise ConfigError(
            "wrong-options",
            "desktop GPUs have no DLA, and TensorRT-RTX does not build for any",
            where="tensorrt.dla_core",
            hint='remove it, or let a board build the engine: kind = "ssh" in [targets.NAME.builder]',
        )


def _precision(model: Model) -> str:
    """What the model computes in. Its graph is let go of before anything is built: it may hold all weights."""
    proto = load(model.path, weights=False)
    require_outputs(proto, where=model.path.name)
    return declared_precision(proto)


def _parse(session: Session, model: Model) -> None:
    """Parse by path, so that external data are found however large."""
    where = model.path.name
    if not session.parser.parse_from_file(str(model.path)):
        session.stop.reraise()
        rows = tuple(rejections(session.parser, load(model.path, weights=False), where=where))
        raise parse_failure(rows, model.path)
    require_same_bindings(session.network, model.signature, where=where)
    require_no_shape_inputs(session.network, where=where)


def _configure(
    session: Session, profiles: Mapping[str, Profile], capabilities: Sequence[int], options: TensorRtOptions
) -> None:
    """Say what the engine is for. Unset capabilities would mean any GPU from Ampere on, and accept any type."""
    trt, config = session.trt, session.config
    config.num_compute_capabilities = len(capabilities)
    for index, sm in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, of(sm)), index)
    config.profiling_verbosity = getattr(trt.ProfilingVerbosity, options.profiling.upper())
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace * _MIB)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if profiles:
        profile = session.builder.create_optimization_profile()
        for name, shapes in profiles.items():
            profile.set_shape(name, shapes.min, shapes.opt, shapes.max)
        config.add_optimization_profile(profile)


def _build(session: Session, model: Model, path: Path, options: TensorRtOptions, context: BuildContext) -> None:
    monitor = make_monitor(session.trt, context.progress, session.stop)  # the configuration does not keep it alive
    session.config.progress_monitor = monitor
    with written_aside(path) as file:
        writer = make_writer(session.trt, file, session.stop)
        done = session.builder.build_serialized_network_to_stream(session.network, session.config, writer)
        session.stop.reraise()
        if not done:
            raise build_failure(session.log.errors, model.path, workspace=options.workspace)


def _check(path: Path, version: Version) -> None:
    """Whether the file says of itself what it should."""
    header = read_header(path)
    require_whole(header, path)
    if header.product != "tensorrt-rtx" or header.version != version or header.surplus:
        raise UnavailableError(
            "tensorrt-failed",
            f"the file's header names {header.product} {header.version} instead of tensorrt-rtx {version}",
            where=str(path),
            hint="two versions are mixed: install TensorRT-RTX anew",
        )


def _facts(
    version: str, capabilities: Sequence[int], profiles: Mapping[str, Profile], options: TensorRtOptions
) -> dict[str, JsonValue]:
    """What was pinned."""
    facts: dict[str, JsonValue] = {
        "kind": "plan",
        "product": "tensorrt-rtx",
        "version": version,
        "capabilities": list(capabilities),
        "profiling": options.profiling,
        "profiles": {
            name: {"min": list(shapes.min), "opt": list(shapes.opt), "max": list(shapes.max)}
            for name, shapes in profiles.items()
        },
    }
    if options.workspace is not None:
        facts["workspace"] = f"{options.workspace}MiB"
    if options.optimization_level is not None:
        facts["optimization_level"] = options.optimization_level
    return facts
