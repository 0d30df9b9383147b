"""From a typed ONNX to a float network and its calibration cache, each step recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Lowering
from edgetool_tensorrt.dla.calibration_cache import CALIBRATION_CACHE, calibration_cache
from edgetool_tensorrt.dla.refusals import scale_missing
from edgetool_tensorrt.version import Version

if TYPE_CHECKING:
    import onnx

    from edgetool_tensorrt.dla.scales import Scales
    from edgetool_tensorrt.dla.strip import Stripped

_LAST_WITH_CALIBRATION = (10, 7)


@dataclass(frozen=True, slots=True)
class Lowered:
    """What a DLA is built from.

    Attributes:
        model: the float network; the source itself where that quantizes nothing.
        calibration: the cache beside it, or None where nothing is quantized.
        lowerings: what was done, for the manifest.
        float16: labels of quantized nodes that will compute in float16, because nothing calibrated their results.
    """

    model: Path
    calibration: Path | None = None
    lowerings: tuple[Lowering, ...] = ()
    float16: tuple[str, ...] = ()


def wants_calibration(version: Version) -> bool:
    """Whether the DLA of a release takes its int8 scales from a calibration cache, and not from Q/DQ."""
    return version.release() <= _LAST_WITH_CALIBRATION


def require_lowerable(source: Path) -> None:
    """Refuse what `lower` would refuse, without writing anything.

    Raises:
        ModelError: as `lower`.
    """
    _lowered_in_memory(source)


def lower(source: Path, directory: Path, version: Version) -> Lowered:
    """Rewrite a typed ONNX for int8 on a DLA.

    Args:
        source: typed ONNX; never modified.
        directory: where `model.onnx` (with external data when large) and `calib.cache` are written; it exists.
        version: of the TensorRT on the device: its cache is read by that version only.

    Raises:
        ModelError: `dla-scale-missing` or `dla-quantization-unfit`, naming the tensors or nodes; damaged models.
        ValueError: that release does not take a calibration cache.
    """
    from edgetool.disk import replace_file
    from edgetool.graph import save

    if not wants_calibration(version):
        raise ValueError(f"the DLA of TensorRT {version} takes Q/DQ as they are")
    found = _lowered_in_memory(source)
    if found is None:
        return Lowered(source)
    model, stripped, scales = found
    known = scales.all()
    ordered = {name: known[name] for name in _in_order(model.graph) if name in known}
    cache = calibration_cache(ordered, version, where=str(source))
    float16 = tuple(
        label for label, node in stripped.quantized.items() if not known.keys() >= set(filter(None, node.output))
    )
    path, beside = directory / "model.onnx", directory / CALIBRATION_CACHE
    save(model, path)
    replace_file(beside, cache)
    return Lowered(path, beside, tuple(_recorded(stripped, scales, float16)), float16)


def _lowered_in_memory(source: Path) -> tuple[onnx.ModelProto, Stripped, Scales] | None:
    """The float network with all scales that it needs; None for one that quantizes nothing."""
    from edgetool.graph import load
    from edgetool.qdq.ranges import read_ranges
    from edgetool_tensorrt.dla.scales import find_scales
    from edgetool_tensorrt.dla.strip import strip

    structure = load(source, weights=False)
    if not any(node.op_type == "DequantizeLinear" for node in structure.graph.node):
        return None
    floats = _float_tensors(structure)
    model = load(source)
    stripped = strip(model.graph, where=str(source))
    scales = find_scales(model.graph, stripped.scales, read_ranges(model), floats=floats)
    if scales.missing:
        raise scale_missing(scales.missing, where=str(source))
    return model, stripped, scales


def _float_tensors(structure: onnx.ModelProto) -> frozenset[str]:
    """Names of all tensors, except for those that are known to hold something else than floats."""
    import onnx

    from edgetool.graph.shapes import with_inferred_types

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.UNDEFINED)
    graph = with_inferred_types(structure).graph
    others = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type not in floats
    }
    return frozenset(_in_order(graph)) - others


def _in_order(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (name for node in graph.node for name in node.output if name)


def _recorded(stripped: Stripped, scales: Scales, float16: tuple[str, ...]) -> Iterator[Lowering]:
    yield Lowering(
        "qdq-to-calibration-cache",
        f"Q/DQ pairs were removed and their scales written to {CALIBRATION_CACHE}: up to TensorRT 10.7 the DLA takes "
        "implicit quantization only",
        len(scales.calibrated),
    )
    for name, summary, found in _further(scales):
        if found:
            yield Lowering(name, summary, len(found))
    if same := stripped.weights - stripped.rounded_anew:
        yield Lowering(
            "float-weights",
            "int8 weights became float again; TensorRT scales each channel by its largest value, which gives the "
            "same integers",
            same,
        )
    if stripped.rounded_anew:
        yield Lowering(
            "float-weights-rounded-anew",
            "weights became float again that do not use all of int8, so that TensorRT rounds them to a grid of its own",
            stripped.rounded_anew,
        )
    if float16:
        yield Lowering(
            "float16-tail",
            f"nodes that nothing quantized follows compute in float16, because their results have no scale: "
            f"{', '.join(float16)}",
            len(float16),
        )


def _further(scales: Scales) -> tuple[tuple[str, str, Mapping[str, float]], ...]:
    return (
        (
            "recorded-scales",
            "tensors without Q/DQ between quantized ones have the scales of the ranges that calibration recorded",
            scales.recorded,
        ),
        (
            "carried-scales",
            "tensors whose values are those of a neighbour have its scale, which changes nothing",
            scales.carried,
        ),
        (
            "bounded-scales",
            "results of functions that cannot leave a known range have the scale of that range",
            scales.bounded,
        ),
    )
