"""What the user's samples say of the matrices: how what is multiplied, or what comes out, varies together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.factorize.layers import Layer
from edgetool_passes.quantization.calibration import Calibration
from edgetool_passes.quantization.histogram import Both, Watch

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_TOGETHER = 512 << 20
"""Bytes of moments that are collected in one run over the samples."""


class Moments:
    """Count, sum and sum of products of the vectors along one axis of a tensor.

    Args:
        channels: size of that axis.
        axis: 1 or -1.
    """

    def __init__(self, channels: int, *, axis: int) -> None:
        import numpy as np

        self._axis = axis
        self.count = 0
        self.sums: Array = np.zeros(channels)
        self.products: Array = np.zeros((channels, channels))

    def see(self, values: Array) -> None:
        import numpy as np

        vectors = np.moveaxis(values, self._axis, -1).reshape(-1, len(self.sums)).astype(np.float32, copy=False)
        self.count += len(vectors)
        self.sums += vectors.sum(axis=0, dtype=np.float64)
        self.products += vectors.T @ vectors


class Uses:
    """How often each row of a table is looked up.

    Args:
        rows: of the table.
    """

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.counts: Array = np.zeros(rows)

    def see(self, values: Array) -> None:
        import numpy as np

        rows = values.astype(np.int64).reshape(-1) % len(self.counts)
        self.counts += np.bincount(rows, minlength=len(self.counts))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the vectors of a layer are seen.

    Attributes:
        tensor: name.
        axis: along which a vector lies; 0 for indices.
        size: of that axis, or of the table.
    """

    tensor: str
    axis: int
    size: int

    @property
    def nbytes(self) -> int:
        return 8 * self.size * (self.size if self.axis else 1)

    def new(self) -> Moments | Uses:
        return Moments(self.size, axis=self.axis) if self.axis else Uses(self.size)


def observe(
    model: onnx.ModelProto, layers: Sequence[Layer], calibration: Calibration
) -> Iterator[tuple[Layer, Moments | Uses]]:
    """Of each layer: the moments of its inputs (products), of its results (convolutions), or uses of rows (tables).

    Runs over the samples as often as it takes to hold only half a gigabyte of moments at a time.
    """
    for group in _in_groups(layers):
        places = dict.fromkeys(place for those in group.values() for place in those)
        seen = {place: place.new() for place in places}
        watches: dict[str, Watch] = {}
        for place, watch in seen.items():
            name = place.tensor if place.axis else _as_float(place.tensor)
            watches[name] = Both(watches[name], watch) if name in watches else watch
        indices = {place.tensor for place in places if not place.axis}
        calibration.run(_with_casts(model, sorted(indices)), watches, purpose="samples for low rank")
        for layer, those in group.items():
            yield layer, _total([seen[place] for place in those])


def unobserved(layers: Sequence[Layer]) -> Iterator[tuple[Layer, None]]:
    """What there is to say without samples."""
    return ((layer, None) for layer in layers)


def _in_groups(layers: Sequence[Layer]) -> Iterator[Mapping[Layer, list[_Place]]]:
    group: dict[Layer, list[_Place]] = {}
    held: set[_Place] = set()
    for layer in layers:
        places = [_place(layer, node) for node in layer.nodes]
        if group and sum(place.nbytes for place in held.union(places)) > _TOGETHER:
            yield group
            group, held = {}, set()
        group[layer] = places
        held.update(places)
    if group:
        yield group


def _place(layer: Layer, node: onnx.NodeProto) -> _Place:
    rows, _ = layer.forms[0].sides
    match node.op_type:
        case "Gather":
            return _Place(node.input[1], 0, rows)
        case "Conv":
            return _Place(node.output[0], 1, layer.shape[0])
        case _:
            return _Place(node.input[0], -1, rows)


def _total(seen: Sequence[Moments | Uses]) -> Moments | Uses:
    """One sum over all nodes that read a weight."""
    first, *others = seen
    for other in others:
        if isinstance(first, Moments) and isinstance(other, Moments):
            total = Moments(len(first.sums), axis=-1)
            total.count = first.count + other.count
            total.sums, total.products = first.sums + other.sums, first.products + other.products
            first = total
        elif isinstance(first, Uses) and isinstance(other, Uses):
            uses = Uses(len(first.counts))
            uses.counts = first.counts + other.counts
            first = uses
    return first


def _as_float(tensor: str) -> str:
    return f"{tensor}/as_float"


def _with_casts(model: onnx.ModelProto, indices: Sequence[str]) -> onnx.ModelProto:
    """A copy that also casts these tensors to float32, which is all that can be watched."""
    import onnx
    import onnx.helper

    if not indices:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name in indices:
        copy.graph.node.append(onnx.helper.make_node("Cast", [name], [_as_float(name)], to=onnx.TensorProto.FLOAT))
    return copy
