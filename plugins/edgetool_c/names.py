"""A copy of the model whose names are safe in C: they end up as identifiers, and in comments that they could end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.graph import node_label
from edgetool.graph.walk import graphs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_LONGEST = 48


@dataclass(frozen=True)
class SafeModel:
    """The copy, and the way back.

    Attributes:
        proto: says the same as the model, without its names, its free texts and its producer's name.
        inputs, outputs: their new names, in order.
        labels: new name of a node -> what the user calls it.
    """

    proto: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: Mapping[str, str]


def with_safe_names(model: onnx.ModelProto) -> SafeModel:
    """Rename everything that bears a name. The model is not modified."""
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    tensors = _Names()
    stored = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value.name for value in proto.graph.input if value.name not in stored]
    outputs = [value.name for value in proto.graph.output]
    for prefix, group in (("input", inputs), ("output", outputs)):
        for name in group:
            tensors.give(name, f"{prefix}_{name}")
    nodes, labels = _Names(), {}
    for graph in graphs(proto.graph):
        for index, node in enumerate(graph.node):
            label = node_label(node, index)
            node.name = nodes.fresh(label)
            labels[node.name] = label
            node.input[:] = [tensors[name] for name in node.input]
            node.output[:] = [tensors[name] for name in node.output]
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
        for row in (*graph.input, *graph.output, *graph.initializer):
            row.name = tensors[row.name]
            row.ClearField("doc_string")
        graph.name = "network"
        for text in ("doc_string", "metadata_props", "value_info"):
            graph.ClearField(text)
    for text in ("doc_string", "metadata_props", "producer_name", "producer_version", "domain", "model_version"):
        proto.ClearField(text)
    return SafeModel(proto, tuple(tensors[name] for name in inputs), tuple(tensors[name] for name in outputs), labels)


class _Names:
    """Old name -> new name; each new one is given once. An empty name means that nothing is there, and stays."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {"": ""}
        self._taken: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if name not in self._given:
            self.give(name, name)
        return self._given[name]

    def give(self, name: str, wish: str) -> None:
        self._given[name] = self.fresh(wish)

    def fresh(self, wish: str) -> str:
        """An identifier like the wish that nobody has."""
        base = _UNSAFE.sub("_", wish)[:_LONGEST].strip("_") or "unnamed"
        if base[0].isdigit():
            base = f"n{base}"
        name, count = base, 1
        while name.lower() in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name.lower())
        return name
