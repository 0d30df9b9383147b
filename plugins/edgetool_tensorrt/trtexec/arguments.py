"""Command lines for trtexec, in the spelling of the version at hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from edgetool.artifact import Facts
from edgetool.errors import DeviceError, ModelError
from edgetool_tensorrt.trtexec.names import require_safe
from edgetool_tensorrt.trtexec.options import taken
from edgetool_tensorrt.trtexec.settings import Arguments, BuildSettings, RunSettings
from edgetool_tensorrt.version import Version

_MIB = 1 << 20
_WORKSPACE_BEFORE_8_4 = 1 << 30
"""Bytes; trtexec's own default was 16 MiB there, too little for most networks. From 8.4 on it is all of the memory."""


def build_arguments(version: Version, settings: BuildSettings, *, offered: frozenset[str] | None = None) -> Arguments:
    """Arguments that build an engine and do not run it.

    Precision is in the typed ONNX: TensorRT 10 is told to keep it, TensorRT 11 does so unasked. Older releases, and
    the DLA before TensorRT 11, are weakly typed: there the flags only permit what the network already says.

    Args:
        version: of the trtexec that will run.
        settings: what to build.
        offered: the options in that trtexec's own help; by the table of releases if None.

    Raises:
        ModelError: `unsafe-tensor-name`, or `int8-without-scales`: a weakly typed int8 build with neither Q/DQ nor a
            calibration cache, for which trtexec would invent scales.
        DeviceError: `trtexec-lacks-option`: an option is missing that the engine depends on.
    """
    require_safe(settings.profiles, where=settings.onnx)
    line = _Line(version, offered)
    line.need("onnx", value=settings.onnx)
    line.need("saveEngine", value=settings.engine)
    line.need("skipInference", "buildOnly")
    for option, point in (("minShapes", "min"), ("optShapes", "opt"), ("maxShapes", "max")):
        if settings.profiles:
            line.need(option, value=_shapes({name: getattr(one, point) for name, one in settings.profiles.items()}))
    _precision(line, version, settings)
    if settings.dla_core is not None:
        line.need("useDLACore", value=settings.dla_core)
        if settings.gpu_fallback:
            line.need("allowGPUFallback")
    _workspace(line, version, settings.workspace)
    if settings.optimization_level is not None:
        line.want("builderOptimizationLevel", value=settings.optimization_level)
    if settings.timing_cache:
        line.want("timingCacheFile", value=settings.timing_cache)
    line.want("profilingVerbosity", value=settings.profiling)
    if settings.layer_info:
        line.want("exportLayerInfo", value=settings.layer_info)
    return line.arguments()


def run_arguments(version: Version, settings: RunSettings, *, offered: frozenset[str] | None = None) -> Arguments:
    """Arguments that run an engine: outputs, times, or both.

    The defaults of a measurement differ between majors, so they are pinned to those of TensorRT 11: a CUDA graph, a
    spinning host, and no copies between host and device inside the measured time. TensorRT 11 takes the older flags
    as names without effect, so it gets none. A DLA cannot run in a CUDA graph.

    A run for outputs is no measurement: before TensorRT 11 it goes the plain way, because trtexec copies unsynchronized
    without transfers (before 8.5), and captures the graph before the inputs have arrived.

    Args and errors as in `build_arguments`.
    """
    require_safe([*settings.shapes, *(settings.inputs or {})], where=settings.engine)
    line = _Line(version, offered)
    line.need("loadEngine", value=settings.engine)
    if settings.shapes:
        line.need("shapes", value=_shapes(settings.shapes))
    if settings.inputs:
        line.need("loadInputs", value=_pairs(settings.inputs))
    if settings.dla_core is not None:
        line.need("useDLACore", value=settings.dla_core)
    if settings.iterations is not None:
        line.need("iterations", value=settings.iterations)
    if settings.seconds is not None:
        line.need("duration", value=math.ceil(settings.seconds))
        if settings.seconds == 0:
            line.want("warmUp", value=0)
    if settings.outputs:
        line.need("exportOutput", value=settings.outputs)
    elif version.major < 11:
        if settings.dla_core is None:
            line.want("useCudaGraph")
        line.want("useSpinWait")
        line.want("noDataTransfers")
    if settings.times:
        line.need("exportTimes", value=settings.times)
    if settings.layer_info:
        line.want("profilingVerbosity", value="detailed")
        line.want("exportLayerInfo", value=settings.layer_info)
    return line.arguments()


