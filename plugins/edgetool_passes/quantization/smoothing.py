"""Moves outliers from activations into weights, where every channel has its own scale.

After G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models" (2022):
`x W = (x / s) (s W)` with `s = max|x|^a / max|W|^(1 - a)` for every input channel. Here the division stays in the
graph as one Mul on the activation, so nothing in front of it has to be known: neither LayerNormalization nor a fused
Gelu is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool_passes.quantization.histogram import ChannelExtents
from edgetool_passes.quantization.placement import Placement, Site

if TYPE_CHECKING:
    import numpy as np
    import onnx

_TINY = 1e-5


@dataclass(frozen=True, eq=False)
class Group:
    """MatMul sites that read one activation, and so share its factors.

    Attributes:
        sites: they.
        channels: size of the activation's last axis.
    """

    sites: tuple[Site, ...]
    channels: int


def smoothable(graph: onnx.GraphProto, placement: Placement) -> dict[str, Group]:
    """Activation -> the MatMul sites that read it, where all their weights are theirs alone."""
    index = GraphIndex(graph)
    found: dict[str, list[Site]] = {}
    for site in placement.sites:
        if site.node.op_type == "MatMul":
            found.setdefault(site.node.input[0], []).append(site)
    return {
        tensor: Group(tuple(sites), int(index.initializers[sites[0].weight_name].dims[0]))
        for tensor, sites in found.items()
        if all(index.only_reader(site.weight_name) is not None for site in sites)
    }


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A smoothed activation.

    Attributes:
        name: of the divided tensor.
        factor: float32 [channels]: `s` of the formula, which the weights' rows have to be multiplied by.
    """

    name: str
    factor: np.ndarray[Any, Any]


def divide(
    graph: onnx.GraphProto,
    groups: Mapping[str, Group],
    seen: Mapping[str, ChannelExtents],
    *,
    strength: float,
) -> dict[str, Smoothed]:
    """Add the divided activations to the graph, which nobody reads yet; by name of the activation.

    Until `read_smoothed` the graph computes what it did, with its own weights, so that calibration can watch both.

    Args:
        graph: edited in place.
        groups: from `smoothable`.
        seen: of each group's activation.
        strength: `a` of the formula: 0 moves nothing but what the weights ask for, 1 evens the activations out.
    """
    import numpy as np

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    found: dict[str, Smoothed] = {}
    for tensor, group in groups.items():
        rows = [np.abs(index.values(site.weight_name)).max(axis=1) for site in group.sites]
        largest = np.maximum(seen[tensor].magnitudes, _TINY)
        factor = largest**strength / np.maximum(np.maximum.reduce(rows), _TINY) ** (1 - strength)
        factor = np.maximum(factor, _TINY).astype(np.float32)
        inverse = editor.constant(1 / factor, f"{tensor}_smoothing")
        found[tensor] = Smoothed(editor.node("Mul", (tensor, inverse), f"{tensor}_smoothed"), factor)
    editor.commit()
    return found


def read_smoothed(graph: onnx.GraphProto, groups: Mapping[str, Group], smoothed: Mapping[str, Smoothed]) -> None:
    """Let the sites read the divided activations; their weights are wrong until they are multiplied."""
    editor = GraphEditor(graph)
    for tensor, group in groups.items():
        for site in group.sites:
            editor.redirect(site.node, 0, smoothed[tensor].name)
    editor.commit()
