"""The static verdict on a model: which device takes each node, and which nodes nobody takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Model
from edgetool.backends.base import Legalization, Placement, Support
from edgetool.errors import DeviceError, ModelError
from edgetool.graph import load, node_label
from edgetool.graph.walk import subgraphs
from edgetool.problem import Problem
from edgetool.signature import DimRange, Signature
from edgetool_openvino.conversion import read
from edgetool_openvino.device import Device
from edgetool_openvino.lowering import operators
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.refusal import Blame, blames, boiled_down
from edgetool_openvino.session import new_core
from edgetool_openvino.split import predicted

if TYPE_CHECKING:
    import onnx

_FIXED_SHAPES = ("NPU", "FPGA")
"""Devices that take no dynamic dimension."""
_NO_TENSOR = frozenset(
    {"string", "int4", "uint4", "int2", "uint2", "float4e2m1"}
    | {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"}
)
"""Element types that can be inside of a network but not go in or out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A node of the model.

    Attributes:
        label: how it is called in reports.
        node: the node.
        owner: label of the node of the main graph that it is, or that holds it in a subgraph.
    """

    label: str
    node: onnx.NodeProto
    owner: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found out about the operations of a network.

    Attributes:
        device: operation's friendly name -> device, as the target calls it; operations that nobody takes are missing.
        reason: why an operation is not on the accelerator, where that is known.
        problem: a warning when the answer was not the device's own.
    """

    device: Mapping[str, str]
    reason: Mapping[str, str]
    problem: Problem | None = None


def verdict(model: Model, options: OpenVinoOptions, *, threads: int) -> Support:
    """Where each node of the model goes.

    The ONNX front end says what can be converted; then the device is asked, if it is here, or its stand-in; for an
    FPGA that is not here, its table of layers.
    """
    proto = load(model.path, weights=False)
    rows = list(_rows(proto.graph))
    accelerator = options.wanted.accelerator
    problems = tuple(_signature_problems(model.signature, options.wanted))
    if problems:
        return _nobody(rows, accelerator, problems, _legalization(model.signature))
    if "FPGA" in options.wanted.families and "QuantizeLinear" in operators(proto):
        problems = (_quantized_for_fpga(),)
    try:
        network = read(model)
    except ModelError as error:
        return _unconverted(rows, accelerator, model.signature, str(error.__cause__ or error.message))
    answer = _ask(network, options, threads=threads)
    placed = tuple(_placements(rows, _operations(network, rows), answer, accelerator))
    if answer.problem:
        problems = (*problems, answer.problem)
    if refused := [row for row in placed if row.device is None]:
        reasons = "; ".join(dict.fromkeys(row.reason or "" for row in refused))
        problems = (*problems, Problem(reasons, tuple(row.node for row in refused), _device_fix(options)))
    return Support(placed, accelerator, problems)


def _rows(graph: onnx.GraphProto) -> Iterator[Row]:
    """All nodes: those of subgraphs follow the node that holds them."""
    for index, node in enumerate(graph.node):
        label = node_label(node, index)
        yield Row(label, node, label)
        for inner in subgraphs(node):
            for row in _rows(inner):
                yield Row(row.label, row.node, label)


def _signature_problems(signature: Signature, device: Device) -> Iterator[Problem]:
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype in _NO_TENSOR:
            yield Problem(
                f"OpenVINO takes no {spec.dtype} tensor in or out, such as {spec.name!r}",
                fix="convert before and after the model; inside of it such types are fine",
            )
    wants_fixed = [name for name in device.families if name in _FIXED_SHAPES]
    dynamic = [name for name in signature.symbols if name not in signature.dims or not _is_single(signature.dims[name])]
    if wants_fixed and dynamic:
        undeclared = [name for name in dynamic if name not in signature.dims]
        yield Problem(
            f"{wants_fixed[0]} takes fixed shapes only; dynamic here: {', '.join(dynamic)}",
            fix=f"declare [model.dims.{undeclared[0]}]" if undeclared else "`specialize` fixes them at `opt`",
        )


def _is_single(size: DimRange) -> bool:
    """A range of one size is fixed when the engine is built."""
    return size.min == size.max


def _legalization(signature: Signature) -> Legalization | None:
    """Fix every dimension at the size to tune for, where the user has said which that is."""
    if not signature.symbols or any(name not in signature.dims for name in signature.symbols):
        return None
    return Legalization("specialize", {"dims": {name: signature.dims[name].opt for name in signature.symbols}})


def _quantized_for_fpga() -> Problem:
    return Problem(
        "the FPGA takes float networks and quantizes by its architecture file: Q/DQ keeps layers off it",
        fix="use a recipe without quantization for this target",
        severity="warn",
    )


def _nobody(
    rows: Sequence[Row], accelerator: str, problems: tuple[Problem, ...], legalize: Legalization | None
) -> Support:
    reason = problems[0].reason
    placed = tuple(Placement(row.label, row.node.op_type, None, reason) for row in rows)
    return Support(placed, accelerator, problems, legalize)


