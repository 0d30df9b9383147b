"""Is the graph itself sound: opsets, operators, names, and an order in which it can be computed?

onnx.checker asks some of the same questions, but names neither node nor cure, refuses domains that a backend may well
know, and accepts what is listed in `edgetool.graph.external_data`; so these checks come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.loops import check_loops
from edgetool.graph.node_forms import check_node_forms
from edgetool.graph.walk import node_label, subgraphs
from edgetool.nearest import did_you_mean

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 9
PASSED_ON = frozenset({"com.microsoft", "org.openvinotoolkit"})
"""Operator domains that ONNX does not define but some runtimes do: the backend judges their nodes."""


def check_structure(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model whose graph cannot be computed or understood.

    Args:
        model: weights need not be loaded.
        where: the file, for messages.

    Raises:
        ModelError: `unsupported-opset`, `unknown-operator`, `invalid-model`, `duplicate-name`, `undefined-tensor`,
            `graph-cycle` or `unsorted-graph`.
    """
    opsets = opset_versions(model, where=where)
    functions = frozenset((function.domain, function.name) for function in model.functions)
    _check_operators(model.graph.node, opsets, functions, where)
    for function in model.functions:
        own = {"" if row.domain == "ai.onnx" else row.domain: row.version for row in function.opset_import}
        _check_operators(function.node, own, functions, f"{where}: function {function.name}")
    check_node_forms(model, opsets, where=where)
    check_loops(model.graph, where=where)
    if twice := _first_repeated([value.name for value in model.graph.output]):
        raise ModelError("duplicate-name", f"two outputs are called {twice!r}", where=where)
    _check_names(model.graph, frozenset(), where)


def opset_versions(model: onnx.ModelProto, *, where: str) -> dict[str, int]:
    """Opset version by domain; ONNX's own domain is the empty name.

    Raises:
        ModelError: `unsupported-opset` or `damaged-model`.
    """
    import onnx
    import onnx.defs

    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ModelError(
                "unsupported-opset",
                f"two opsets for domain {domain!r}: {versions[domain]}, {entry.version}",
                where=where,
            )
    if not versions:
        raise ModelError(
            "damaged-model", "no opset is declared: truncated or damaged", where=where, hint="export the model again"
        )
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("", newest)
    if version > newest:
        raise ModelError(
            "unsupported-opset",
            f"opset {version} is newer than {newest}, the newest that the installed onnx knows",
            where=where,
            hint="export to a lower opset, or upgrade onnx if there is such an opset",
        )
    if version < OLDEST_OPSET:
        raise ModelError(
            "unsupported-opset",
            f"opset {version} is older than {OLDEST_OPSET}, the oldest that edgetool reads",
            where=where,
            hint=f"export to opset {OLDEST_OPSET} or later",
        )
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            "unsupported-opset",
            f"IR version {model.ir_version} is newer than {onnx.IR_VERSION}, the newest that the installed onnx knows",
            where=where,
            hint="upgrade onnx, or export with an older exporter",
        )
    return versions


def _check_operators(
    nodes: Sequence[onnx.NodeProto], opsets: dict[str, int], functions: frozenset[tuple[str, str]], where: str
) -> None:
    import onnx.defs

    for index, node in enumerate(nodes):
        domain = "" if node.domain == "ai.onnx" else node.domain
        for graph in subgraphs(node):
            _check_operators(graph.node, opsets, functions, where)
        label = f"{where}: node {node_label(node, index)}"
        if (domain, node.op_type) in functions or (domain in PASSED_ON and domain in opsets):
            continue
        known = onnx.defs.has(node.op_type, domain)
        if known and domain in opsets and onnx.defs.has(node.op_type, opsets[domain], domain):
            if onnx.defs.get_schema(node.op_type, opsets[domain], domain).deprecated:
                raise ModelError(
                    "unknown-operator",
                    f"{node.op_type} was removed from ONNX before opset {opsets[domain]}",
                    where=label,
                    hint="export the model again with a current exporter",
                )
            continue
        raise _unknown_operator(node.op_type, domain, opsets, label)


