"""A core with every property pinned, and engines compiled by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.errors import DeviceError, IntegrityError
from edgetool_openvino.device import BUNDLED, family
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.refusal import damaged_error, device_absent, device_error, property_error
from edgetool_openvino.runtime import load_runtime
from edgetool_openvino.split import assign
from edgetool_openvino.weight_groups import DYNAMIC_GROUP, activation_group

_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def new_core(options: OpenVinoOptions, *, threads: int) -> Any:
    """An `openvino.Core` that knows the devices of the options, each with its properties set.

    Properties are set on the devices and not given to the compiler, because only so they reach HETERO's members and
    blobs that are imported: a blob opened without them would compute in the processor's favourite precision.

    Raises:
        DeviceError: `device-unreachable`.
        ConfigError: `wrong-device-property`.
    """
    openvino = load_runtime()
    core = openvino.Core()
    if options.stand_in not in (None, "CPU"):
        _register(core, _cpu_plugin(openvino), str(options.stand_in))
    elif options.stand_in is None and options.plugin_name and options.plugin_library:
        _register(core, options.plugin_library, options.plugin_name)
    for member in options.used.members or _present(core):
        _open(core, member)
        for key, value in device_properties(options, member, threads=threads).items():
            try:
                core.set_property(member, {key: value})
            except RuntimeError as error:
                raise property_error(error, key, member) from error
    return core


def device_properties(options: OpenVinoOptions, member: str, *, threads: int) -> dict[str, Any]:
    """What is set on one device. `device_properties` go to the real accelerator only, never to its stand-in."""
    name = family(member)
    chosen: dict[str, Any] = {}
    if name in BUNDLED or name == options.stand_in:
        chosen["INFERENCE_PRECISION_HINT"] = options.inference_precision
        chosen["PERFORMANCE_HINT"] = options.performance_hint.upper()
    if name in ("CPU", "GPU", options.stand_in) and (streams := stream_count(options)):
        chosen["NUM_STREAMS"] = streams
    if name in ("CPU", options.stand_in):
        chosen["INFERENCE_NUM_THREADS"] = threads
        chosen["ENABLE_CPU_PINNING"] = options.pin_threads
        chosen["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = DYNAMIC_GROUP
    if name == options.wanted.accelerator and options.stand_in is None:
        chosen.update(options.device_properties)
    return chosen


def stream_count(options: OpenVinoOptions) -> int | None:
    """Requests at once; None leaves it to the device."""
    return options.num_streams or (1 if options.performance_hint == "latency" else None)


def compile_model(core: Any, model: Any, options: OpenVinoOptions, *, where: str) -> Any:
    """Compile an `openvino.Model` for the device of the options.

    Raises:
        DeviceError: the device is not here, or does not compute in the pinned precision.
        ModelError: `refused-by-device`.
    """
    device = options.used
    if device.mode == "HETERO" and options.stand_in is not None:
        assign(model, device)
    try:
        compiled = core.compile_model(model, str(device))
    except RuntimeError as error:
        raise device_error(error, str(device), where=where) from error
    _check_precision(compiled, options)
    return compiled


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine that is ready to run.

    Attributes:
        core: kept because what a registered plugin compiled does not survive it.
        compiled: the `openvino.CompiledModel`.
        network: the `openvino.Model` behind it; None for a blob, which does not give it back.
    """

    core: Any
    compiled: Any
    network: Any | None

    @property
    def may_fail_inside(self) -> bool:
        """Whether shapes are still to be computed, and may turn out not to fit each other, when it runs."""
        return self.network is None or bool(self.network.is_dynamic())


