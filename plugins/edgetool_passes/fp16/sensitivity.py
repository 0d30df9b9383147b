"""Measures how much of each layer's result 16 bits leave, on the user's samples.

Each layer is computed twice in one run of the reference runtime: as it is, and with its inputs, its weights and its
result rounded to 16 bits. Both read the float32 network's tensors, so that a layer answers for its own error only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.context import PassContext
from edgetool.disk import scratch_folder
from edgetool_passes.fp16.plan import HalfPlan, is_float
from edgetool_passes.fp16.ranges import needs_probe
from edgetool_passes.fp16.weights import as_half

if TYPE_CHECKING:
    import onnx_ir as ir

_SIGNAL, _ERROR = "edgetool_signal_", "edgetool_error_"


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What was measured.

    Attributes:
        decibel: by node's first output: 10 log10 of the result's energy over the error's; infinite without an error.
        samples: how many were run.
    """

    decibel: Mapping[str, float]
    samples: int

    def worst(self, count: int) -> tuple[str, ...]:
        """The outputs of so many nodes that lose most, the worst first."""
        return tuple(sorted(self.decibel, key=lambda name: (self.decibel[name], name))[:count])


def measure(graph: ir.Model, plan: HalfPlan, context: PassContext, *, samples: int) -> Sensitivity:
    """Run the samples through a network that also computes every layer of the plan in 16 bits.

    Args:
        graph: the float model that the plan was made for; not modified.
        plan: which nodes get 16 bits.
        context: lends the reference runtime and the samples; there must be some.
        samples: how many to run at most.

    Raises:
        EdgetoolError: whatever the reference runtime raises when a sample does not suit the model.
    """
    from edgetool.graph.streaming import save_ir

    assert context.calibration is not None
    probe = graph.clone()
    names = _Twins(probe, plan).add()
    signal, error = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    total, done = min(samples, context.calibration.count), 0
    with scratch_folder("edgetool-sensitivity") as folder:
        twins = folder / "twins.onnx"
        save_ir(probe, twins)
        del probe
        with context.open_reference(twins) as runner:
            for feeds in itertools.islice(context.calibration, samples):
                results = runner.infer(feeds)
                for number, name in enumerate(names):
                    signal[name] += float(results[f"{_SIGNAL}{number}"])
                    error[name] += float(results[f"{_ERROR}{number}"])
                done += 1
                context.progress(done, total, "samples for sensitivity")
    return Sensitivity({name: _decibel(signal[name], error[name]) for name in names}, done)


def _decibel(signal: float, error: float) -> float:
    if not error:
        return math.inf
    return 10 * math.log10(signal / error) if signal else -math.inf


class _Twins:
    """Adds the rounded twin of each node of the main graph, and the energies of both results."""

    def __init__(self, model: ir.Model, plan: HalfPlan) -> None:
        self._graph = model.graph
        self._form = plan.form
        self._ports = {node.outputs[0].name: ports for node, ports in plan.ports.items()}
        self._rounded: dict[ir.Value, ir.Value] = {}

    def add(self) -> list[str]:
        """Outputs that are measured, in the order of the numbers in the names of the energies."""
        names: list[str] = []
        for node in list(self._graph):
            result = node.outputs[0]
            ports = self._ports.get(result.name)
            if ports is None or not needs_probe(node) or not is_float(result) or not ports.outputs[0]:
                continue
            half = self._twin(node, ports.inputs)
            self._expose(f"{_SIGNAL}{len(names)}", self._energy(result))
            self._expose(f"{_ERROR}{len(names)}", self._energy(self._append("Sub", [result, half])))
            names.append(str(result.name))
        return names

    def _twin(self, node: ir.Node, ports: tuple[bool, ...]) -> ir.Value:
        import onnx_ir as ir

        inputs = [
            self._round(value) if value is not None and port and is_float(value) else value
            for port, value in zip(ports, node.inputs, strict=True)
        ]
        twin = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs))
        for mine, its in zip(twin.outputs, node.outputs, strict=True):
            mine.dtype = its.dtype
        self._graph.append(twin)
        return self._through_half(twin.outputs[0])

    def _round(self, value: ir.Value) -> ir.Value:
        """The value as 16 bits hold it, in float32."""
        import onnx_ir as ir

        if value not in self._rounded:
            if value.is_initializer() and value.const_value is not None:
                name = f"edgetool_rounded_{len(self._rounded)}"
                half = as_half(value.const_value, name, self._form).numpy().astype("float32")
                rounded = ir.Value(name=name, const_value=ir.tensor(half, name=name))
                self._graph.register_initializer(rounded)
            else:
                rounded = self._through_half(value)
            self._rounded[value] = rounded
        return self._rounded[value]

    def _through_half(self, value: ir.Value) -> ir.Value:
        import onnx_ir as ir

        half = self._append("Cast", [value], [ir.AttrInt64("to", int(self._form.dtype))])
        half.dtype = self._form.dtype
        return self._append("Cast", [half], [ir.AttrInt64("to", int(ir.DataType.FLOAT))])

    def _energy(self, value: ir.Value) -> ir.Value:
        import onnx_ir as ir

        return self._append("ReduceSumSquare", [value], [ir.AttrInt64("keepdims", 0)])

    def _append(self, op_type: str, inputs: list[ir.Value], attributes: list[ir.Attr] | None = None) -> ir.Value:
        import onnx_ir as ir

        node = ir.Node("", op_type, inputs, attributes or [])
        node.outputs[0].dtype = ir.DataType.FLOAT
        self._graph.append(node)
        return node.outputs[0]

    def _expose(self, name: str, value: ir.Value) -> None:
        import onnx_ir as ir

        value.name, value.shape = name, ir.Shape([])
        self._graph.outputs.append(value)