def _unknown_operator(op_type: str, domain: str, opsets: dict[str, int], label: str) -> ModelError:
    import onnx.defs

    if domain in PASSED_ON:
        return ModelError(
            "unknown-operator",
            f"operator {op_type} of {domain!r}, for which no opset is declared",
            where=label,
            hint="export the model again: its list of opsets is incomplete",
        )
    if onnx.defs.has(op_type, domain):
        since = min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op_type)
        have = f"opset {opsets[domain]} is declared" if domain in opsets else f"no opset for {domain!r} is declared"
        return ModelError(
            "unknown-operator",
            f"{op_type} came with opset {since}, but {have}",
            where=label,
            hint="export the model again, or raise `opset`",
        )
    if not any(schema.domain == domain for schema in onnx.defs.get_all_schemas()):
        return ModelError(
            "unknown-operator",
            f"operator {op_type} of the unknown domain {domain!r}",
            where=label,
            hint="replace the custom operator by standard ones, or ship it as an ONNX function inside the model",
        )
    names = [schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == domain]
    hint = did_you_mean(op_type, names) or "export the model with standard operators only"
    return ModelError("unknown-operator", f"ONNX has no operator {op_type}", where=label, hint=hint)


def _check_names(graph: onnx.GraphProto, outer: frozenset[str], where: str) -> None:
    """Every name is defined once, and before it is used; `outer` are the names that enclosing graphs define."""
    inputs = [value.name for value in graph.input]
    initializers = [tensor.name for tensor in graph.initializer]
    initializers += [sparse.values.name for sparse in graph.sparse_initializer]
    for what, names in (("input", inputs), ("initializer", initializers)):
        if twice := _first_repeated(names):
            raise ModelError("duplicate-name", f"two {what}s are called {twice!r}", where=where)
    defined = set(inputs) | set(initializers)
    producers = _producers(graph.node, defined, where)
    for index, node in enumerate(graph.node):
        for name in _reads(node):
            if name in defined or name in outer:
                continue
            label = f"{where}: node {node_label(node, index)}"
            if name not in producers:
                raise ModelError("undefined-tensor", f"input {name!r} is computed by no node", where=label)
            raise _order_error(graph.node, producers, index, name, where)
        for inner in subgraphs(node):
            _check_names(inner, outer | defined, where)
        defined.update(node.output)
    for value in graph.output:
        if value.name not in defined and value.name not in outer:
            raise ModelError("undefined-tensor", f"output {value.name!r} is computed by no node", where=where)


def _producers(nodes: Sequence[onnx.NodeProto], defined: set[str], where: str) -> dict[str, int]:
    """Which node computes which tensor."""
    producers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producers or name in defined:
                raise ModelError(
                    "duplicate-name",
                    f"tensor {name!r} is defined twice",
                    where=f"{where}: node {node_label(node, index)}",
                )
            producers[name] = index
    return producers


def _reads(node: onnx.NodeProto) -> list[str]:
    """What a node needs before it runs, not counting what only its subgraphs read."""
    return [name for name in node.input if name]


def _order_error(
    nodes: Sequence[onnx.NodeProto], producers: dict[str, int], index: int, name: str, where: str
) -> ModelError:
    """A node reads what a later node computes: because of a cycle, or only because of the order of the file?"""
    cycle = _find_cycle(nodes, producers, index)
    if cycle:
        first = cycle.index(min(cycle))
        cycle = cycle[first:] + cycle[:first]
        path = " → ".join(node_label(nodes[i], i) for i in (*cycle[:6], cycle[0]))
        return ModelError(
            "graph-cycle", f"the graph has a cycle: {path}", where=where, hint="repair the export: ONNX has no cycles"
        )
    return ModelError(
        "unsorted-graph",
        f"reads {name!r}, which only a later node computes",
        where=f"{where}: node {node_label(nodes[index], index)}",
        hint="export the model again; ONNX wants its nodes in the order in which they can run",
    )


def _find_cycle(nodes: Sequence[onnx.NodeProto], producers: dict[str, int], start: int) -> list[int]:
    """Nodes of a cycle that `start` can reach against the flow, in the order of the flow; empty when there is none."""
    state: dict[int, bool] = {}  # True while on the path, False when done
    path: list[int] = []
    stack: list[tuple[int, bool]] = [(start, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            state[node] = False
            path.pop()
            continue
        if state.get(node):
            return path[path.index(node) :][::-1]
        if node in state:
            continue
        state[node] = True
        path.append(node)
        stack.append((node, True))
        stack.extend((producers[name], False) for name in _reads(nodes[node]) if name in producers)
    return []


def _first_repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