def measurement_facts(version: Version, arguments: Arguments, *, dla: bool = False) -> Facts:
    """How a run with these arguments measures, whatever the defaults of its version: to be kept with the times."""
    given = {argument.partition("=")[0] for argument in arguments.argv}
    modern = version.major >= 11
    return {
        "cuda_graph": (modern and not dla) or "--useCudaGraph" in given,
        "spin_wait": modern or "--useSpinWait" in given,
        "data_transfers": not (modern or "--noDataTransfers" in given),
    }


def _precision(line: _Line, version: Version, settings: BuildSettings) -> None:
    if version.major >= 11:
        return
    if version.major >= 10 and settings.typed and settings.dla_core is None:
        line.need("stronglyTyped")
        return
    if settings.int8 and not settings.typed and settings.calibration_cache is None:
        raise ModelError(
            "int8-without-scales",
            "the network has no Q/DQ pairs and there is no calibration cache: trtexec would invent its scales",
            where=settings.onnx,
            hint="quantize it, for instance with the pass `quantize-static`",
        )
    if settings.half or settings.dla_core is not None:  # a DLA computes in float16 or int8, and in nothing else
        line.need("fp16")
    if settings.int8:
        line.need("int8")
    if settings.calibration_cache is not None:
        line.need("calib", value=settings.calibration_cache)


def _workspace(line: _Line, version: Version, size: int | None) -> None:
    if size is None and version.release() < (8, 4):
        size = _WORKSPACE_BEFORE_8_4
    if size is None:
        return
    mebibytes = max(1, size // _MIB)
    if line.has("memPoolSize"):
        line.want("memPoolSize", value=f"workspace:{mebibytes}")
    else:
        line.want("workspace", value=mebibytes)


def _shapes(shapes: Mapping[str, Iterable[int]]) -> str:
    return _pairs({name: "x".join(map(str, shape)) or "scalar" for name, shape in shapes.items()})


def _pairs(values: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in values.items())


class _Line:
    """A command line in the making, which knows what the program at hand takes."""

    def __init__(self, version: Version, offered: frozenset[str] | None) -> None:
        self._version = version
        self._taken = taken(version) if offered is None else offered
        self._argv: list[str] = []
        self._dropped: list[str] = []
        self._missing: list[str] = []

    def has(self, name: str) -> bool:
        return name in self._taken

    def need(self, *spellings: str, value: str | int | None = None) -> None:
        """Add an option that the result depends on, in the first spelling that is taken."""
        self._add(spellings, value, self._missing)

    def want(self, name: str, *, value: str | int | None = None) -> None:
        """Add an option where it is taken."""
        self._add((name,), value, self._dropped)

    def arguments(self) -> Arguments:
        """Raises DeviceError `trtexec-lacks-option`, with all that is missing."""
        if self._missing:
            raise DeviceError(
                "trtexec-lacks-option",
                f"trtexec of TensorRT {self._version} does not offer {', '.join(self._missing)}",
                hint="name the trtexec that belongs to the installed TensorRT: `trtexec` in [targets.NAME.tensorrt]",
            )
        return Arguments(tuple(self._argv), tuple(self._dropped))

    def _add(self, spellings: tuple[str, ...], value: str | int | None, otherwise: list[str]) -> None:
        name = next(filter(self.has, spellings), None)
        if name is None:
            otherwise.append(" or ".join(f"--{one}" for one in spellings))
        else:
            self._argv.append(f"--{name}" if value is None else f"--{name}={value}")
