"""Builds an engine with the installed TensorRT: parse, configure, build, and ask what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgetool.artifact import Engine, JsonValue, Model
from edgetool.backends import Site
from edgetool.context import BuildContext
from edgetool.disk import replace_file, written_aside
from edgetool.errors import UnavailableError
from edgetool.graph import load
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.layers import LAYERS
from edgetool_tensorrt.local.dialect import Dialect
from edgetool_tensorrt.local.here import this_machine, timing_name
from edgetool_tensorrt.local.majors import dialect_of
from edgetool_tensorrt.local.refusal import build_failure, parse_failure
from edgetool_tensorrt.local.timing import keep_timings, lend_timings, timings
from edgetool_tensorrt.local.toolkit import load_toolkit
from edgetool_tensorrt.network import Network, prepare
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import PlanHeader, read_header, require_whole
from edgetool_tensorrt.profiles import Profile, profiles_of
from edgetool_tensorrt.session import Session
from edgetool_tensorrt.version import Version

ENTRY = "engine.plan"
_MIB = 1 << 20


def build(model: Model, directory: Path, options: TensorRtOptions, site: Site, context: BuildContext) -> Engine:
    """Build an engine for the GPU, or the DLA, of this machine.

    Whatever `context.progress` raises cancels the build, from TensorRT 10 on, and comes out of this function.

    Raises:
        UnavailableError: `tensorrt-missing`, `tensorrt-too-old`, `tensorrt-failed`.
        ModelError: `wrong-profile`, what TensorRT refuses, or what `edgetool.graph.load` does.
        DeviceError: `device-command-failed`.
        HostError: disk full, no permission, no memory.
    """
    return build_with(dialect_of(load_toolkit()), this_machine(options), model, directory, options, context)


def build_with(
    dialect: Dialect, device: Device, model: Model, directory: Path, options: TensorRtOptions, context: BuildContext
) -> Engine:
    """As `build`, with a TensorRT that is loaded, on a machine that is known."""
    dla = options.dla_core is not None
    path = directory / ENTRY
    with TemporaryDirectory(prefix="edgetool-tensorrt-") as scratch:
        network = prepare(model, Path(scratch), options, dialect.version)
        profiles = profiles_of(model.signature, where=model.path.name)
        with Session(dialect.trt, flags=dialect.network_flags(dla=dla)) as session:
            _parse(session, dialect, network)
            flags = (*_configure(session, profiles, options), *dialect.permit(session.config, network, dla=dla))
            cache = timings(timing_name(device, dialect.version)) if options.timing_cache else None
            plan = _build(session, dialect, network, cache, context)
            with written_aside(path) as file:
                file.write(plan)
            _write_layers(session, plan, directory / LAYERS, options)
    header = read_header(path)
    require_whole(header, path)
    _require_version(header.version, dialect.version, path)
    return Engine(
        backend="tensorrt",
        directory=directory,
        entry=ENTRY,
        precision=network.precision,
        signature=model.signature,
        lowerings=network.lowerings,
        facts={**device.facts(), **_facts(header, dialect.version, flags, profiles, options)},
    )


def _parse(session: Session, dialect: Dialect, network: Network) -> None:
    """Parse by path, so that external data are found however large."""
    if not session.parser.parse_from_file(str(network.path)):
        proto = load(network.path, weights=False)
        raise parse_failure(dialect.rejections(session.parser, proto, where=network.source.path.name), network)


def _configure(session: Session, profiles: Mapping[str, Profile], options: TensorRtOptions) -> tuple[str, ...]:
    """What all majors have in common. Returns the names of the flags that were set."""
    trt, config = session.trt, session.config
    flags: tuple[str, ...] = ()
    config.profiling_verbosity = getattr(trt.ProfilingVerbosity, options.profiling.upper())
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace * _MIB)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.dla_core is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        if options.gpu_fallback:
            config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
            flags = ("GPU_FALLBACK",)
    if profiles:
        profile = session.builder.create_optimization_profile()
        for name, shapes in profiles.items():
            profile.set_shape(name, shapes.min, shapes.opt, shapes.max)
        config.add_optimization_profile(profile)
    return flags


def _build(session: Session, dialect: Dialect, network: Network, cache: Path | None, context: BuildContext) -> Any:
    """The serialized engine, as memory of the library's own."""
    if cache is not None:
        lend_timings(session.config, cache)
    monitor = dialect.watch(session.config, context.progress, session.stop)
    plan = session.builder.build_serialized_network(session.network, session.config)
    del monitor  # the configuration does not keep it alive
    session.stop.reraise()
    if plan is None:
        raise build_failure(session.log.errors, network)
    if cache is not None:
        keep_timings(session.config, cache)
    return plan


def _write_layers(session: Session, plan: Any, path: Path, options: TensorRtOptions) -> None:
    """What the engine executes, layer by layer, where this machine can load it."""
    if options.profiling == "none":
        return
    trt = session.trt
    runtime = trt.Runtime(session.log)
    if options.dla_core is not None:
        runtime.DLA_core = options.dla_core
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is not None:
        inspector = engine.create_engine_inspector()
        replace_file(path, inspector.get_engine_information(trt.LayerInformationFormat.JSON).encode())


def _require_version(built: Version | None, wanted: Version, path: Path) -> None:
    """Whether the file says that it comes from the version that was loaded, as far as that says which it is."""
    if built is not None and (built.major, built.minor, built.patch) != (wanted.major, wanted.minor, wanted.patch):
        raise UnavailableError(
            "tensorrt-failed",
            f"TensorRT {wanted} was loaded, and the engine's header names {built}",
            where=str(path),
            hint="two versions are mixed: the Python package and its libraries have to be of one release",
        )


def _facts(
    header: PlanHeader,
    version: Version,
    flags: tuple[str, ...],
    profiles: Mapping[str, Profile],
    options: TensorRtOptions,
) -> dict[str, JsonValue]:
    """What was pinned."""
    facts: dict[str, JsonValue] = {
        "kind": "plan",
        "product": header.product,
        "version": str(header.version or version),
        "flags": list(flags),
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
    if options.dla_core is not None:
        facts["dla_core"] = options.dla_core
        facts["gpu_fallback"] = options.gpu_fallback
    return facts
