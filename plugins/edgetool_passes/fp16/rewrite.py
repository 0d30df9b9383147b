"""Carries out a plan: 16 bits where it says so, with casts wherever the two precisions meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_passes.fp16.form import Form
from edgetool_passes.fp16.plan import HalfPlan, is_float
from edgetool_passes.fp16.weights import MASK_FILL, Fate, as_half, clamped

if TYPE_CHECKING:
    import onnx_ir as ir

_MASKING = frozenset({"Add", "Mul", "Sub", "Where"})


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What was done.

    Attributes:
        casts: how many Cast nodes were put in.
        clamped: names of constants that were moved into the range of 16 bits.
    """

    casts: int
    clamped: tuple[str, ...]


def rewrite(model: ir.Model, plan: HalfPlan, *, keep_io: bool) -> Rewritten:
    """Change the model in place.

    Subgraphs take part, but what crosses their borders stays float32, as does what crosses the model's if `keep_io`.

    Args:
        model: with dtypes inferred, the one that the plan was made for.
        plan: what gets 16 bits, and of which form.
        keep_io: keep float32 inputs and outputs as they are.
    """
    return _Rewrite(model, plan, keep_io=keep_io).run()


class _Rewrite:
    """One rewrite: who is stored how, and the casts and constants made so far."""

    def __init__(self, model: ir.Model, plan: HalfPlan, *, keep_io: bool) -> None:
        self._model = model
        self._plan = plan
        self._keep_io = keep_io
        self._graphs = (model.graph, *model.graph.subgraphs())
        self._names = {value.name for graph in self._graphs for value in _values(graph)}
        self._floats = {value for graph in self._graphs for value in _values(graph) if is_float(value)}
        self._halves = {
            value
            for node, ports in plan.ports.items()
            for port, value in zip(ports.outputs, node.outputs, strict=True)
            if port and value in self._floats
        }
        if not keep_io:
            self._halves.update(value for value in model.graph.inputs if value in self._floats)
        self._casts: dict[ir.Value, ir.Value] = {}
        self._constants: dict[ir.Value, ir.Value] = {}
        self._clamped: dict[ir.Value, ir.Value] = {}

    def run(self) -> Rewritten:
        for graph in self._graphs:
            for node in list(graph):
                self._rewrite_inputs(node)
        for value in self._halves:
            value.dtype = self._plan.form.dtype
        for node, ports in self._plan.ports.items():
            if any(port and value in self._halves for port, value in zip(ports.outputs, node.outputs, strict=True)):
                _retarget(node, self._plan.form)
        self._rewrite_outputs()
        self._drop_unread()
        names = tuple(sorted(value.name or "" for value in self._clamped))
        return Rewritten(len(self._casts), names)

    def _rewrite_inputs(self, node: ir.Node) -> None:
        ports = self._plan.ports.get(node)
        for index, value in enumerate(node.inputs):
            if value is None or value not in self._floats:
                continue
            half = ports is not None and ports.inputs[index]
            used = self._as(value, half=half)
            if not half and node.op_type in _MASKING and self._plan.fates.get(value) is Fate.CLAMP:
                used = self._masked(value)
            if used is not value:
                node.replace_input_with(index, used)

    def _as(self, value: ir.Value, *, half: bool) -> ir.Value:
        """The value in the wanted precision."""
        if value.is_initializer():
            return self._constant(value) if half else value
        if (value in self._halves) == half:
            return value
        if value not in self._casts:
            self._casts[value] = self._cast(value, half=half)
        return self._casts[value]

    def _cast(self, value: ir.Value, *, half: bool) -> ir.Value:
        """A Cast right behind the value's producer: where the value is visible, so is its cast."""
        import onnx_ir as ir

        dtype = self._plan.form.dtype if half else ir.DataType.FLOAT
        name = self._free_name(f"{value.name}_{self._suffix(half=half)}")
        result = ir.Value(name=name, type=ir.TensorType(dtype), shape=value.shape)
        node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(dtype))], outputs=[result], name=f"{name}/Cast")
        producer = value.producer()
        if producer is not None:
            producer.append(node)
            return result
        graph = value.graph
        assert graph is not None  # it is a graph's input, or it would have a producer
        if len(graph):
            graph.insert_before(graph[0], node)
        else:
            graph.append(node)
        return result

    def _constant(self, value: ir.Value) -> ir.Value:
        """A 16-bit copy of an initializer."""
        import onnx_ir as ir

        if value not in self._constants:
            assert value.const_value is not None and value.graph is not None
            form = self._plan.form
            name = self._free_name(f"{value.name}_{form.suffix}")
            half = ir.Value(name=name, type=ir.TensorType(form.dtype), shape=value.shape)
            half.const_value = as_half(value.const_value, name, form)
            value.graph.register_initializer(half)
            self._constants[value] = half
            if self._plan.fates.get(value) is Fate.CLAMP:
                self._clamped.setdefault(value, half)
        return self._constants[value]

    def _masked(self, value: ir.Value) -> ir.Value:
        """A float32 mask fill that is still finite after a later cast to 16 bits."""
        import onnx_ir as ir

        assert value.const_value is not None and value.graph is not None
        if abs(value.const_value.numpy()).max(initial=0) < MASK_FILL:
            return value
        known = self._clamped.get(value)
        if known is None or known.dtype != ir.DataType.FLOAT:
            name = self._free_name(f"{value.name}_clamped")
            known = ir.Value(name=name, type=value.type, shape=value.shape)
            known.const_value = clamped(value.const_value, name)
            value.graph.register_initializer(known)
            self._clamped[value] = known
        return known

    def _rewrite_outputs(self) -> None:
        """What leaves a graph: float32 out of subgraphs, and out of the model as `keep_io` wants."""
        for graph in self._graphs:
            half = graph is self._model.graph and not self._keep_io
            for index, value in enumerate(graph.outputs):
                if value not in self._floats or value.is_initializer():
                    continue
                used = self._as(value, half=half)
                if used is value:
                    continue
                graph.outputs[index] = used
                if graph is self._model.graph:
                    wanted = value.name
                    value.name = self._free_name(f"{wanted}_{self._suffix(half=not half)}")
                    used.name = wanted

    def _drop_unread(self) -> None:
        """Remove float32 initializers that nobody reads any more; their 16-bit copies take over the names."""
        for value, copy in (*self._constants.items(), *self._clamped.items()):
            graph = value.graph
            if graph is None or value.uses() or value in graph.outputs or copy.name is None or value.name is None:
                continue
            name = value.name
            del graph.initializers[name]
            graph.initializers.pop(copy.name)
            copy.name = name
            graph.register_initializer(copy)

    def _suffix(self, *, half: bool) -> str:
        return self._plan.form.suffix if half else "fp32"

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]


def _retarget(node: ir.Node, form: Form) -> None:
    """Attributes that say which dtype comes out."""
    import onnx_ir as ir

    if node.op_type == "Cast":
        node.attributes["to"] = ir.AttrInt64("to", int(form.dtype))
    elif node.op_type == "ConstantOfShape":
        value = node.attributes.get("value")
        tensor = value.as_tensor() if value is not None else ir.tensor([0.0], dtype=ir.DataType.FLOAT)
        node.attributes["value"] = ir.AttrTensor("value", as_half(tensor, tensor.name or "", form))
