"""Moves outliers from activations into weights, where every channel has its own scale.

After G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models" (2022):
`x W = (x / s) (s W)` with `s = max|x|^a / max|W|^(1 - a)` for every input channel. Here the division stays in the
graph as one Mul on the activation, so nothing in front of it has to be known: neither LayerNormalization nor a fused
Gelu is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool_passes.quantization.histogram import ChannelMagnitudes
from edgetool_passes.quantization.placement import Placement, Site

if TYPE_CHECKING:
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


def smooth(
    graph: onnx.GraphProto,
    groups: Mapping[str, Group],
    magnitudes: Mapping[str, ChannelMagnitudes],
    *,
    strength: float,
) -> None:
    """Rewrite the graph in place.

    Args:
        graph: its weights are changed.
        groups: from `smoothable`.
        magnitudes: of each group's activation.
        strength: `a` of the formula: 0 moves nothing but what the weights ask for, 1 evens the activations out.
    """
    import numpy as np
    from onnx import numpy_helper

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    for tensor, group in groups.items():
        weights = [index.values(site.weight_name) for site in group.sites]
        of_weights = np.maximum.reduce([np.abs(weight).max(axis=1) for weight in weights])
        seen = np.maximum(magnitudes[tensor].values, _TINY)
        factor = seen**strength / np.maximum(of_weights, _TINY) ** (1 - strength)
        factor = np.maximum(factor, _TINY).astype(np.float32)
        inverse = editor.constant(1 / factor, f"{tensor}_smoothing")
        smoothed = editor.node("Mul", (tensor, inverse), f"{tensor}_smoothed")
        for site, weight in zip(group.sites, weights, strict=True):
            stored = numpy_helper.from_array(weight * factor[:, None], site.weight_name)
            index.initializers[site.weight_name].CopyFrom(stored)
            editor.redirect(site.node, 0, smoothed)
    editor.commit()
