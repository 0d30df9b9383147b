"""The model under judgement: its nodes, wherever they are, and what is known of their tensors and of the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Facts, Model
from edgetool.backends import Site
from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import NamedTensor, node_label, subgraphs
from edgetool_tensorrt.choice import Kind
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.graph.shapes import ShapedGraph, TensorType

_OWN = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class Scope:
    """The names that the nodes of one graph see: its own, then those of the graphs around it.

    Attributes:
        stored: initializers and the tensors of Constant nodes.
        producers: tensor -> the node that computes it.
        readers: tensor -> the nodes of this graph that read it.
        elements: tensor -> element type, as far as onnx can infer it.
        results: names of the graph's outputs.
        outer: the graph around it.
    """

    stored: Mapping[str, onnx.TensorProto]
    producers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, list[onnx.NodeProto]]
    elements: Mapping[str, str]
    results: frozenset[str]
    outer: Scope | None = None

    def _around(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def tensor(self, name: str) -> onnx.TensorProto | None:
        """The stored tensor of that name."""
        return next((scope.stored[name] for scope in self._around() if name in scope.stored), None)

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that computes a tensor."""
        return next((scope.producers[name] for scope in self._around() if name in scope.producers), None)

    def element(self, name: str) -> str | None:
        """Element type of a tensor; None where it is not known."""
        return next((scope.elements[name] for scope in self._around() if name in scope.elements), None)


@dataclass(frozen=True, eq=False)
class Row:
    """One node.

    Attributes:
        label: how it is called in reports; a nameless node of a subgraph or function has its holder's label before it.
        node: the node.
        scope: of the graph or function that holds it.
        opset: version of ONNX's own operators that it is written in.
        owner: label of the node of the model's graphs that it is, or that calls the function which holds it.
    """

    label: str
    node: onnx.NodeProto
    scope: Scope
    opset: int
    owner: str

    @property
    def op_type(self) -> str:
        return str(self.node.op_type)

    @property
    def is_own(self) -> bool:
        """Whether the operator is one of ONNX's own."""
        return self.node.domain in _OWN

    def input(self, position: int) -> str:
        """Name of an input; empty when it is left out."""
        return str(self.node.input[position]) if position < len(self.node.input) else ""

    def element(self, position: int) -> str | None:
        """Element type of an input."""
        return self.scope.element(self.input(position))

    def integer(self, name: str, default: int) -> int:
        return next((int(entry.i) for entry in self.node.attribute if entry.name == name), default)

    def integers(self, name: str) -> tuple[int, ...]:
        return next((tuple(entry.ints) for entry in self.node.attribute if entry.name == name), ())

    def text(self, name: str, default: str) -> str:
        return next((entry.s.decode() for entry in self.node.attribute if entry.name == name), default)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, and what it is to be built for.

    Attributes:
        model: with its signature.
        proto: with inferred types; weights in external files are not loaded.
        rows: all nodes: of the graph, of its subgraphs, and of local functions where they are called.
        options: of the target.
        facts: of the target.
        kind: of the builder.
        version: of TensorRT, or of TensorRT-RTX for the builder `rtx`; None when nobody knows.
        sms: compute capabilities times ten that the engine serves.
    """

    model: Model
    proto: onnx.ModelProto
    rows: tuple[Row, ...]
    options: TensorRtOptions
    facts: Facts
    kind: Kind
    version: Version | None
    sms: tuple[int, ...]

    @property
    def is_rtx(self) -> bool:
        return self.kind == "rtx"

    @property
    def product(self) -> str:
        """What it is called, with its version."""
        name = "TensorRT-RTX" if self.is_rtx else "TensorRT"
        return f"{name} {self.version}" if self.version else name

    def lacks(self, release: str) -> bool:
        """Whether the target's TensorRT is known to be older than a release; TensorRT-RTX is as new as any."""
        return not self.is_rtx and self.version is not None and self.version < Version.parse(release)

    @cached_property
    def opset(self) -> int:
        from edgetool.graph.opset import opset_of

        return opset_of(self.proto)

    @cached_property
    def is_int8(self) -> bool:
        """Whether it computes in int8."""
        from edgetool.graph.precision import declared_precision

        return declared_precision(self.proto) == "int8"

    @cached_property
    def shaped(self) -> ShapedGraph:
        """The graph where all dynamic dimensions are largest; those without a range count as 1."""
        from edgetool.graph.shapes import infer_shapes

        return infer_shapes(self.proto, self.model.signature.input_shapes("max"))

    @property
    def largest(self) -> Mapping[str, TensorType]:
        """Tensors by name, at their largest, as far as that is known."""
        return self.shaped.types

    def values(self, scope: Scope, name: str) -> np.ndarray[Any, Any] | None:
        """Values of a stored tensor, read from its file where necessary; None for one that is computed."""
        from edgetool.graph.external_data import array

        tensor = scope.tensor(name)
        path = self.model.path
        return None if tensor is None else array(NamedTensor(tensor, name), path.parent, where=str(path))

    def own(self, *op_types: str) -> Iterator[Row]:
        """The nodes of some of ONNX's own operators."""
        return (row for row in self.rows if row.is_own and row.op_type in op_types)


