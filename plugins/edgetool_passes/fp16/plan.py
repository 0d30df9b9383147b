"""Decides for each node whether it computes in 16 bits, and says why where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue
from edgetool_passes.fp16.form import BFLOAT16, FLOAT16, Form
from edgetool_passes.fp16.ranges import Ranges, needs_probe
from edgetool_passes.fp16.types import Ports, half_ports, schema_of
from edgetool_passes.fp16.weights import Fate, fate_of, scales_fit

if TYPE_CHECKING:
    import onnx_ir as ir

_BLOCKED = frozenset(
    {
        "Bernoulli", "CumSum", "EyeLike", "GridSample", "Multinomial", "NonMaxSuppression", "RandomNormal",
        "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "RoiAlign", "Upsample",
    }
)  # fmt: skip
"""They compute positions or draw numbers, where 8 or 11 bits are too few, or lack 16-bit kernels everywhere."""

_MOVING = frozenset(
    {
        "Abs", "Add", "Cast", "Ceil", "Clip", "Concat", "Cos", "Div", "Exp", "Expand", "Flatten", "Floor", "Gather",
        "Identity", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "Reciprocal", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceSum", "Reshape", "Round", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile",
        "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Operators through which positions and sizes are computed; weighted layers end such a computation."""

_EXPANDING = frozenset({"Exp", "Pow", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceSum", "ReduceSumSquare"})
"""Their results outgrow float16 most easily: float32 as long as no data shows that they do not."""

_BOUNDED = frozenset({"Sigmoid", "Softmax", "Tanh"})
_SUMMING = frozenset({"GlobalAveragePool", "ReduceMean"})
_SQUARING = frozenset({"InstanceNormalization", "GroupNormalization", "ReduceL2"})
_SMALL_PRODUCT = 1024  # elements of a constant in a MatMul that still computes positions (rotary embeddings)


@dataclass
class HalfPlan:
    """The decision.

    Attributes:
        form: the 16-bit type.
        ports: of the nodes that get 16 bits: which of their ports do.
        kept: why each other float node stays float32.
        fates: what becomes of each float32 initializer.
    """

    form: Form = FLOAT16
    ports: dict[ir.Node, Ports] = field(default_factory=dict)
    kept: dict[ir.Node, str] = field(default_factory=dict)
    fates: dict[ir.Value, Fate] = field(default_factory=dict)

    def keep(self, node: ir.Node, reason: str) -> None:
        """Leave a node in float32 after all."""
        del self.ports[node]
        self.kept[node] = reason

    def by_reason(self) -> dict[str, JsonValue]:
        """Names of the nodes that stay float32, by reason."""
        reasons: dict[str, list[JsonValue]] = {}
        for index, (node, reason) in enumerate(self.kept.items()):
            reasons.setdefault(reason, []).append(node.name or f"{node.op_type}#{index}")
        return {reason: list(names) for reason, names in sorted(reasons.items())}


def is_float(value: ir.Value | None) -> bool:
    """True for a float32 tensor."""
    import onnx_ir as ir

    return value is not None and value.dtype == ir.DataType.FLOAT and isinstance(value.type, ir.TensorType | None)


def _is_half(value: ir.Value) -> bool:
    return value.dtype in (FLOAT16.dtype, BFLOAT16.dtype)


def make_plan(
    model: ir.Model, form: Form, *, keep: Iterable[str], ranges: Ranges | None = None, limit: float | None = None
) -> HalfPlan:
    """Decide node by node.

    Args:
        model: with dtypes inferred.
        form: the 16-bit type.
        keep: names of nodes or operators that the user wants in float32; `*` and `?` match in names.
        ranges: of activations on calibration data, or None when there is none.
        limit: largest magnitude that may get 16 bits; None for a type that holds whatever float32 holds.
    """
    plan = HalfPlan(form)
    _decide_fates(model, plan)
    kept_by_user = tuple(keep)
    positions = _positions(model)
    wide = _wide_values(model, ranges, limit) if limit is not None else {}
    opsets = dict(model.opset_imports)
    for node in model.graph.all_nodes():
        if not any(map(is_float, (*node.inputs, *node.outputs))):
            continue
        ports = half_ports(node, schema_of(node, opsets), form)
        reason = (
            _kept_by_user(node, kept_by_user)
            or _unable(node, ports, form)
            or positions.get(node)
            or _too_large(node, ports, wide)
            or _overflows_inside(node, ranges, form)
            or _constant_unfit(node, ports, plan)
        )
        if reason:
            plan.kept[node] = reason
        else:
            plan.ports[node] = ports
    return plan


def probed_values(model: ir.Model) -> tuple[list[str], list[str]]:
    """Names of the values whose magnitudes are worth measuring, and of those whose sizes are."""
    names = [value.name for value in model.graph.inputs if is_float(value)]
    sized: list[str | None] = []
    for node in model.graph:
        names += [value.name for value in node.outputs if is_float(value) and needs_probe(node)]
        if node.op_type in _SUMMING and node.inputs[0] is not None and is_float(node.inputs[0]):
            sized += [node.inputs[0].name, node.outputs[0].name]
    return [name for name in names if name], [name for name in sized if name]


def _decide_fates(model: ir.Model, plan: HalfPlan) -> None:
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if is_float(value) and value.const_value is not None:
                readers = frozenset(node.op_type for node in value.consumers())
                plan.fates[value] = fate_of(value.const_value, readers, plan.form)


def _kept_by_user(node: ir.Node, keep: tuple[str, ...]) -> str | None:
    named = node.op_type in keep or any(fnmatchcase(node.name or "", pattern) for pattern in keep)
    return "asked for" if named else None


def _unable(node: ir.Node, ports: Ports, form: Form) -> str | None:
    """Why this operator cannot, or should never, have 16 bits."""
    if node.op_type in _BLOCKED and not node.domain:
        return "operator stays float32"
    if node.op_type == "Cast" and node.inputs[0] is not None and _is_half(node.inputs[0]) != _is_half(node.outputs[0]):
        return "already casts to or from 16 bits"
    floats = [index for index, value in enumerate(node.inputs) if is_float(value)]
    able = any(ports.inputs[index] for index in floats)
    able = able or any(port and is_float(value) for port, value in zip(ports.outputs, node.outputs, strict=True))
    if not able:
        return f"operator has no {form.name} form in this opset"
    if any(value is not None and value.name and value.dtype is None for value in (*node.inputs, *node.outputs)):
        return "types are unknown here"
    return None


def _positions(model: ir.Model) -> dict[ir.Node, str]:
    """Nodes that compute positions, sizes or indices in float: from wide integers, or towards integers."""
    found: dict[ir.Node, str] = {}
    exact: set[ir.Value] = set()
    for node in model.graph.all_nodes():
        if _is_from_wide_integer(node) or _only_moves(node, exact):
            found[node] = "computes with integers"
            exact.update(node.outputs)
    for node in model.graph.all_nodes():
        if node.op_type == "Cast" and is_float(node.inputs[0]) and _is_wide_integer(node.outputs[0]):
            _mark_ancestors(node, found)
        elif node.op_type in ("Range", "Resize", "Upsample"):
            for value in node.inputs[1:] if node.op_type != "Range" else node.inputs:
                if is_float(value) and value is not None and value.producer() is not None:
                    _mark_ancestors(value.producer(), found)
    return found


def _is_wide_integer(value: ir.Value) -> bool:
    """Integers beyond 2048 do not fit float16, those beyond 256 not bfloat16; int8 and uint8 all do."""
    import onnx_ir as ir

    wide = ("INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64")
    return value.dtype in {ir.DataType[name] for name in wide}


def _is_from_wide_integer(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    return node.op_type == "Cast" and source is not None and _is_wide_integer(source) and is_float(node.outputs[0])


def _only_moves(node: ir.Node, exact: set[ir.Value]) -> bool:
    floats = [value for value in node.inputs if value is not None and is_float(value)]
    if not any(value in exact for value in floats):
        return False
    others = [value for value in floats if value not in exact]
    if any(value.const_value is None for value in others):
        return False
    if node.op_type == "MatMul":
        return all(value.const_value is not None and value.const_value.size <= _SMALL_PRODUCT for value in others)
    return node.op_type in _MOVING


def _mark_ancestors(node: ir.Node | None, found: dict[ir.Node, str]) -> None:
    waiting = [node] if node is not None else []
    while waiting:
        current = waiting.pop()
        if current in found or current.op_type not in _MOVING:
            continue
        found[current] = "computes positions or sizes"
        for value in current.inputs:
            producer = value.producer() if value is not None and is_float(value) else None
            if producer is not None:
                waiting.append(producer)


def _wide_values(model: ir.Model, ranges: Ranges | None, limit: float) -> Mapping[ir.Value, str]:
    """Values that do not fit float16, with the reason; what only moves such values around does not fit either."""
    peaks = ranges.peaks if ranges is not None else {}
    wide: dict[ir.Value, str] = {}
    for value in model.graph.inputs:
        if peaks.get(value.name or "", 0.0) > limit:
            wide[value] = _reaches(peaks[value.name or ""])
    for node in model.graph.all_nodes():
        for value in filter(is_float, node.outputs):
            if value.name in peaks:
                if peaks[value.name] > limit:
                    wide[value] = _reaches(peaks[value.name])
            elif not needs_probe(node):
                carried = [wide[source] for source in node.inputs if source is not None and source in wide]
                if carried and node.op_type not in _BOUNDED:
                    wide[value] = carried[0]
            elif _is_expanding(node):
                wide[value] = "may overflow, and no data shows that it does not"
    return wide


def _reaches(peak: float) -> str:
    return f"reaches {peak:.3g} on calibration data"


def _is_expanding(node: ir.Node) -> bool:
    square = node.op_type == "Mul" and len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]
    return square or node.op_type in _EXPANDING


def _too_large(node: ir.Node, ports: Ports, wide: Mapping[ir.Value, str]) -> str | None:
    for port, value in (*zip(ports.inputs, node.inputs, strict=True), *zip(ports.outputs, node.outputs, strict=True)):
        if port and value is not None and value in wide:
            return wide[value]
    return None


def _overflows_inside(node: ir.Node, ranges: Ranges | None, form: Form) -> str | None:
    """Sums and squares that the operator forms on the way, though its results may be small."""
    source = node.inputs[0] if node.inputs else None
    if ranges is None or source is None or source.name not in ranges.peaks:
        return None
    peak = ranges.peaks[source.name]
    if node.op_type in _SUMMING and ranges.sizes.get(node.outputs[0].name or ""):
        terms = ranges.sizes.get(source.name, 0) / ranges.sizes[node.outputs[0].name or ""]
        if peak * terms > form.largest:
            return f"sums {terms:.0f} values of up to {peak:.3g}"
    if node.op_type in _SQUARING and peak * peak > form.largest:
        return f"squares values of up to {peak:.3g}"
    return None


def _constant_unfit(node: ir.Node, ports: Ports, plan: HalfPlan) -> str | None:
    form = plan.form
    for port, value in zip(ports.inputs, node.inputs, strict=True):
        if port and value is not None and plan.fates.get(value) is Fate.FLOAT:
            return f"constant {value.name} does not fit {form.name} ({form.smallest:.1e} to {form.largest:.3g})"
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _scale_unfit(node.inputs[1], form)
    return None


def _scale_unfit(scale: ir.Value | None, form: Form) -> str | None:
    """A scale that loses bits takes the meaning of the quantized values with it."""
    if scale is None or scale.const_value is None:
        return "its scale is computed"
    if scales_fit(scale.const_value, form):
        return None
    return f"its scale {float(abs(scale.const_value.numpy()).min()):.1e} does not fit {form.name}"
