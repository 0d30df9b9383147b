"""The curves of all groups from calibration data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool_passes.pruning.curve import Curve, by_norm
from edgetool_passes.pruning.elimination import by_activation, by_elimination
from edgetool_passes.pruning.groups import Dependencies, Group
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.moments import Moments, collect, observable
from edgetool_passes.pruning.observation import Observation
from edgetool_passes.pruning.sensitivity import Sensitivity

if TYPE_CHECKING:
    import onnx


def curves_from_data(
    model: onnx.ModelProto, dependencies: Dependencies, observation: Observation, *, eliminate: bool
) -> list[Curve]:
    """One curve for each group, in their order.

    A group goes by the norm of its weights where the data cannot tell: none of its readers is a Conv, Gemm or MatMul
    that is narrow enough.

    Args:
        model: as traced, float32.
        dependencies: of it.
        observation: the samples.
        eliminate: let the others make up for each removal; else only the channel's own share counts.
    """
    order = {group: number for number, group in enumerate(dependencies.groups)}
    found: dict[Group, Curve] = {}
    waiting = {group: list(group.readers) for group in order}
    for group, readers in list(waiting.items()):
        if not readers or not all(observable(layer) for layer in readers):
            found[group] = by_norm(dependencies, group, 2)
            del waiting[group]
    layers = list(dict.fromkeys(layer for readers in waiting.values() for layer in readers))
    sensitivity = Sensitivity(model, observation)
    moments: dict[Layer, Moments] = {}
    prices: dict[Layer, float] = {}
    for part in collect(model, layers, observation):
        moments.update(part)
        prices.update({layer: sensitivity.price(layer, one) for layer, one in part.items()})
        for group, readers in list(waiting.items()):
            if all(layer in moments for layer in readers):
                make = by_elimination if eliminate else by_activation
                found[group] = make(dependencies, group, moments, prices)
                del waiting[group]
        needed = {layer for readers in waiting.values() for layer in readers}
        moments = {layer: one for layer, one in moments.items() if layer in needed}
    return sorted(found.values(), key=lambda curve: order[curve.group])
