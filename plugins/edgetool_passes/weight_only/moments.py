"""What GPTQ and AWQ learn from the samples: how the inputs of every product vary together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.weights import Weight

if TYPE_CHECKING:
    import numpy as np

    from edgetool_passes.weight_only.sites import Site

    Array = np.ndarray[Any, Any]

_DAMPING = 0.01
"""Share of the mean second moment, the one of the GPTQ paper."""
_TOGETHER = 512 << 20
"""Bytes of second moments that are collected in one run over the samples."""


class SecondMoments:
    """`sum x x^T` over all vectors along one axis of a tensor.

    Args:
        channels: size of that axis.
        axis: of the tensor; -1 for products, 1 for convolutions.
    """

    def __init__(self, channels: int, *, axis: int) -> None:
        import numpy as np

        self._axis = axis
        self.values: Array = np.zeros((channels, channels), np.float32)

    def see(self, values: Array) -> None:
        import numpy as np

        vectors = np.moveaxis(values, self._axis, -1).reshape(-1, len(self.values)).astype(np.float32, copy=False)
        self.values += vectors.T @ vectors


def damped(moments: Array) -> Array:
    """float64: second moments as if every channel varied a little by itself.

    A few samples do not show all that inputs can be: a channel that was always 0 may matter to others.
    """
    import numpy as np

    result = moments.astype(np.float64)
    result[np.diag_indices_from(result)] += _DAMPING * float(np.diagonal(result).mean()) or 1.0
    return result


@dataclass(frozen=True, slots=True)
class Inputs:
    """The vectors that some weights are multiplied by.

    Attributes:
        tensor: name of the activation.
        axis: of the activation, along which a vector lies.
        channels: size of that axis.
    """

    tensor: str
    axis: int
    channels: int


def inputs_of(weight: Weight) -> Inputs | None:
    """The vectors that all sites of a weight multiply it by; None where they differ or are no plain vectors."""
    found = {_inputs(site) for site in weight.sites}
    return found.pop() if len(found) == 1 else None


def _inputs(site: Site) -> Inputs | None:
    activation = site.node.inputs[0]
    if activation is None or activation.name is None or site.grain.half:  # what is watched has to be float32
        return None
    channels = site.shape[site.summed]
    match site.node.op_type:
        case "MatMul" if site.position == 1:
            return Inputs(activation.name, -1, channels)
        case "Gemm" if not site.node.attributes.get_int("transA", 0):
            return Inputs(activation.name, -1, channels)
        case "Conv" if site.node.attributes.get_int("group", 1) == 1 and all(size == 1 for size in site.shape[2:]):
            return Inputs(activation.name, 1, channels)
        case _:
            return None


def in_groups(weights: Sequence[Weight]) -> Iterator[Mapping[Inputs, list[Weight]]]:
    """Weights by the vectors that they are multiplied by, in groups whose second moments fit into memory together.

    A tensor that is read along two of its axes counts with the first; weights that it cannot teach anything are left
    out, as are those without plain vectors.
    """
    readers: dict[Inputs, list[Weight]] = {}
    axes: dict[str, Inputs] = {}
    for weight in weights:
        inputs = inputs_of(weight)
        if inputs is not None and axes.setdefault(inputs.tensor, inputs) == inputs:
            readers.setdefault(inputs, []).append(weight)
    group: dict[Inputs, list[Weight]] = {}
    held = 0
    for inputs, those in readers.items():
        need = 4 * inputs.channels**2
        if group and held + need > _TOGETHER:
            yield group
            group, held = {}, 0
        group[inputs] = those
        held += need
    if group:
        yield group
