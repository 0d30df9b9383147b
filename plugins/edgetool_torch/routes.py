"""The exporters, each a way from a network to an ONNX graph, in the order in which they are tried."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool_torch.feeds import Sizes
from edgetool_torch.guards import witnesses
from edgetool_torch.network import Form, Network
from edgetool_torch.outputs import flatten
from edgetool_torch.program import limits
from edgetool_torch.quiet import quiet, quiet_native_stderr
from edgetool_torch.reasons import blame, is_users

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

DEFAULT_OPSET = 20
LOWEST_EXPORT_OPSET = 18
"""Below, the torch.export based exporter gives 18 without a word."""


class RejectedError(Exception):
    """A route did not lead to a right model: the reason, and the user's line to blame where there is one."""

    def __init__(self, reason: str, where: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.where = where


@dataclass(frozen=True)
class Export:
    """What an exporter gave.

    Attributes:
        model: the graph; names and dimensions are still the exporter's.
        witnesses: sizes that the exporter assumed never to occur, although they are declared: to be proven as well.
        assumptions: lines of the user's code (`file:line`) whose outcome was fixed as it was for the example.
    """

    model: ir.Model
    witnesses: tuple[Sizes, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What a route is to export.

    Attributes:
        network: the network.
        example: tensors to trace with.
        outputs: natural names of the outputs.
        opset: wanted opset.
        scratch: an existing folder for files of the way; it is emptied by the caller.
        value_reads: gives the lines where values of tensors decide in Python (see `Eager.value_reads`).
    """

    network: Network
    example: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    opset: int
    scratch: Path
    value_reads: Callable[[], tuple[str, ...]]


@dataclass(frozen=True)
class Route:
    """One way. `export` raises `RejectedError` when it does not lead to a graph.

    Attributes:
        name: as it is called in reports.
        forms: of network that can take it.
        export: takes it.
        keeps_recurrence: recurrent layers stay what they are.
    """

    name: str
    forms: tuple[Form, ...]
    export: Callable[[Job], Export]
    keeps_recurrence: bool = False


def routes_for(network: Network) -> tuple[Route, ...]:
    """The routes that a network can take, best first.

    torch.export unrolls recurrent layers: one node becomes thousands, for one length only. The TorchScript exporter
    keeps them as the LSTM, GRU or RNN that they are, so it comes first for networks that have any.
    """
    fitting = [route for route in ROUTES if network.form in route.forms]
    if _is_recurrent(network.module):
        fitting.sort(key=lambda route: not route.keeps_recurrence)
    return tuple(fitting)


def _is_recurrent(module: torch.nn.Module) -> bool:
    import torch

    return any(
        isinstance(part, torch.nn.RNNBase) or getattr(part, "original_name", None) in ("LSTM", "GRU", "RNN")
        for part in module.modules()
    )


def _through_export(job: Job) -> Export:
    """torch.export, whose constraints show narrowed dimensions, then its program to ONNX."""
    import torch

    network = job.network
    positional, keyword = network.calling.arguments(job.example)
    with _rejecting(network):
        program = torch.export.export(
            network.module, positional, keyword, dynamic_shapes=_dynamic_shapes(network), strict=False
        )
    return _program_to_onnx(program, job)


def _stored_program(job: Job) -> Export:
    """The .pt2 itself to ONNX."""
    return _program_to_onnx(job.network.program, job)


def _through_converter(job: Job) -> Export:
    """TorchScript to a torch.export program, then to ONNX."""
    from torch._export.converter import TS2EPConverter

    positional, keyword = job.network.calling.arguments(job.example)
    with _rejecting(job.network):
        program = TS2EPConverter(job.network.module, positional, keyword).convert()
    return _program_to_onnx(program, job)


def _program_to_onnx(program: Any, job: Job) -> Export:
    import torch

    found = _check_program(program, job.network)
    with _rejecting(job.network):
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, opset_version=max(job.opset, LOWEST_EXPORT_OPSET), f=None
        )
    return Export(made.model, found)


def _through_dynamo(job: Job) -> Export:
    """The torch.export based exporter with its own ways to capture a network."""
    import torch

    network = job.network
    positional, keyword = network.calling.arguments(job.example)
    with _rejecting(network):
        made = torch.onnx.export(
            network.module,
            positional,
            kwargs=keyword,
            dynamo=True,
            verbose=False,
            dynamic_shapes=_dynamic_shapes(network),
            opset_version=max(job.opset, LOWEST_EXPORT_OPSET),
        )
    return Export(made.model, _check_program(made.exported_program, network))


def _through_tracing(job: Job) -> Export:
    """The TorchScript exporter: no symbolic sizes, so what Python decides is decided once, as for the example."""
    import onnx_ir as ir
    import torch

    network = job.network
    order = network.calling.input_order
    module, arguments = _traceable(network, [job.example[name] for name in order])
    path = job.scratch / "traced.onnx"
    with _without_graph_dump(), _rejecting(network) as caught:
        torch.onnx.export(
            module,
            tuple(arguments),
            str(path),
            dynamo=False,
            input_names=list(order),
            output_names=list(job.outputs),
            dynamic_axes=_dynamic_axes(network),
            opset_version=job.opset,
        )
    decided = [row for row in caught if _is_decision(row)]
    if decided and network.form == "module" and (reads := job.value_reads()):
        raise RejectedError(
            "tracing keeps only the path that the example takes: a value of a tensor decides in Python", reads[0]
        )
    lines = {f"{row.filename}:{row.lineno}": None for row in decided if is_users(row.filename)}
    return Export(ir.load(path), assumptions=tuple(lines))


ROUTES = (
    Route("torch.export", ("module",), _through_export),
    Route("exported-program", ("program",), _stored_program),
    Route("torchscript-converter", ("torchscript",), _through_converter),
    Route("dynamo", ("module", "program"), _through_dynamo),
    Route("torchscript", ("module", "torchscript"), _through_tracing, keeps_recurrence=True),
)


@contextmanager
def _rejecting(network: Network) -> Iterator[list[warnings.WarningMessage]]:
    """Silences an exporter, keeps its warnings, and turns whatever it raises into a `RejectedError`."""
    with quiet() as caught:
        try:
            yield caught
        except Exception as error:  # exporters run the user's code and raise anything themselves
            text, where = blame(error, network.specs)
            raise RejectedError(text, where) from error


@contextmanager
def _without_graph_dump() -> Iterator[None]:
    """The TorchScript exporter writes its whole graph to the terminal when it fails, past Python's streams."""
    import torch

    torch._C._jit_set_onnx_log_output_stream("stderr")
    try:
        with quiet_native_stderr():
            yield
    finally:
        torch._C._jit_set_onnx_log_output_stream("stdout")


def _check_program(program: Any, network: Network) -> tuple[Sizes, ...]:
    """Reject a program with fewer sizes than declared; return the sizes that its guards exclude.

    Raises:
        RejectedError: a declared dimension is fixed or narrowed.
    """
    values = _input_values(program)
    for spec, value in zip(_ordered_specs(network), values, strict=False):
        for axis, (dim, size) in enumerate(zip(spec.shape, value.shape, strict=True)):
            if not isinstance(dim, str):
                continue
            wanted, have = network.dims[dim], limits(program, size)
            if wanted.min < have.low or (have.high is not None and wanted.max > have.high):
                raise RejectedError(
                    f"dimension {dim!r} ({spec.name}, axis {axis}) is {have}, declared is {wanted.min}..{wanted.max}"
                )
    names = network.calling.by_parameter({spec.name: spec.name for spec in network.specs})
    return tuple(row.sizes for row in witnesses(program._guards_code, names, network.specs, network.dims))


def _input_values(program: Any) -> list[Any]:
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [nodes[name].meta["val"] for name in program.graph_signature.user_inputs if name in nodes]


def _ordered_specs(network: Network) -> list[Any]:
    by_name = {spec.name: spec for spec in network.specs}
    return [by_name[name] for name in network.calling.input_order]


def _dynamic_shapes(network: Network) -> dict[str, Any]:
    """Per parameter what is dynamic, with its range.

    `Dim.DYNAMIC` and not a named `Dim`: named ones refuse sizes that must be multiples of something. Sizes start at 2
    for torch.export, so that a range of 1..2 would be a single size to it.
    """
    import torch

    dynamic = torch.export.Dim.DYNAMIC
    shapes = {
        spec.name: {
            axis: dynamic(min=network.dims[dim].min, max=max(network.dims[dim].max, 3))
            for axis, dim in enumerate(spec.shape)
            if isinstance(dim, str)
        }
        for spec in network.specs
    }
    return network.calling.by_parameter(shapes)


def _dynamic_axes(network: Network) -> dict[str, dict[int, str]]:
    axes = {
        spec.name: {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)} for spec in network.specs
    }
    return {name: named for name, named in axes.items() if named}


def _traceable(network: Network, tensors: Sequence[torch.Tensor]) -> tuple[Any, Sequence[torch.Tensor]]:
    """The network as a function of a flat list of tensors, which is all that tracing understands."""
    import torch

    if network.calling.is_plain or network.form == "torchscript":
        return network.module, tensors
    order = network.calling.input_order

    class Flat(torch.nn.Module):  # type: ignore[misc] # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            positional, keyword = network.calling.arguments(dict(zip(order, tensors, strict=True)))
            return tuple(tensor for _, tensor in flatten(self.network(*positional, **keyword)))

    return Flat().eval(), tensors


def _is_decision(row: warnings.WarningMessage) -> bool:
    """True for a warning that Python decided something outside of PyTorch's own layers, which decide on sizes only."""
    import torch

    inside = str(Path(torch.__file__).parent)
    return issubclass(row.category, torch.jit.TracerWarning) and not row.filename.startswith(inside)
