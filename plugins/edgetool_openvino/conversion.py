"""Typed ONNX into an `openvino.Model`, with the names and the shapes that the signature promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Lowering, Model
from edgetool.errors import ModelError
from edgetool.graph import load
from edgetool.graph.walk import graphs
from edgetool.signature import Dim, Signature, TensorSpec
from edgetool_openvino.lowering import lower
from edgetool_openvino.names import stable_name
from edgetool_openvino.refusal import convert_error
from edgetool_openvino.runtime import load_runtime

if TYPE_CHECKING:
    import onnx

_TOOL_TRACES = ("conversion_parameters", "Runtime_version")


def convert(model: Model, scratch: Path) -> tuple[Any, tuple[Lowering, ...]]:
    """The network in OpenVINO's own form, simplified by OpenVINO, the same for the same model wherever it lies.

    Args:
        model: the typed ONNX.
        scratch: a folder for the lowered ONNX file, if there is one; to be kept while the result is in use, because
            weights are memory-mapped.

    Raises:
        ModelError: `refused-by-openvino`.
    """
    openvino = load_runtime()
    lowerings = lower(model.path, scratch / "lowered.onnx")
    path = scratch / "lowered.onnx" if lowerings else model.path
    try:
        converted = openvino.convert_model(str(path))
    except conversion_errors(openvino) as error:
        raise convert_error(error, model.path) from error
    _fix_known_sizes(converted, model.signature)
    for trace in _TOOL_TRACES:
        if trace in converted.rt_info:
            del converted.rt_info[trace]
    _number_names(converted, _onnx_names(load(path, weights=False).graph))
    return converted, lowerings


def read(model: Model) -> Any:
    """The network as the ONNX front end gives it, one operation or more for each node, named like the node.

    Raises:
        ModelError: `refused-by-openvino`.
    """
    openvino = load_runtime()
    try:
        network = openvino.Core().read_model(str(model.path))
    except RuntimeError as error:
        raise convert_error(error, model.path) from error
    _fix_known_sizes(network, model.signature)
    return network


def conversion_errors(openvino: Any) -> tuple[type[Exception], ...]:
    """What conversion raises; these share no base but Exception."""
    frontend = openvino.frontend
    return (
        RuntimeError,
        frontend.GeneralFailure,
        frontend.InitializationFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    )


def served_signature(model: Any, signature: Signature) -> Signature:
    """The signature of the engine: sizes that the network fixes are numbers, all else is as the model declares it."""
    return Signature(
        inputs=tuple(map(_served, signature.inputs, model.inputs)),
        outputs=tuple(map(_served, signature.outputs, model.outputs)),
        dims={name: size for name, size in signature.dims.items() if size.min != size.max},
    )


def _served(spec: TensorSpec, port: Any) -> TensorSpec:
    shape = port.partial_shape
    if shape.rank.is_dynamic or len(shape) != len(spec.shape):
        return spec
    sizes: list[Dim] = [
        int(size.get_length()) if size.is_static else dim for dim, size in zip(spec.shape, shape, strict=True)
    ]
    return TensorSpec(spec.name, spec.dtype, tuple(sizes))


def _fix_known_sizes(model: Any, signature: Signature) -> None:
    """A dimension whose range is a single size becomes that size: the plan of a fixed shape is the faster one."""
    _refuse_ignored_inputs(model, signature)
    fixed = {name: size.min for name, size in signature.dims.items() if size.min == size.max}
    shapes = {}
    for spec, port in zip(signature.inputs, model.inputs, strict=True):
        if any(dim in fixed for dim in spec.shape if isinstance(dim, str)):
            shape = port.partial_shape
            for axis, dim in enumerate(spec.shape):
                if isinstance(dim, str) and dim in fixed:
                    shape[axis] = fixed[dim]
            shapes[port] = shape
    if shapes:
        model.reshape(shapes)


def _refuse_ignored_inputs(model: Any, signature: Signature) -> None:
    """The front end leaves out inputs that no computation needs: an engine would have others than the model says."""
    kept = {name for port in model.inputs for name in port.names}
    ignored = [spec.name for spec in signature.inputs if spec.name not in kept]
    if ignored:
        raise ModelError(
            "input-ignored",
            f"OpenVINO leaves out the input {', '.join(map(repr, ignored))}: nothing that it computes needs it",
            hint=f'remove it from the model, or fix it: {{ use = "specialize", inputs = {{ {ignored[0]} = ... }} }}',
        )


def _onnx_names(graph: onnx.GraphProto) -> frozenset[str]:
    named = [value.name for value in (*graph.input, *graph.initializer)]
    for inner in graphs(graph):
        for node in inner.node:
            named += [node.name, *node.output]
    return frozenset(named)


def _number_names(model: Any, known: frozenset[str]) -> None:
    """Make equal builds equal. An operation whose name is the unique one of its process was given none at all."""
    for number, op in enumerate(model.get_ordered_ops()):
        for body in _bodies(op):
            _number_names(body, known)
        name = op.get_friendly_name()
        op.set_friendly_name(stable_name(name, number, known=() if name == op.get_name() else known))


def _bodies(op: Any) -> tuple[Any, ...]:
    if op.get_type_name() == "If":
        return (op.get_then_body(), op.get_else_body())
    return (op.get_function(),) if hasattr(op, "get_function") else ()
