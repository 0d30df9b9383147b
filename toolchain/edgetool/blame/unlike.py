"""What a node does otherwise than the node of another network that computes the tensor of the same name, in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from edgetool.graph.opset import opset_of
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import numpy as np
    import onnx

_CLOSE = 1e-5
"""Of the largest value: weights nearer than this were only written differently."""

_LISTED = 64
"""Characters of an attribute's value."""


class Unlike:
    """Compares the nodes of two networks, of one opset, that compute a tensor of one name."""

    def __init__(self, reference: onnx.ModelProto, other: onnx.ModelProto) -> None:
        self._reference, self._other = GraphIndex(reference.graph), GraphIndex(other.graph)
        self._opset = opset_of(reference)

    def told(self, tensor: str) -> str | None:
        """One sentence, or None where nothing that can be seen differs."""
        there, here = self._reference.producers.get(tensor), self._other.producers.get(tensor)
        if there is None or here is None:
            return None
        if there.op_type != here.op_type:
            return f"{here.op_type} where the reference has {there.op_type}"
        found = [*self._attributes(there, here), *self._inputs(there, here)]
        return "; ".join(found) or None

    def _attributes(self, there: onnx.NodeProto, here: onnx.NodeProto) -> Iterator[str]:
        wanted, found = self._values(there), self._values(here)
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                yield f"{name} is {_shown(found.get(name))}, in the reference {_shown(wanted.get(name))}"

    def _values(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Attributes of a node, defaults included: one exporter writes them down, another does not."""
        import onnx

        defaults = {}
        if onnx.defs.has(node.op_type, self._opset, node.domain):
            schema = onnx.defs.get_schema(node.op_type, self._opset, node.domain)
            defaults = {
                name: onnx.helper.get_attribute_value(row.default_value)
                for name, row in schema.attributes.items()
                if row.default_value.type
            }
        given = {row.name: onnx.helper.get_attribute_value(row) for row in node.attribute}
        return {name: _plain(value) for name, value in {**defaults, **given}.items()}

    def _inputs(self, there: onnx.NodeProto, here: onnx.NodeProto) -> Iterator[str]:
        names = self._formal(here)
        for at, (wanted, found) in enumerate(zip_longest(there.input, here.input, fillvalue="")):
            name = names[at] if at < len(names) else f"input {at}"
            if bool(wanted) != bool(found):
                yield (
                    f"it has no {name}, which the reference has"
                    if wanted
                    else f"it has {name}, which the reference has not"
                )
                continue
            one, other = self._reference.constant(wanted), self._other.constant(found)
            if one is not None and other is not None:
                yield from _weights(name, one, other)
            elif (one is None) != (other is None):
                yield f"{name} is {'computed' if other is None else 'constant'} here and not in the reference"
            elif wanted != found and wanted in self._other.producers:
                yield f"{name} is {found}, in the reference {wanted}"

    def _formal(self, node: onnx.NodeProto) -> list[str]:
        import onnx

        if not onnx.defs.has(node.op_type, self._opset, node.domain):
            return []
        return [row.name for row in onnx.defs.get_schema(node.op_type, self._opset, node.domain).inputs]


def _weights(name: str, wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> Iterator[str]:
    import numpy as np

    if wanted.shape != found.shape:
        yield f"{name} has the shape {list(found.shape)}, in the reference {list(wanted.shape)}"
        return
    if wanted.dtype.kind not in "fiu" or not wanted.size:
        if not np.array_equal(wanted, found):
            yield f"{name} has other values"
        return
    largest = float(np.abs(wanted.astype(np.float64)).max())
    if _near(wanted, found, largest):
        return
    if wanted.ndim > 1 and any(_near(turned, found, largest) for turned in _turned(wanted)):
        yield f"{name} is the reference's, transposed"
        return
    if not found.any():
        yield f"{name} is all zero"
        return
    off = float(np.abs(found.astype(np.float64) - wanted).max())
    yield f"{name} has other values: they differ by up to {off:.3g}, where the largest is {largest:.3g}"


def _turned(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """With two neighbouring axes of one size exchanged."""
    for axis in range(array.ndim - 1):
        if array.shape[axis] == array.shape[axis + 1]:
            yield array.swapaxes(axis, axis + 1)


def _near(wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any], largest: float) -> bool:
    import numpy as np

    return bool(np.allclose(wanted, found, rtol=0, atol=_CLOSE * largest))


def _plain(value: Any) -> Any:
    """Comparable with ==, and short enough to be shown."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if hasattr(value, "SerializeToString"):
        return value.SerializeToString()
    return [_plain(row) for row in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bytes):
        return "another one"
    text = str(value)
    return text if len(text) <= _LISTED else f"{text[:_LISTED]}…"
