"""Does it fit the device? The builder does not ask: it plans with the memory that it would like to have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgetool.config.units import format_bytes
from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.subject import Subject

_BUILDER = 300 << 20
"""Bytes that the builder takes for itself, kernels and libraries included."""
_COPIES = 3.4
"""How often the weights are in memory at the builder's peak.

Both were measured with TensorRT-RTX 1.7.1: 280 to 330 MB for networks of 10 to 50 MB, 1.36 GB for 400 MB of weights.
"""
_TIGHT = 0.75
"""Share of the memory that a network may take before the system and the program around it feel it."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a network needs; what is not known is not in it.

    Attributes:
        weights: as they are stored.
        activations: at their peak, all dynamic dimensions at their largest.
        workspace: scratch memory that the target grants.
    """

    weights: int
    activations: int
    workspace: int

    @property
    def running(self) -> int:
        return self.weights + self.activations

    @property
    def building(self) -> int:
        return _BUILDER + round(_COPIES * self.weights) + self.activations + self.workspace


def footprint(subject: Subject) -> Footprint:
    """What the model needs on the device."""
    from edgetool.graph.memory import activation_peak

    return Footprint(
        weights=sum(_bytes_of_weights(subject).values()),
        activations=activation_peak(subject.shaped).value,
        workspace=(subject.options.workspace or 0) << 20,
    )


def check_memory(subject: Subject) -> Iterator[Finding]:
    """Refuse what cannot run in the device's memory; warn where a build or the rest of the device may suffer."""
    ram = subject.facts.get("ram")
    if not isinstance(ram, int):
        return
    needs = footprint(subject)
    numbers = (
        f"{format_bytes(needs.weights)} of weights and {format_bytes(needs.activations)} of activations at their peak "
        f"({_largest(subject)}); the device has {format_bytes(ram)}"
    )
    if needs.running > ram:
        yield refused(
            f"it does not fit: {numbers}", fix="lower the largest sizes in [model.dims], or use float16 or int8 weights"
        )
    elif needs.building > ram and not subject.is_rtx:
        yield warned(
            f"the build may run out of memory at about {format_bytes(needs.building)}: {numbers}",
            fix="add swap on the device (not zram), stop its desktop, and set a small `workspace` in "
            "[targets.NAME.tensorrt]",
        )
    elif needs.running > _TIGHT * ram:
        yield warned(
            f"it fits tightly: {numbers}", fix="lower the largest sizes in [model.dims], or use float16 or int8 weights"
        )


def _bytes_of_weights(subject: Subject) -> dict[str, int]:
    from edgetool.graph.element import ELEMENTS
    from edgetool.graph.walk import tensors

    found: dict[str, int] = {}
    for named in tensors(subject.proto):
        kind = ELEMENTS.get(named.tensor.data_type)
        if kind is not None:
            found[named.label] = kind.nbytes(tuple(named.tensor.dims)) or 0
    return found


def _largest(subject: Subject) -> str:
    """The largest tensors, with the node that computes each."""
    sizes = _bytes_of_weights(subject)
    makers: dict[str, str] = {}
    for row in subject.rows:
        for name in row.node.output:
            if name in subject.largest and row.op_type != "Constant":
                sizes[name] = subject.largest[name].nbytes
                makers[name] = row.label
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
    return "largest: " + ", ".join(
        f"{format_bytes(sizes[name])} " + (f"computed by {makers[name]}" if name in makers else f"in {name!r}")
        for name in largest
    )
