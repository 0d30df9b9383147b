"""The static verdict on a model: asked of the generator itself, node by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING

from edgetool.artifact import Facts, Model
from edgetool.backends.base import Legalization, Placement, Support
from edgetool.config.units import format_bytes
from edgetool.graph import load, node_label
from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import graphs
from edgetool.problem import Problem
from edgetool.signature import Signature
from edgetool_c.form import lower
from edgetool_c.generator import known_operators, objection
from edgetool_c.names import with_safe_names
from edgetool_c.options import COptions

if TYPE_CHECKING:
    import onnx

TYPES = {
    "float32": "float", "float64": "double", "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
"""Element types that C has, by numpy's names."""

_STANDARD = ("", "ai.onnx")


def verdict(model: Model, options: COptions, facts: Facts) -> Support:
    """Which nodes become C, and why others do not."""
    proto = load(model.path, weights=False)
    nodes = tuple(_labelled(proto))
    signature = model.signature
    reasons = dict(_refused(proto))
    problems = [*_by_reason(reasons), *_signature_problems(signature), *_size_problems(proto, options, facts)]
    legalize = None
    if not problems and _is_dynamic(signature):
        problems, legalize = [_dynamic(signature)], _legalization(signature)
    elif not problems and (found := _asked(model, options, {label for label, _ in nodes})) is not None:
        problems = [found]
        reasons = dict.fromkeys(found.nodes, found.reason)
    # What is against the model as a whole keeps every node from becoming C.
    whole = next((problem.reason for problem in problems if not problem.nodes), None)
    rows = tuple(Placement(*node, *_place(reasons.get(node[0], whole))) for node in nodes)
    return Support(rows, _ACCELERATOR, tuple(problems), legalize)


_ACCELERATOR = "C"
_FIX = "export with other operators, or keep this part outside of the model"


def _place(reason: str | None) -> tuple[str | None, str | None]:
    return (None, reason) if reason else (_ACCELERATOR, None)


def _labelled(proto: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Label and operator of every node, subgraphs included."""
    for graph in graphs(proto.graph):
        for index, node in enumerate(graph.node):
            yield node_label(node, index), node.op_type


def _by_reason(reasons: Mapping[str, str]) -> Iterator[Problem]:
    for reason in dict.fromkeys(reasons.values()):
        yield Problem(reason, tuple(label for label, why in reasons.items() if why == reason), _FIX)


def _refused(proto: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Label and reason of nodes that are refused for what they are, before their shapes matter."""
    known = known_operators()
    odd = {tensor.name: name for tensor in proto.graph.initializer if (name := _foreign_type(tensor.data_type))}
    for graph in graphs(proto.graph):
        for index, node in enumerate(graph.node):
            label = node_label(node, index)
            if node.domain not in _STANDARD:
                yield label, f"there is no C for {node.op_type} of domain {node.domain!r}"
            elif node.op_type not in known:
                yield label, f"there is no C for {node.op_type}"
            elif found := next((odd[name] for name in node.input if name in odd), _cast_to(node)):
                yield label, f"{node.op_type} works with {found}, which C does not have"


def _cast_to(node: onnx.NodeProto) -> str | None:
    if node.op_type != "Cast":
        return None
    return next((_foreign_type(entry.i) for entry in node.attribute if entry.name == "to"), None)


def _foreign_type(data_type: int) -> str | None:
    name = ELEMENTS[data_type].name if data_type in ELEMENTS else "an unknown type"
    return None if name in TYPES else name


def _signature_problems(signature: Signature) -> Iterator[Problem]:
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype not in TYPES:
            yield Problem(
                f"C has no {spec.dtype} tensor such as {spec.name!r}",
                fix="use a recipe without float16 for this target",
            )


def _size_problems(proto: onnx.ModelProto, options: COptions, facts: Facts) -> Iterator[Problem]:
    """What cannot fit need not be turned into hundreds of megabytes of source first."""
    needed = weight_bytes(proto)
    board = options.where
    stated = facts.get("flash")
    flash, owner = (stated, "the target") if isinstance(stated, int) else (board.flash, board.name)
    if needed > flash:
        yield Problem(
            f"the weights take {format_bytes(needed)}, and {owner} has {format_bytes(flash)} of flash",
            fix="quantize to int8, prune, or take a smaller network",
        )


def weight_bytes(proto: onnx.ModelProto) -> int:
    """What the stored tensors take; they need not be loaded."""
    stored = [(ELEMENTS.get(tensor.data_type), tuple(tensor.dims)) for tensor in proto.graph.initializer]
    return sum(element.nbytes(dims) or 0 for element, dims in stored if element is not None)


def _is_dynamic(signature: Signature) -> bool:
    return any(not isinstance(dim, int) for spec in (*signature.inputs, *signature.outputs) for dim in spec.shape)


def _dynamic(signature: Signature) -> Problem:
    undeclared = [name for name in signature.symbols if name not in signature.dims]
    names = ", ".join(signature.symbols) or "sizes of an output"
    return Problem(
        f"static buffers want fixed shapes; dynamic here: {names}",
        fix=f"declare [model.dims.{undeclared[0]}]" if undeclared else "`specialize` fixes them at `opt`",
    )


def _legalization(signature: Signature) -> Legalization | None:
    """Fix every dimension at the size to tune for, where the user has said which that is."""
    if not signature.symbols or any(name not in signature.dims for name in signature.symbols):
        return None
    return Legalization("specialize", {"dims": {name: signature.dims[name].opt for name in signature.symbols}})


def _asked(model: Model, options: COptions, own: Set[str]) -> Problem | None:
    """What the generator says to the model in the form that it would get."""
    proto = load(model.path)
    lower(proto, options)
    safe = with_safe_names(proto)
    found = objection(safe)
    if found is None:
        return None
    blamed = own & {safe.labels.get(found.node or "", "")}
    return Problem(f"the C generator refuses: {found.reason}", tuple(blamed), _FIX)
