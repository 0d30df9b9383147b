"""Boils what ONNX Runtime says about a model down to the line that means something, and names the node."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgetool.errors import EdgetoolError, HostError, ModelError

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_LINE = re.compile(r"^\S*\.(?:cc|h|cpp):\d+ .*?\) (?=\S)", re.DOTALL)
_SHORT_SOURCE_LINE = re.compile(r"\S+\.(?:cc|h|cpp):\d+ \S+ ")
_NOISE = re.compile(
    r"^(?:Load model from .*? failed:|Fatal error: |Error: |(?:This is an )?[Ii]nvalid model\. |\[\w+\] )+", re.DOTALL
)

_NO_SCHEMA = re.compile(
    r'In Node, \("(?P<node>[^"]*)", (?P<op>\w+), "(?P<domain>[^"]*)".*No Op registered for', re.DOTALL
)
_NO_IMPORT = re.compile(r'In Node, \("(?P<node>[^"]*)", (?P<op>\w+), "(?P<domain>[^"]*)".*No opset import', re.DOTALL)
_NO_FUNCTION = re.compile(r"(?P<domain>[\w.]*):(?P<op>\w+)\(-?\d+\) is not a registered function/op")
_NO_KERNEL = re.compile(r"Could not find an implementation for (?P<op>\w+)\(\d+\) node with name '(?P<node>[^']*)'")
_BAD_TYPE = re.compile(
    r"Type '(?P<type>[^']+)' of input parameter \((?P<tensor>[^)]*)\) of operator \((?P<op>\w+)\) "
    r"in node \((?P<node>[^)]*)\) is invalid"
)
_OPSET = re.compile(
    r"Opset (?P<got>\d+) is under development.*domain (?P<domain>\S+) is till opset (?P<limit>\d+)", re.DOTALL
)
_IR = re.compile(r"Unsupported model IR version: (?P<got>\d+), max supported IR version: (?P<limit>\d+)")
_NODE = re.compile(r"(?:Node:? ?\(|in node \(|Name:'|node with name ')(?P<node>[^')]+)")
_MEMORY = re.compile(r"Failed to allocate memory|bad_alloc|BFCArena.*requested", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why ONNX Runtime does not take a model.

    Attributes:
        code: of the error that the user sees.
        reason: one sentence.
        node: name of the node to blame, where ONNX Runtime names one.
        op_type: the operator to blame, with `domain`; None when it is not about one operator.
        max_opset: highest opset of the default domain that this version knows, when the model's is too new.
    """

    code: str
    reason: str
    hint: str
    node: str | None = None
    op_type: str | None = None
    domain: str = ""
    max_opset: int | None = None


def boiled_down(text: str) -> str:
    """ONNX Runtime's message without its codes, source lines and template signatures; one line."""
    line = _PREFIX.sub("", text.strip())
    line = _SOURCE_LINE.sub("", line)
    line = _SHORT_SOURCE_LINE.sub("", line)
    line = _NOISE.sub("", line)
    return " ".join(line.split()).rstrip(".")