def open_engine(path: Path, options: OpenVinoOptions, *, threads: int) -> Opened:
    """Compile the IR of an engine, or load its blob.

    Raises:
        As `new_core` and `compile_model`; IntegrityError `engine-incomplete`.
    """
    is_ir = path.suffix == ".xml"
    for part in (path, path.with_suffix(".bin")) if is_ir else (path,):
        if not part.is_file():
            raise IntegrityError(
                "engine-incomplete", "the engine's file is missing", where=str(part), hint="build the target again"
            )
    core = new_core(options, threads=threads)
    if is_ir:
        network = _read_ir(core, path)
        _suit_weights(core, network, options)
        return Opened(core, compile_model(core, network, options, where=path.name), network)
    try:
        compiled = core.import_model(path.read_bytes(), str(options.used))
    except RuntimeError as error:
        raise device_error(error, str(options.used), where=path.name) from error
    _check_precision(compiled, options)
    return Opened(core, compiled, None)


def _suit_weights(core: Any, network: Any, options: OpenVinoOptions) -> None:
    """Let processors quantize activations in groups that fit the network's weights."""
    group = activation_group(network)
    for member in options.used.members or _present(core):
        if group != DYNAMIC_GROUP and family(member) in ("CPU", options.stand_in):
            core.set_property(member, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group})


def _read_ir(core: Any, path: Path) -> Any:
    """The `openvino.Model` of an IR. Raises IntegrityError where it is damaged."""
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        raise damaged_error(error, path) from error


def precision_name(options: OpenVinoOptions) -> str:
    """`bf16` -> `bfloat16`: as the rest of edgetool spells it."""
    return _NAMES[options.inference_precision]


def _present(core: Any) -> tuple[str, ...]:
    """What a bare AUTO may choose from."""
    return tuple(dict.fromkeys(family(name) for name in core.available_devices))


def _register(core: Any, library: str, name: str) -> None:
    try:
        core.register_plugin(library, name)
    except RuntimeError as error:
        raise device_error(error, name, where=library) from error


def _cpu_plugin(openvino: Any) -> str:
    """The library of the CPU's plugin, inside the wheel or beside the runtime's library."""
    package = Path(openvino.__file__).parent
    for folder in (package / "libs", package.parent / "openvino" / "libs"):
        for name in ("libopenvino_intel_cpu_plugin.so", "libopenvino_arm_cpu_plugin.so"):
            if (folder / name).is_file():
                return str(folder / name)
    raise DeviceError(
        "device-unreachable",
        "the library of OpenVINO's CPU plugin was not found, so that no stand-in can be made of it",
        where=str(package),
        hint="install OpenVINO from its wheel: pip install 'edgetool[openvino]'",
    )


def _open(core: Any, member: str) -> None:
    """Load the plugin, so that what fails from here on is about a property and not about the library."""
    try:
        core.get_property(family(member), "SUPPORTED_PROPERTIES")
        present = {family(name) for name in core.available_devices}
    except RuntimeError as error:
        raise device_error(error, member, where=f"device {member}") from error
    if family(member) not in present:
        raise device_absent(member)


def _check_precision(compiled: Any, options: OpenVinoOptions) -> None:
    """A plugin may read a precision that the processor lacks as another one, and say so only when asked."""
    wanted = precision_name(options)
    for device, got in _precisions(compiled).items():
        if got != wanted:
            raise DeviceError(
                "precision-not-honoured",
                f"{device} was told to compute in {wanted} and computes in {got}",
                where="openvino.inference_precision",
                hint=f"this processor has no {wanted}; choose another precision, or build on the real device",
            )


def _precisions(compiled: Any) -> dict[str, str]:
    """Executing CPU or GPU -> the precision that it says it computes in."""
    supported = compiled.get_property("SUPPORTED_PROPERTIES")
    if "INFERENCE_PRECISION_HINT" in supported:
        return {"the device": _spelled(compiled.get_property("INFERENCE_PRECISION_HINT"))}
    if "DEVICE_PROPERTIES" not in supported:
        return {}
    members = compiled.get_property("DEVICE_PROPERTIES")
    return {
        name: _spelled(properties["INFERENCE_PRECISION_HINT"])
        for name, properties in members.items()
        if isinstance(properties, Mapping) and "INFERENCE_PRECISION_HINT" in properties
    }


def _spelled(element_type: Any) -> str:
    """OpenVINO's element type as numpy spells it: its `get_type_name` says `f32`, `bf16`."""
    short = str(element_type.get_type_name())
    return _NAMES.get(short, short)
