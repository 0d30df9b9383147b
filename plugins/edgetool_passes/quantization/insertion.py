"""Puts Q/DQ where the placement says, on the ranges that calibration chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import add_pair, store_grid
from edgetool.qdq.ranges import Range
from edgetool_passes.quantization.bias_correction import CORRECTABLE, correct_bias
from edgetool_passes.quantization.placement import Placement
from edgetool_passes.quantization.weights import Int8Weight, quantize_weight, store_weight

if TYPE_CHECKING:
    import numpy as np
    import onnx


def insert_pairs(graph: onnx.GraphProto, placement: Placement, ranges: Mapping[str, Range]) -> None:
    """One symmetric pair for each activation and number of bits, shared by all the nodes that read it.

    Args:
        graph: edited in place.
        placement: of this graph.
        ranges: of all `placement.activations()`.
    """
    import numpy as np

    editor = GraphEditor(graph)
    pairs: dict[tuple[str, int], str] = {}
    for reading in placement.readings():
        key = (reading.tensor, reading.bits)
        if key not in pairs:
            integer = np.int8 if reading.bits == 8 else np.int16
            # A tensor that was zero on all samples gets any scale that a float16 model can hold, too.
            scale = ranges[reading.tensor].magnitude / np.iinfo(integer).max or 1.0
            grid = store_grid(editor, reading.tensor, scale=scale, zero_point=integer(0))
            pairs[key] = add_pair(editor, reading.tensor, grid)
    for reading in placement.readings():
        editor.redirect(reading.node, reading.position, pairs[(reading.tensor, reading.bits)])
    editor.commit()


def insert_weights(
    graph: onnx.GraphProto,
    placement: Placement,
    *,
    bits: int,
    per_channel: bool,
    means: Mapping[str, np.ndarray[Any, Any]],
    factors: Mapping[str, np.ndarray[Any, Any]],
) -> int:
    """Store the weights of all sites in int8; a weight that several sites share is stored once for each axis.

    Args:
        graph: edited in place; the sites still read their float activations.
        placement: of this graph.
        bits: 8 or 7.
        per_channel: one scale a channel instead of one in all.
        means: of activations by channel; nodes that read one of them get their bias corrected.
        factors: of smoothed activations by channel; the rows of the weights behind them are multiplied by these.

    Returns:
        How many biases were corrected.
    """
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    stored: dict[tuple[str, int], str] = {}
    weights: dict[tuple[str, int], Int8Weight] = {}
    corrected = 0
    for site in placement.sites:
        name = site.weight_name
        key = (name, site.axis)
        values = index.values(name)
        activation = site.node.input[site.activation] if site.activation is not None else ""
        if activation in factors:
            values = values * factors[activation][:, None]
        if key not in stored:
            weights[key] = quantize_weight(values, axis=site.axis, bits=bits, per_channel=per_channel)
            stored[key] = store_weight(editor, weights[key], name)
        if site.node.op_type in CORRECTABLE and activation in means:
            corrected += correct_bias(editor, index, site, values=values, weight=weights[key], means=means[activation])
        editor.redirect(site.node, site.weight, stored[key])
    editor.commit()
    return corrected
