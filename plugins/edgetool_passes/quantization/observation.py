"""What one or two runs over the samples tell: factors that even channels out, and the ranges of all that is quantized.

The first run is of the network as it is, for equalization and smoothing; the second of what these made of it, for the
ranges. Neither changes what a tensor of the other is, so that one run serves both. Where extents suffice for ranges
(`min-max`, and nothing is equalized) those of a smoothed tensor follow from its channels', and there is no second run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.passes.base import Rescaled
from edgetool_passes.quantization.bias_correction import CORRECTABLE
from edgetool_passes.quantization.calibrators import choose_range, new_watch
from edgetool_passes.quantization.equalization import choose_factors, equalizable, equalize
from edgetool_passes.quantization.histogram import Both, ChannelExtents, ChannelMeans, ChannelPeaks, Extent, Watch
from edgetool_passes.quantization.recorded import tensors_to_record
from edgetool_passes.quantization.smoothing import Group, Smoothed, divide, smoothable
from edgetool_passes.quantization.streams import Stream, has_depthwise, streams

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.ranges import Range
    from edgetool_passes.quantization.calibration import Calibration
    from edgetool_passes.quantization.calibrators import Calibrator
    from edgetool_passes.quantization.histogram import Histogram
    from edgetool_passes.quantization.placement import Placement

DEPTHWISE_STRENGTH = 0.5
"""Of equalization, where it is left to the network and has depthwise convolutions."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How ranges are chosen.

    Attributes:
        calibrator: for the activations.
        percentile: of `percentile`.
        equalization: its strength, 0 for none; None leaves it to the network.
        smoothing: its strength, 0 for none.
        bias_correction: means are wanted, too.
    """

    calibrator: Calibrator
    percentile: float
    equalization: float | None
    smoothing: float
    bias_correction: bool


@dataclass(frozen=True, eq=False)
class Seen:
    """What the samples said.

    Attributes:
        ranges: of every tensor to quantize or to record.
        to_record: the tensors whose ranges a backend may need.
        means: by channel, of the inputs of nodes whose bias is to be corrected.
        groups: MatMul sites by the activation that they share and that was smoothed.
        smoothed: the divided activations, which nobody reads yet, by name of the activation.
        equalization: the strength that was used.
        rescaled: the streams of channels that were evened out.
    """

    ranges: Mapping[str, Range]
    to_record: tuple[str, ...]
    means: Mapping[str, np.ndarray[Any, Any]]
    groups: Mapping[str, Group]
    smoothed: Mapping[str, Smoothed]
    equalization: float
    rescaled: tuple[Rescaled, ...]


def observe(proto: onnx.ModelProto, placement: Placement, wishes: Wishes, calibration: Calibration) -> Seen:
    """Run the samples; equalize, and add the divided activations.

    Args:
        proto: edited in place; its nodes stay the same objects.
        placement: of it.
        wishes: how.
        calibration: runs a model on the samples.
    """
    found, strength = _streams(proto, placement, wishes.equalization)
    groups = smoothable(proto.graph, placement) if wishes.smoothing else {}
    at_once = wishes.calibrator == "min-max" and not found and not tensors_to_record(proto.graph, placement)
    watching = _Watching(placement, wishes)
    members = {name for stream in found for name in stream.tensors}
    peaks = {name: ChannelPeaks() for name in placement.activations() if name in members}
    channels = {tensor: ChannelExtents(group.channels) for tensor, group in groups.items()}
    first: dict[str, list[Watch]] = {}
    for watches in (peaks, channels, *(watching.watches(placement.activations()) if at_once else ())):
        for name, watch in watches.items():
            first.setdefault(name, []).append(watch)
    if first:
        purpose = "calibration samples" if at_once else "samples for equalization and smoothing"
        calibration.run(proto, {name: _joined(watches) for name, watches in first.items()}, purpose=purpose)
    rescaled = _equalize(proto.graph, found, peaks, strength=strength)
    smoothed = divide(proto.graph, groups, channels, strength=wishes.smoothing) if groups else {}
    to_record: tuple[str, ...] = ()
    if at_once:
        watching.extents.update({one.name: channels[tensor].divided(one.factor) for tensor, one in smoothed.items()})
    else:
        to_record = tensors_to_record(proto.graph, placement)
        wanted = (*placement.activations(), *to_record, *(one.name for one in smoothed.values()))
        extents, means = watching.watches(wanted)
        joined = {name: Both(extent, means[name]) if name in means else extent for name, extent in extents.items()}
        calibration.run(proto, joined, purpose="calibration samples")
    return Seen(
        watching.ranges(), to_record, watching.channel_means(), groups, smoothed, strength if found else 0.0, rescaled
    )


def _streams(proto: onnx.ModelProto, placement: Placement, strength: float | None) -> tuple[tuple[Stream, ...], float]:
    """What is equalized, and how far."""
    if strength is None:
        strength = DEPTHWISE_STRENGTH if has_depthwise(proto.graph) else 0.0
    return (equalizable(streams(proto), placement.activations()) if strength else ()), strength


def _equalize(
    graph: onnx.GraphProto, found: Iterable[Stream], peaks: Mapping[str, ChannelPeaks], *, strength: float
) -> tuple[Rescaled, ...]:
    chosen = [
        choose_factors(graph, stream, [peaks[name] for name in stream.tensors if name in peaks], strength=strength)
        for stream in found
    ]
    renamed = equalize(graph, chosen) if chosen else {}
    return tuple(
        Rescaled({renamed[name]: name for name in one.stream.tensors}, tuple(one.factor.tolist())) for one in chosen
    )


def _joined(watches: list[Watch]) -> Watch:
    return watches[0] if len(watches) == 1 else Both(*watches)


class _Watching:
    """The watches of a run for ranges, and what becomes of them."""

    def __init__(self, placement: Placement, wishes: Wishes) -> None:
        self._placement = placement
        self._wishes = wishes
        self.extents: dict[str, Extent | Histogram] = {}
        self._means: dict[str, ChannelMeans] = {}

    def watches(self, tensors: Iterable[str]) -> tuple[dict[str, Extent | Histogram], dict[str, ChannelMeans]]:
        """New ones for the extents of these tensors, and for the means of those in front of a bias to correct."""
        self.extents = {tensor: new_watch(self._wishes.calibrator) for tensor in tensors}
        self._means = {
            site.node.input[site.activation]: ChannelMeans()
            for site in self._placement.sites
            if self._wishes.bias_correction and site.activation is not None and site.node.op_type in CORRECTABLE
        }
        return self.extents, self._means

    def ranges(self) -> dict[str, Range]:
        wishes = self._wishes
        return {
            tensor: choose_range(extent, wishes.calibrator, percentile=wishes.percentile)
            for tensor, extent in self.extents.items()
        }

    def channel_means(self) -> dict[str, np.ndarray[Any, Any]]:
        return {tensor: mean.values for tensor, mean in self._means.items()}