def _unconverted(rows: Sequence[Row], accelerator: str, signature: Signature, text: str) -> Support:
    """The front end refuses: the nodes that it names, or all of an operator that it does not know."""
    found = list(blames(text)) or [Blame(f"OpenVINO refuses the model: {boiled_down(text)}", op_type="")]
    reasons = {row.label: blame.reason for blame in found for row in rows if _is_blamed(row.node, blame)}
    placed = tuple(
        Placement(row.label, row.node.op_type, None, reasons[row.label])
        if row.label in reasons
        else Placement(row.label, row.node.op_type, accelerator)
        for row in rows
    )
    problems = tuple(
        Problem(blame.reason, tuple(row.label for row in rows if _is_blamed(row.node, blame)), _fix(blame, signature))
        for blame in found
    )
    # An operator that is unknown stays unknown at any size.
    curable = all(blame.node for blame in found)
    return Support(placed, accelerator, problems, _legalization(signature) if curable else None)


def _is_blamed(node: onnx.NodeProto, blame: Blame) -> bool:
    if blame.node is not None:
        return blame.node == node.name or blame.node in node.output
    domain = "" if node.domain == "ai.onnx" else node.domain
    return (node.op_type, domain) == (blame.op_type, blame.domain)


def _fix(blame: Blame, signature: Signature) -> str:
    if not blame.node:
        return "export with standard operators, or keep this part outside of the model"
    scalars = [spec.name for spec in signature.inputs if not spec.shape]
    if scalars:
        return f'fix the setting: {{ use = "specialize", inputs = {{ {scalars[0]} = ... }} }} in the recipe'
    return "fix the shapes: `specialize` with `dims` removes what depends on them"


def _ask(network: Any, options: OpenVinoOptions, *, threads: int) -> Answer:
    """Ask the device, or its stand-in, or the table."""
    wanted, used = options.wanted, options.used
    everything = {op.get_friendly_name(): wanted.accelerator for op in network.get_ops()}
    off = predicted(network, wanted)
    if off:
        fallback = wanted.families[-1]
        everything |= dict.fromkeys(off, fallback if fallback != wanted.accelerator else "")
    try:
        core = new_core(options, threads=threads)
        asked = core.query_model(network, "CPU" if used.mode == "AUTO" else str(used))
    except (DeviceError, RuntimeError) as error:
        why = error.message if isinstance(error, DeviceError) else boiled_down(str(error))
        return Answer(_taken(everything), off, _not_asked(wanted, why))
    if options.stand_in is not None:
        known = {name: device for name, device in everything.items() if name in asked}
        why = f"{options.stand_in} stands in for it"
        return Answer(_taken(known), off, _not_asked(wanted, why))
    if used.mode == "AUTO":
        return Answer(dict.fromkeys(asked, wanted.accelerator), {})
    return Answer({name: device.partition(".")[0] for name, device in asked.items()}, {})


def _taken(devices: Mapping[str, str]) -> dict[str, str]:
    return {name: device for name, device in devices.items() if device}


def _not_asked(wanted: Device, why: str) -> Problem:
    told = "its published table of layers" if wanted.accelerator == "FPGA" else "no more than what can be converted"
    return Problem(
        f"what {wanted.accelerator} takes was not asked of it but is {told}: {why}",
        fix=f"run `edgetool check` on the machine that has the {wanted.accelerator}",
        severity="warn",
    )


def _device_fix(options: OpenVinoOptions) -> str:
    if options.wanted.mode is None:
        return f"let the CPU take what {options.device} does not: device = 'HETERO:{options.device},CPU'"
    return "replace these operators, or keep this part outside of the model"


def _operations(network: Any, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Label of a node of the main graph -> friendly names of the operations that compute it.

    Most operations are called like the node or, where they compute an output of the graph, like the tensor. Those
    that a node is broken down into have its name with a suffix, or a made-up one: they belong to whoever they feed.
    """
    by_name: dict[str, str] = {}
    for row in rows:
        if row.label == row.owner:
            by_name.update(dict.fromkeys(filter(None, (row.node.name, *row.node.output)), row.label))
    owners: dict[str, str | None] = {}
    found: dict[str, list[str]] = {}
    for op in reversed(network.get_ordered_ops()):
        name = op.get_friendly_name()
        owner = by_name.get(name) or by_name.get(name.rpartition("/")[0])
        if owner is None and op.get_type_name() not in ("Parameter", "Result"):
            users = (target.get_node().get_name() for output in op.outputs() for target in output.get_target_inputs())
            owner = next(filter(None, (owners.get(user) for user in users)), None)
        owners[op.get_name()] = owner
        if owner is not None and op.get_type_name() != "Constant":
            found.setdefault(owner, []).append(name)
    return found


def _placements(
    rows: Iterable[Row], operations: Mapping[str, list[str]], answer: Answer, accelerator: str
) -> Iterator[Placement]:
    for row in rows:
        names = operations.get(row.owner, [])
        devices = [answer.device.get(name) for name in names]
        elsewhere = [(name, device) for name, device in zip(names, devices, strict=True) if device != accelerator]
        if not elsewhere:
            yield Placement(row.label, row.node.op_type, accelerator)
            continue
        name, device = next(((n, d) for n, d in elsewhere if d is None), elsewhere[0])
        reason = answer.reason.get(name, f"{accelerator} does not take {row.node.op_type}")
        yield Placement(row.label, row.node.op_type, device, reason)
