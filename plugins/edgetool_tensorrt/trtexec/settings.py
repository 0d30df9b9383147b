"""What a build or a run with trtexec is to do, apart from how any of its versions spells that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgetool_tensorrt.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """One engine to be built. Paths are those of the machine that trtexec runs on.

    Attributes:
        onnx: the typed ONNX, or the float one that DLA int8 before TensorRT 11 needs.
        engine: file to write.
        profiles: shapes of every input that has a dimension without a fixed size; empty for a static model.
        workspace: scratch memory in bytes; TensorRT's own default if None.
        timing_cache: file of tactic timings, read and written.
        layer_info: JSON file that gets a description of the engine's layers.
        calibration_cache: file of scales, for DLA int8 before TensorRT 11.
        dla_core: accelerator to build for; the GPU if None.
        gpu_fallback: what the accelerator cannot run goes to the GPU.
        typed: the ONNX says the type of every tensor, and that is to be kept.
        optimization_level: 0 to 5; TensorRT's own default if None.
        half: the network computes in float16 somewhere. Only weakly typed builds ask for it.
        int8: the network has Q/DQ pairs, or a calibration cache. Only weakly typed builds ask for it.
        profiling: how much the engine tells of its layers.
    """

    onnx: str
    engine: str
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    workspace: int | None = None
    timing_cache: str | None = None
    layer_info: str | None = None
    calibration_cache: str | None = None
    dla_core: int | None = None
    gpu_fallback: bool = True
    typed: bool = True
    optimization_level: int | None = None
    half: bool = False
    int8: bool = False
    profiling: Literal["layer_names_only", "detailed", "none"] = "detailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """One engine to be run. Paths are those of the machine that trtexec runs on.

    Attributes:
        engine: file to load.
        shapes: of the inputs that have a profile; trtexec takes none for an input of fixed size.
        inputs: raw little-endian bytes of each input, C order; random values if None.
        outputs: JSON file that gets the outputs of the last inference, floats with six digits.
        times: JSON file that gets the times of every inference after the warm-up.
        layer_info: JSON file that gets a description of the layers, at these shapes.
        seconds: how long to measure at least; trtexec's own default if None.
        iterations: how many inferences to measure at least; trtexec's own default if None.
        dla_core: accelerator that the engine was built for.
    """

    engine: str
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Mapping[str, str] | None = None
    outputs: str | None = None
    times: str | None = None
    layer_info: str | None = None
    seconds: float | None = None
    iterations: int | None = None
    dla_core: int | None = None


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line for trtexec, without the program.

    Attributes:
        argv: arguments, not quoted for any shell.
        dropped: options that would have been of use, and that this trtexec does not offer.
    """

    argv: tuple[str, ...]
    dropped: tuple[str, ...] = ()
