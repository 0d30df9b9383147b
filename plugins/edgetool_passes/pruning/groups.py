"""Which layers lose channels together, and what each unit of removal consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Group:
    """Units that sit in the same layers, so that they compete with each other.

    Attributes:
        units: that may be removed.
        layers: whose outputs they are.
        readers: layers that read them as input channels.
    """

    units: tuple[int, ...]
    layers: tuple[Layer, ...]
    readers: tuple[Layer, ...]

    @property
    def label(self) -> str:
        """The name of its first layer."""
        return self.layers[0].label


@dataclass(frozen=True, eq=False)
class Dependencies:
    """What can be removed from a model, and what cannot.

    Attributes:
        trace: of its channels.
        kept: label of a layer whose outputs all stay -> why.
    """

    trace: Trace
    groups: tuple[Group, ...]
    kept: Mapping[str, str]

    @cached_property
    def _units(self) -> dict[str, tuple[Array | None, ...]]:
        """Of each axis of the stored tensors: the unit of every position."""
        units = self.trace.coordinates.units
        return {
            name: tuple(None if axis is None else units(axis) for axis in axes)
            for name, axes in self.trace.stored().items()
        }

    def units_of(self, tensor: str, axis: int) -> Array:
        """The unit of every position along an axis of an initializer, int64."""
        found = self._units[tensor][axis]
        assert found is not None, "all axes of initializers are tracked"
        return found

    def output_units(self, layer: Layer) -> Array:
        return self.units_of(layer.weight, layer.outputs)

    def input_units(self, layer: Layer) -> Array:
        assert layer.inputs is not None, "asked only of layers that read all their input channels"
        return self.units_of(layer.weight, layer.inputs)


def find_dependencies(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    exclude: Sequence[str] = (),
    keep_heads: bool = False,
) -> Dependencies:
    """Trace a model's channels and sort them into groups.

    Args:
        model: constants stored as initializers.
        shapes: concrete shapes by tensor name.
        exclude: patterns of layers whose outputs stay.
        keep_heads: attention heads stay.
    """
    from edgetool_passes.pruning import plain_rules, shape_rules, weighted_rules

    trace = Trace(model, shapes, exclude=exclude, keep_heads=keep_heads)
    trace.follow({**plain_rules.RULES, **shape_rules.RULES, **weighted_rules.RULES})
    pinned = trace.coordinates.pinned()
    outputs = {layer: _axis_units(trace, layer.weight, layer.outputs) for layer in trace.layers}
    free = {layer: [unit for unit in units if unit not in pinned] for layer, units in outputs.items()}
    reading = {
        layer: set(_axis_units(trace, layer.weight, layer.inputs)) for layer in trace.layers if layer.inputs is not None
    }
    groups = tuple(
        Group(
            units=tuple(sorted(set().union(*(free[layer] for layer in members)))),
            layers=tuple(members),
            readers=tuple(
                layer for layer, read in reading.items() if any(not read.isdisjoint(free[m]) for m in members)
            ),
        )
        for members in _joined({layer: units for layer, units in free.items() if units})
    )
    kept = {layer.label: pinned[outputs[layer][0]] for layer, units in free.items() if not units}
    return Dependencies(trace, groups, kept)


def _axis_units(trace: Trace, tensor: str, axis: int) -> list[int]:
    positions = (trace.axes(tensor) or ())[axis]
    assert positions is not None, "all axes of initializers are tracked"
    units: list[int] = trace.coordinates.units(positions).tolist()
    return units


def _joined(units: Mapping[Layer, Iterable[int]]) -> list[list[Layer]]:
    """Layers that share a unit, directly or through others, in the graph's order."""
    owner: dict[int, list[Layer]] = {}
    for layer, those in units.items():
        together = [layer]
        for group in {id(owner[unit]): owner[unit] for unit in those if unit in owner}.values():
            together = [*group, *together]
        for member in together:
            owner.update(dict.fromkeys(units[member], together))
    return list({id(group): group for group in owner.values()}.values())
