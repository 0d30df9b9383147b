"""What trtexec is asked to build, wherever it runs: the typed ONNX, or what an old DLA needs in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Lowering, Model
from edgetool.graph.precision import declared_precision
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.profiles import profiles_of
from edgetool_tensorrt.trtexec import BuildSettings, require_safe
from edgetool_tensorrt.version import Version

if TYPE_CHECKING:
    import onnx

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Network:
    """One network, ready for trtexec.

    Attributes:
        source: the Model that it comes from.
        path: the .onnx file, with external data beside it: the model's own, or the lowered one.
        calibration: the cache of int8 scales that goes with a lowered one.
        lowerings: what was done to get there.
        precision: what the typed ONNX computes in.
        half: it computes in float16 somewhere.
    """

    source: Model
    path: Path
    calibration: Path | None
    lowerings: tuple[Lowering, ...]
    precision: str
    half: bool


def prepare(model: Model, directory: Path, options: TensorRtOptions, version: Version) -> Network:
    """Make a model ready for the trtexec of a version.

    Args:
        model: typed ONNX; never modified.
        directory: where a lowered network is written.
        options: of the backend.
        version: of the TensorRT that builds.

    Raises:
        ModelError: `unsafe-tensor-name`; as `dla.lower`.
    """
    from edgetool.graph import load

    signature = model.signature
    require_safe([spec.name for spec in (*signature.inputs, *signature.outputs)], where=str(model.path))
    proto = load(model.path, weights=False)
    precision = declared_precision(proto)
    if precision == "int8" and options.dla_core is not None:
        from edgetool_tensorrt import dla

        if dla.wants_calibration(version):
            lowered = dla.lower(model.path, directory, version)
            return Network(model, lowered.model, lowered.calibration, lowered.lowerings, precision, half=True)
    half = "float16" in set(_element_types(proto))
    return Network(model, model.path, None, (), precision, half)


def build_settings(
    network: Network,
    options: TensorRtOptions,
    *,
    onnx: str,
    engine: str,
    calibration: str,
    timing_cache: str,
    layer_info: str | None = None,
) -> BuildSettings:
    """The engine to be built of a network. All paths are those of the machine that trtexec runs on.

    Args:
        network: as `prepare` made it.
        options: of the backend.
        onnx: where the network lies.
        engine: file to write.
        calibration: where its calibration cache lies, if it has one.
        timing_cache: file of tactic timings, if the options want one.
        layer_info: file that gets a description of the layers.

    Raises:
        ModelError: `wrong-profile`.
    """
    implicit = network.calibration is not None
    return BuildSettings(
        onnx=onnx,
        engine=engine,
        profiles=profiles_of(network.source.signature, where=str(network.source.path)),
        workspace=None if options.workspace is None else options.workspace * _MIB,
        timing_cache=timing_cache if options.timing_cache else None,
        layer_info=layer_info,
        calibration_cache=calibration if implicit else None,
        dla_core=options.dla_core,
        gpu_fallback=options.gpu_fallback,
        typed=not implicit,
        optimization_level=options.optimization_level,
        half=network.half,
        int8=network.precision == "int8",
        profiling=options.profiling,
    )


def _element_types(proto: onnx.ModelProto) -> Iterator[str]:
    """Of inputs, stored tensors and casts."""
    from edgetool.graph.element import ELEMENTS
    from edgetool.graph.walk import graphs, tensors

    yield from (ELEMENTS[value.type.tensor_type.elem_type].name for value in proto.graph.input)
    yield from (ELEMENTS[stored.tensor.data_type].name for stored in tensors(proto))
    for graph in graphs(proto.graph):
        for node in graph.node:
            if node.op_type == "Cast":
                yield from (ELEMENTS[one.i].name for one in node.attribute if one.name == "to")
