"""Cuts parts out of a model: any set of its nodes is a model again, with what they read from outside as inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.graph.save import save
from edgetool.graph.walk import node_label, subgraphs
from edgetool.reduce.search import Nodes

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Seams:
    """What is known of the tensors between nodes, where a model can be cut.

    Attributes:
        types: element type, rank and sizes, by name; a tensor that is not listed cannot become an input.
        values: by name, those of small integer tensors: shapes, axes, sizes. A part gets them as constants, since what
            a backend makes of a Reshape, say, hangs on them.
    """

    types: Mapping[str, onnx.ValueInfoProto] = field(default_factory=dict)
    values: Mapping[str, onnx.TensorProto] = field(default_factory=dict)


class Parts:
    """A model to cut parts from.

    Args:
        model: its graph in the order in which it runs; external weights need not be loaded.
        folder: where those weights lie.
        seams: where it can be cut.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, seams: Seams) -> None:
        self._model = model
        self._folder = folder
        self._seams = seams
        self._nodes = list(model.graph.node)
        self._reads = [frozenset(_reads(node)) for node in self._nodes]
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in model.graph.sparse_initializer}
        self._inputs = {value.name: value for value in model.graph.input}
        self._outputs = {value.name: value for value in model.graph.output}
        self._order = {name: index for index, name in enumerate(self._inputs)}
        self._read_anywhere = frozenset().union(*self._reads)

    @property
    def all(self) -> Nodes:
        return frozenset(range(len(self._nodes)))

    @property
    def weights(self) -> frozenset[str]:
        """Names of the tensors that the model stores."""
        return frozenset(self._stored)

    def labelled(self, labels: Iterable[str]) -> Nodes:
        """The nodes that go by these labels."""
        wanted = frozenset(labels)
        return frozenset(
            index for index, node in enumerate(self._nodes) if {node.name, node_label(node, index)} & wanted
        )

    def cut(self, nodes: Nodes) -> onnx.ModelProto | None:
        """A model of these nodes alone, without the original's metadata; None where it cannot be cut like this."""
        import onnx

        kept = [self._nodes[index] for index in sorted(nodes)]
        made = {name for node in kept for name in node.output if name}
        read = set().union(*(self._reads[index] for index in nodes))
        part = onnx.ModelProto(ir_version=self._model.ir_version, producer_name=self._model.producer_name)
        part.graph.name = "reduced"
        part.graph.node.extend(kept)
        for name in self._in_order(read - made):
            if not self._bring(part.graph, name):
                return None
        for name in self._ends(made, read, kept):
            part.graph.output.append(self._type(name) or onnx.ValueInfoProto(name=name))
        part.functions.extend(_used_functions(self._model, kept))
        domains = {node.domain for node in _all_nodes(part)} | {"ai.onnx", ""}
        part.opset_import.extend(row for row in self._model.opset_import if row.domain in domains)
        _strip(part)
        return part

    def write(self, part: onnx.ModelProto, path: Path) -> None:
        """Write a part, which is used up; weights are taken from the model's own files."""
        save(part, path, folder=self._folder)

    def _bring(self, graph: onnx.GraphProto, name: str) -> bool:
        """Put what a part reads into it: a weight, a known value, or an input."""
        if name in self._stored:
            graph.initializer.append(self._stored[name])
        elif name in self._sparse:
            graph.sparse_initializer.append(self._sparse[name])
        elif name not in self._inputs and name in self._seams.values:
            graph.initializer.append(self._seams.values[name])
        elif (found := self._type(name)) is not None:
            graph.input.append(found)
        else:
            return False
        return True

    def _type(self, name: str) -> onnx.ValueInfoProto | None:
        return self._inputs.get(name) or self._outputs.get(name) or self._seams.types.get(name)

    def _in_order(self, names: set[str]) -> list[str]:
        """Inputs of the model first, in their order; then the others by name."""
        return sorted(names, key=lambda name: (self._order.get(name, len(self._order)), name))

    def _ends(self, made: set[str], read: set[str], kept: list[onnx.NodeProto]) -> list[str]:
        """What a part gives: the model's own outputs, and what nobody in the part reads but others do."""
        loose = (made & self._read_anywhere) - read
        ends = [name for node in kept for name in node.output if name in self._outputs or name in loose]
        return ends or [next(name for name in kept[-1].output if name)]


def _strip(part: onnx.ModelProto) -> None:
    """Remove what exporters note on the way: file names, stack traces, the names of modules."""
    graph = part.graph
    for item in (*_all_nodes(part), *graph.input, *graph.output, *graph.initializer, *part.functions):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """What a node needs of its graph: its inputs, and what its subgraphs read from outside of themselves."""
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        inside = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            yield from (name for name in _reads(inner) if name not in inside)
            inside.update(inner.output)
        yield from (value.name for value in graph.output if value.name not in inside)


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        yield from _with_inner(node)


def _with_inner(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    yield node
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _with_inner(inner)


def _used_functions(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> list[onnx.FunctionProto]:
    """The local functions that these nodes call, and those that they call in turn."""
    functions = {(function.domain, function.name): function for function in model.functions}
    used: dict[tuple[str, str], onnx.FunctionProto] = {}
    waiting = [inner for node in nodes for inner in _with_inner(node)]
    while waiting:
        node = waiting.pop()
        key = (node.domain, node.op_type)
        if key in functions and key not in used:
            used[key] = functions[key]
            waiting += [inner for below in functions[key].node for inner in _with_inner(below)]
    return list(used.values())
