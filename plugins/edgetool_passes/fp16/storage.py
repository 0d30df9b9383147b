"""Stores weights in 16 bits and widens them where they are read: the network computes in float32 as before."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgetool_passes.fp16.form import Form
from edgetool_passes.fp16.plan import is_float
from edgetool_passes.fp16.weights import as_half

if TYPE_CHECKING:
    import onnx_ir as ir

_SMALLEST = 128
"""Elements from which a Cast saves more bytes than it takes."""


def store_weights(model: ir.Model, form: Form, *, keep: Iterable[str]) -> int:
    """Put a Cast behind every float32 initializer of the main graph that is large enough; how many there were.

    Args:
        model: changed in place.
        form: the 16-bit type; it holds whatever float32 holds.
        keep: names of nodes or operators whose weights stay float32; in names, `*` and `?` match.
    """
    import onnx_ir as ir

    patterns = tuple(keep)
    graph = model.graph
    stored = [value for value in graph.initializers.values() if _is_worth_it(value, patterns)]
    for value in stored:
        assert value.const_value is not None and value.name is not None
        name = value.name
        half = ir.Value(name=name, type=ir.TensorType(form.dtype), shape=value.shape)
        half.const_value = as_half(value.const_value, name, form)
        wide = ir.Value(name=f"{name}_fp32", type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
        cast = ir.Node("", "Cast", [half], [ir.AttrInt64("to", int(ir.DataType.FLOAT))], outputs=[wide])
        cast.name = f"{name}/Cast"
        graph.insert_before(graph[0], cast)
        value.replace_all_uses_with(wide)
        del graph.initializers[name]
        graph.register_initializer(half)
    return len(stored)


def _is_worth_it(value: ir.Value, keep: tuple[str, ...]) -> bool:
    if not is_float(value) or value.const_value is None or value.const_value.size < _SMALLEST:
        return False
    if value.is_graph_output() or value.is_graph_input():
        return False
    readers = value.consumers()
    return bool(readers) and not any(
        node.op_type in keep or any(fnmatchcase(node.name or "", pattern) for pattern in keep) for node in readers
    )