def subject_of(model: Model, options: TensorRtOptions, site: Site, *, kind: Kind, version: Version | None) -> Subject:
    """Read a model for judgement.

    Raises:
        ConfigError, ModelError: as `edgetool.graph.load`.
    """
    from edgetool.graph import load
    from edgetool.graph.shapes import with_inferred_types

    proto = with_inferred_types(load(model.path, weights=False))
    return Subject(
        model=model,
        proto=proto,
        rows=tuple(_Walk(proto).rows()),
        options=options,
        facts=site.facts,
        kind=kind,
        version=version or (_installed_version() if kind == "rtx" else _stated_version(site.facts)),
        sms=_capabilities(options, site.facts),
    )


def _installed_version() -> Version | None:
    """Of TensorRT-RTX."""
    from edgetool_tensorrt.rtx.toolkit import installed_version

    found = installed_version()
    return Version.parse(found) if found else None


def _stated_version(facts: Facts) -> Version | None:
    """What the target says of its TensorRT, where no device was asked."""
    stated = facts.get("tensorrt")
    try:
        return Version.parse(stated) if isinstance(stated, str) else None
    except ValueError:
        return None


def _capabilities(options: TensorRtOptions, facts: Facts) -> tuple[int, ...]:
    from edgetool_tensorrt import knowledge

    if options.capabilities:
        return tuple(sorted(options.capabilities))
    sm, soc = facts.get("sm"), facts.get("soc")
    if not isinstance(sm, int):
        sm = knowledge.sm_of(soc) if isinstance(soc, str) else None
    return () if sm is None else (knowledge.canonical_sm(sm),)


class _Walk:
    """Walks through a model's graphs, and through its local functions at each call."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        from edgetool.graph.opset import opset_of

        self._proto = proto
        self._opset = opset_of(proto)
        self._functions = {(one.domain, one.name, one.overload): one for one in proto.functions}

    def rows(self) -> Iterator[Row]:
        graph = self._proto.graph
        yield from self._nodes(graph.node, _scope_of(graph, None), self._opset)

    def _nodes(
        self,
        nodes: Iterable[onnx.NodeProto],
        scope: Scope,
        opset: int,
        *,
        prefix: str = "",
        owner: str | None = None,
        calls: tuple[tuple[str, str, str], ...] = (),
    ) -> Iterator[Row]:
        """
        Args:
            prefix: label of the node that holds these, with a slash; every label of a function's body has it.
            owner: label of the call, inside of a function.
            calls: the functions that are being walked through, so that one that calls itself ends.
        """
        for index, node in enumerate(nodes):
            label = node.name if node.name and owner is None else prefix + node_label(node, index)
            yield Row(label, node, scope, opset, owner or label)
            for inner in subgraphs(node):
                yield from self._nodes(
                    inner.node, _scope_of(inner, scope), opset, prefix=f"{label}/", owner=owner, calls=calls
                )
            key = (node.domain, node.op_type, node.overload)
            function = self._functions.get(key)
            if function is not None and key not in calls:
                yield from self._nodes(
                    function.node,
                    _scope_of(function, None),
                    _function_opset(function, opset),
                    prefix=f"{label}/",
                    owner=owner or label,
                    calls=(*calls, key),
                )


def _function_opset(function: onnx.FunctionProto, default: int) -> int:
    return next((int(entry.version) for entry in function.opset_import if entry.domain in _OWN), default)


def _scope_of(part: onnx.GraphProto | onnx.FunctionProto, outer: Scope | None) -> Scope:
    """The names of a graph, or of a function's body, which has neither initializers nor types."""
    import onnx

    stored: dict[str, onnx.TensorProto] = {}
    elements: dict[str, str] = {}
    results = list(part.output)
    if isinstance(part, onnx.GraphProto):
        stored |= {tensor.name: tensor for tensor in part.initializer}
        elements |= {name: ELEMENTS[tensor.data_type].name for name, tensor in stored.items()}
        for value in (*part.input, *part.value_info, *part.output):
            kind = ELEMENTS.get(value.type.tensor_type.elem_type)
            if kind is not None:
                elements[value.name] = kind.name
        results = [value.name for value in part.output]
    producers: dict[str, onnx.NodeProto] = {}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in part.node:
        if node.op_type == "Constant":
            held = next((entry.t for entry in node.attribute if entry.name == "value"), None)
            stored |= {node.output[0]: held} if held is not None else {}
        producers |= dict.fromkeys(filter(None, node.output), node)
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return Scope(stored, producers, readers, elements, frozenset(results), outer)
