"""Are the weights finite? Read once, in blocks, so that a model of any size can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.errors import ModelError
from edgetool.graph.element import ELEMENTS
from edgetool.graph.external_data import array
from edgetool.graph.walk import graphs, node_label, tensors

if TYPE_CHECKING:
    import numpy as np
    import onnx

_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
_BLOCK = 1 << 22  # elements
_BOUNDS = frozenset({"Where", "Clip", "Max", "Min", "Pad", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"})
"""Operators for which an infinite constant makes sense: a mask's fill value, an open end of a range."""
_CARRIERS = frozenset({"Cast", "CastLike", "Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that hand a constant on as it is."""


def check_weights(model: onnx.ModelProto, folder: Path, *, where: str) -> None:
    """Refuse NaN anywhere, and infinities wherever they cannot be meant.

    An infinite constant is meant where it bounds or masks: read by Where, Clip, Max, Min, Pad or a comparison, or
    added to a tensor as `-inf` (an attention mask), as long as it is no bias of one axis.

    Args:
        model: may have been loaded without weights.
        folder: where its external data lies.
        where: the file, for messages.

    Raises:
        ModelError: `non-finite-weight`, naming the tensor and the first node that reads it.
    """
    import numpy as np

    readers = _readers(model)
    for named in tensors(model):
        kind = ELEMENTS.get(named.tensor.data_type)
        if kind is None or kind.name not in _FLOATS or 0 in named.tensor.dims:
            continue
        values = array(named, folder, where=where)
        if _is_finite(values):
            continue
        used_by = readers.get(named.tensor.name, readers.get(named.label, []))
        flat = np.asarray(values, dtype=np.float32).reshape(-1)
        nans, infinities = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
        if not nans and used_by and all(_may_be_infinite(node, flat, values.ndim) for _, node in used_by):
            continue
        what = f"{nans} NaN" if nans else f"{infinities} infinite"
        reader = f", read by {used_by[0][0]}" if used_by else ""
        raise ModelError(
            "non-finite-weight",
            f"{what} of {flat.size} values in {named.label!r}{reader}",
            where=where,
            hint="the training diverged or the export went wrong: export a healthy checkpoint",
        )


def _is_finite(values: np.ndarray[Any, Any]) -> bool:
    """A sum is finite only if every term is; one that overflowed is looked at again, term by term."""
    import numpy as np

    flat = values.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            if block.dtype.itemsize < 4:
                block = block.astype(np.float32)
            if not np.isfinite(block.sum()) and not np.isfinite(block).all():
                return False
    return True


def _may_be_infinite(node: onnx.NodeProto, flat: np.ndarray[Any, Any], rank: int) -> bool:
    import numpy as np

    if node.op_type in _BOUNDS:
        return True
    return node.op_type == "Add" and rank != 1 and bool((flat[np.isinf(flat)] < 0).all())


def _readers(model: onnx.ModelProto) -> Mapping[str, list[tuple[str, onnx.NodeProto]]]:
    """Nodes that read a tensor in the end, with their labels, seen through nodes that only hand it on.

    The tensor of a Constant node has no name of its own, so its readers are listed under its label too.
    """
    direct: dict[str, list[tuple[str, onnx.NodeProto]]] = {}
    labelled: list[tuple[str, onnx.NodeProto]] = []
    for nodes in _node_lists(model):
        for index, node in enumerate(nodes):
            labelled.append((node_label(node, index), node))
            for name in node.input:
                direct.setdefault(name, []).append(labelled[-1])

    def resolve(name: str, depth: int = 0) -> list[tuple[str, onnx.NodeProto]]:
        found = []
        for label, node in direct.get(name, []):
            through = node.op_type in _CARRIERS and node.output and depth < 8
            found += resolve(node.output[0], depth + 1) if through else [(label, node)]
        return found

    readers = {name: resolve(name) for name in direct}
    for label, node in labelled:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                readers[f"{label}.{attribute.name}"] = readers.get(node.output[0], [])
    return readers


def _node_lists(model: onnx.ModelProto) -> Iterable[Iterable[onnx.NodeProto]]:
    for graph in graphs(model.graph):
        yield graph.node
    for function in model.functions:
        yield function.node
