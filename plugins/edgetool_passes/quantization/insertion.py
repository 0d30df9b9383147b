"""Puts Q/DQ where the placement says, on the ranges that calibration chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import add_pair, store_grid
from edgetool.qdq.ranges import Range
from edgetool_passes.quantization.placement import Placement
from edgetool_passes.quantization.weights import quantize_weight, store_weight

if TYPE_CHECKING:
    import onnx


def insert_pairs(graph: onnx.GraphProto, placement: Placement, ranges: Mapping[str, Range]) -> None:
    """One symmetric int8 pair for each activation, shared by all the sites that read it.

    Args:
        graph: edited in place.
        placement: of this graph.
        ranges: of all `placement.activations()`.
    """
    import numpy as np

    editor = GraphEditor(graph)
    pairs: dict[str, str] = {}
    for tensor in placement.activations():
        # A tensor that was zero on all samples gets any scale that a float16 model can hold, too.
        scale = ranges[tensor].magnitude / 127 or 1.0
        pairs[tensor] = add_pair(editor, tensor, store_grid(editor, tensor, scale=scale, zero_point=np.int8(0)))
    of_sites = [(site.node, site.activation) for site in placement.sites if site.activation is not None]
    for node, position in (*of_sites, *placement.residuals):
        editor.redirect(node, position, pairs[node.input[position]])
    editor.commit()


def insert_weights(graph: onnx.GraphProto, placement: Placement, *, bits: int, per_channel: bool) -> None:
    """Store the weights of all sites in int8; a weight that several sites share is stored once for each axis."""
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    stored: dict[tuple[str, int], str] = {}
    for site in placement.sites:
        name = site.weight_name
        key = (name, site.axis)
        if key not in stored:
            weight = quantize_weight(index.values(name), axis=site.axis, bits=bits, per_channel=per_channel)
            stored[key] = store_weight(editor, weight, name)
        editor.redirect(site.node, site.weight, stored[key])
    editor.commit()