def read_refusal(text: str) -> Refusal:
    """What ONNX Runtime's message says.

    Args:
        text: of the exception that creating a session raised.
    """
    if match := _NO_SCHEMA.search(text) or _NO_FUNCTION.search(text):
        found = match.groupdict()
        domain = found["domain"] if found["domain"] != "ai.onnx" else ""
        return Refusal(
            "unknown-to-onnxruntime",
            f"ONNX Runtime knows no operator {_operator(found['op'], domain)}",
            hint="export with standard operators, or keep this part outside of the model",
            node=found.get("node") or None,
            op_type=found["op"],
            domain=domain,
        )
    if match := _NO_IMPORT.search(text):
        return Refusal(
            "unknown-to-onnxruntime",
            f"the model uses {_operator(match['op'], match['domain'])} but does not declare the domain "
            f"{match['domain']!r} among its opsets",
            hint="export the model again; its list of opsets is incomplete",
            node=match["node"] or None,
            op_type=match["op"],
            domain=match["domain"],
        )
    if match := _NO_KERNEL.search(text):
        return Refusal(
            "no-kernel",
            f"ONNX Runtime has no kernel for {match['op']} with the types it is given",
            hint="cast to float32 around this node, or choose another precision in the recipe",
            node=match["node"] or None,
            op_type=match["op"],
        )
    if match := _BAD_TYPE.search(text):
        return Refusal(
            "no-kernel",
            f"{match['op']} does not take {match['type']}, the type of {match['tensor']!r}",
            hint="cast to a type that the operator takes, or export the model again",
            node=match["node"] or None,
            op_type=match["op"],
        )
    if match := _OPSET.search(text):
        return Refusal(
            "opset-too-new",
            f"the model uses opset {match['got']} of {match['domain']}; this ONNX Runtime goes up to {match['limit']}",
            hint=f'add {{ use = "convert-opset", opset = {match["limit"]} }} to the recipe, or update onnxruntime',
            max_opset=int(match["limit"]) if match["domain"] == "ai.onnx" else None,
        )
    if match := _IR.search(text):
        return Refusal(
            "opset-too-new",
            f"the file's IR version is {match['got']}; this ONNX Runtime reads up to {match['limit']}",
            hint="export the model again with an older onnx package, or update onnxruntime",
        )
    node = _NODE.search(text)
    return Refusal(
        "refused-by-onnxruntime",
        f"ONNX Runtime refuses the model: {boiled_down(text)}",
        hint="edgetool inspect shows the model; `edgetool explain refused-by-onnxruntime` lists the usual causes",
        node=node["node"] if node else None,
    )


def load_error(error: Exception, path: Path) -> EdgetoolError:
    """The error to raise when a session could not be created; a damaged file is called so rather than refused."""
    text = str(error)
    if _MEMORY.search(text):
        return _out_of_memory(path)
    refusal = read_refusal(text)
    try:
        names = refused_nodes(path, refusal)
    except EdgetoolError as damage:
        return damage
    where = f"{path}: node {', '.join(names[:3])}" if names else str(path)
    return ModelError(refusal.code, refusal.reason, where=where, hint=refusal.hint)


def run_error(error: Exception, path: Path) -> EdgetoolError:
    """The error to raise when an inference failed although its feeds fit the signature."""
    text = str(error)
    if _MEMORY.search(text):
        return _out_of_memory(path)
    node = _NODE.search(text)
    _, _, status = text.partition("Status Message: ")
    return ModelError(
        "inference-failed",
        boiled_down(status or text),
        where=f"{path}: node {node['node']}" if node else str(path),
        hint="check that the feeds' shapes are ones the model can take; declare their ranges in [model.dims]",
    )


def refused_nodes(path: Path, refusal: Refusal) -> tuple[str, ...]:
    """The nodes to blame; found in the file by their operator where ONNX Runtime does not name one.

    Raises:
        EdgetoolError: the file is not a sound ONNX file at all.
    """
    if path.suffix == ".ort":
        return (refusal.node,) if refusal.node else ()
    from edgetool.graph import load, node_label

    graph = load(path, weights=False).graph
    if refusal.node:
        return (refusal.node,)
    return tuple(
        node_label(node, index)
        for index, node in enumerate(graph.node)
        if node.op_type == refusal.op_type and node.domain == refusal.domain
    )


def _operator(op_type: str, domain: str) -> str:
    return f"{op_type} of domain {domain!r}" if domain else op_type


def _out_of_memory(path: Path) -> HostError:
    return HostError(
        "out-of-memory",
        "ONNX Runtime could not allocate the memory it needs",
        where=str(path),
        hint="raise [targets.NAME.builder] memory, or use smaller shapes in [model.dims]",
    )
