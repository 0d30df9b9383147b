"""The static verdict on a model: which provider takes each node, and which nodes nobody takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Facts, Model
from edgetool.backends.base import Legalization, Placement, Support
from edgetool.graph import load, node_label
from edgetool.graph.walk import subgraphs
from edgetool.problem import Problem
from edgetool_onnxruntime.availability import how_to_get, missing_providers
from edgetool_onnxruntime.options import OnnxRuntimeOptions, device_of
from edgetool_onnxruntime.ort_format import ort_format_problems
from edgetool_onnxruntime.refusal import Refusal, read_refusal
from edgetool_onnxruntime.runtime import load_runtime, runtime_errors
from edgetool_onnxruntime.session import CPU, RECORD_ASSIGNMENT, assigned_providers, session_options
from edgetool_onnxruntime.target_cpu import is_x86

if TYPE_CHECKING:
    import onnx


def verdict(model: Model, options: OnnxRuntimeOptions, facts: Facts) -> Support:
    """Where each node of the model goes.

    ONNX Runtime itself is asked, by opening the model without optimizations and reading back what it assigned.

    Args:
        model: the typed ONNX.
        options: of the target.
        facts: of the target; `max_opset` is the newest opset that its runtime knows.
    """
    proto = load(model.path, weights=False)
    nodes = list(_walk(proto.graph.node))
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1)
    max_opset = facts.get("max_opset")
    if isinstance(max_opset, int) and opset > max_opset:
        return _too_new(nodes, options, f"opset {opset} is newer than {max_opset}, the target's newest", max_opset)
    problems = ort_format_problems(model.path, proto, x86=is_x86(facts)) if options.format == "ort" else ()
    if missing := missing_providers(options):
        absent = f"{missing[0]} is not in the installed onnxruntime, so what it would take is unknown here"
        problems = (*problems, Problem(absent, fix=how_to_get(missing[0]), severity="warn"))
        options = options.model_copy(update={"providers": [n for n in options.providers if n not in missing] or [CPU]})
        return replace(
            _asked(model.path, proto, nodes, options, problems, why=absent), accelerator=device_of(missing[0])
        )
    return _asked(model.path, proto, nodes, options, problems)


def _asked(
    path: Path,
    proto: onnx.ModelProto,
    nodes: list[tuple[str, onnx.NodeProto]],
    options: OnnxRuntimeOptions,
    problems: tuple[Problem, ...],
    *,
    why: str | None = None,
) -> Support:
    try:
        assigned = _assignment(path, options)
    except runtime_errors() as error:
        refusal = read_refusal(str(error))
        if refusal.max_opset is not None:
            return _too_new(nodes, options, refusal.reason, refusal.max_opset)
        return _refused(nodes, options, refusal, proto, problems)
    rows = []
    for label, node in nodes:
        device = device_of(assigned.get(node.name, CPU))
        fell = f"{options.accelerator} does not take this node" if device != options.accelerator else why
        rows.append(Placement(label, node.op_type, device, fell))
    return Support(tuple(rows), options.accelerator, problems)


def _assignment(path: Path, options: OnnxRuntimeOptions) -> dict[str, str]:
    """Node name -> provider, as ONNX Runtime partitions the graph before it optimizes it."""
    runtime = load_runtime()
    settings = replace(
        options.settings(threads=1),
        level="disabled",
        entries={
            **options.session_entries,
            **RECORD_ASSIGNMENT,
            # The session only answers a question: packing the weights would double its memory.
            "session.disable_prepacking": "1",
        },
    )
    providers = [(name, dict(chosen)) for name, chosen in settings.providers.items()]
    session = runtime.InferenceSession(str(path), sess_options=session_options(runtime, settings), providers=providers)
    return assigned_providers(session)


def _refused(
    nodes: list[tuple[str, onnx.NodeProto]],
    options: OnnxRuntimeOptions,
    refusal: Refusal,
    proto: onnx.ModelProto,
    problems: tuple[Problem, ...],
) -> Support:
    """All nodes that ONNX Runtime does not know, though it stops at the first; else the one that it blames."""
    blamed = set(_unknown(nodes, proto)) or {label for label, node in nodes if _is_blamed(label, node, refusal)}
    rows = tuple(
        Placement(label, node.op_type, None, refusal.reason)
        if label in blamed
        else Placement(label, node.op_type, options.accelerator)
        for label, node in nodes
    )
    names = tuple(label for label, _ in nodes if label in blamed)
    return Support(rows, options.accelerator, (*problems, Problem(refusal.reason, names, refusal.hint)))


def _is_blamed(label: str, node: onnx.NodeProto, refusal: Refusal) -> bool:
    if refusal.node is not None:
        return label == refusal.node
    return refusal.op_type is not None and (node.op_type, node.domain) == (refusal.op_type, refusal.domain)


def _unknown(nodes: Iterable[tuple[str, onnx.NodeProto]], proto: onnx.ModelProto) -> Iterator[str]:
    load_runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    known = {(schema.domain, schema.name) for schema in native.get_all_operator_schema()}
    known |= {(function.domain, function.name) for function in proto.functions}
    for label, node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) not in known:
            yield label


def _too_new(
    nodes: list[tuple[str, onnx.NodeProto]], options: OnnxRuntimeOptions, reason: str, max_opset: int
) -> Support:
    rows = tuple(Placement(label, node.op_type, None, reason) for label, node in nodes)
    problem = Problem(reason, fix=f'put {{ use = "convert-opset", opset = {max_opset} }} into the recipe')
    return Support(rows, options.accelerator, (problem,), Legalization("convert-opset", {"opset": max_opset}))


def _walk(nodes: Iterable[onnx.NodeProto], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Label and node, subgraphs included; nameless nodes of a subgraph are told apart by their parent's label."""
    for index, node in enumerate(nodes):
        label = node.name or prefix + node_label(node, index)
        yield label, node
        for graph in subgraphs(node):
            yield from _walk(graph.node, f"{label}/")
