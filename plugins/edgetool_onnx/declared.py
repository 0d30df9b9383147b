"""Holds what targets.toml declares about inputs and outputs against the graph, and writes it into the graph."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgetool.errors import ConfigError, ModelError
from edgetool.graph.element import element
from edgetool.importers.base import ImportRequest
from edgetool.signature import Dim, Signature, TensorSpec

if TYPE_CHECKING:
    import onnx


def declare(model: onnx.ModelProto, request: ImportRequest, *, where: str) -> bool:
    """Check the declarations and apply them: names of dimensions, fixed sizes, choice and order of outputs.

    Args:
        model: changed in place.
        request: what the user declared.
        where: the file, for messages about it.

    Returns:
        True when the model changed.

    Raises:
        ConfigError: `unknown-input`, `missing-input`, `input-mismatch`, `unknown-output`.
        ModelError: `frozen-dimension`: declared dynamic, but fixed in the file.
    """
    changed = False
    if request.inputs:
        changed |= _declare_inputs(model, request.inputs, where)
    if request.outputs:
        changed |= _declare_outputs(model, request.outputs, where)
    return changed


def check_dimensions(signature: Signature, request: ImportRequest) -> None:
    """Every declared range must belong to a dimension of an input.

    Raises:
        ConfigError: `unknown-dimension`.
    """
    for name in request.dims:
        if name not in signature.symbols:
            raise ConfigError(
                "unknown-dimension",
                f"no input has a dimension {name!r}",
                where=f"[model.dims.{name}]",
                hint=_choices(name, signature.symbols)
                + f" The inputs are {'; '.join(str(spec) for spec in signature.inputs)}.",
            )


def _declare_inputs(model: onnx.ModelProto, wanted: Sequence[TensorSpec], where: str) -> bool:
    stored = {tensor.name for tensor in model.graph.initializer}
    values = {value.name: value for value in model.graph.input if value.name not in stored}
    for spec in wanted:
        if spec.name not in values:
            raise ConfigError(
                "unknown-input",
                f"the model has no input {spec.name!r}",
                where=f"[model.inputs.{spec.name}]",
                hint=_choices(spec.name, values),
            )
    for name in values:
        if name not in {spec.name for spec in wanted}:
            raise ConfigError(
                "missing-input",
                f"the model has an input {name!r} that is not declared",
                where="[model.inputs]",
                hint=f"add [model.inputs.{name}], or declare no input at all",
            )
    renames: dict[str, Dim] = {}
    changed = False
    for spec in wanted:
        changed |= _declare_input(values[spec.name], spec, renames, where)
    return _rename(model.graph, renames) or changed


def _declare_input(value: onnx.ValueInfoProto, spec: TensorSpec, renames: dict[str, Dim], where: str) -> bool:
    tensor = value.type.tensor_type
    table = f"[model.inputs.{spec.name}]"
    dtype = element(tensor.elem_type, where=f"{where}: {spec.name}").name
    if dtype != spec.dtype:
        raise ConfigError(
            "input-mismatch",
            f"declared as {spec.dtype}, but the model wants {dtype}",
            where=table,
            hint=f'Write dtype = "{dtype}".',
        )
    if not tensor.HasField("shape"):
        for _ in spec.shape:
            tensor.shape.dim.add()
    if len(tensor.shape.dim) != len(spec.shape):
        raise ConfigError(
            "input-mismatch",
            f"declared with {len(spec.shape)} dimensions, but the model wants {len(tensor.shape.dim)}",
            where=table,
            hint=f"in the file it is {_shown(value)}",
        )
    changed = False
    for axis, (dim, declared) in enumerate(zip(tensor.shape.dim, spec.shape, strict=True)):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            _require_equal(dim.dim_value, declared, axis, table, value, where)
        elif dim.dim_param:
            if renames.setdefault(dim.dim_param, declared) != declared:
                raise ConfigError(
                    "input-mismatch",
                    f"axis {axis} is declared as {declared!r}, but the model ties it to an axis declared as "
                    f"{renames[dim.dim_param]!r} (both are {dim.dim_param!r} in the file)",
                    where=table,
                    hint="declare both alike",
                )
        elif declared is not None:
            _set(dim, declared)
            changed = True
    return changed


def _require_equal(size: int, declared: Dim, axis: int, table: str, value: onnx.ValueInfoProto, where: str) -> None:
    if declared == size or declared is None:
        return
    if isinstance(declared, int):
        raise ConfigError(
            "input-mismatch",
            f"axis {axis} is declared as {declared}, but the model has {size}",
            where=table,
            hint=f"in the file it is {_shown(value)}",
        )
    raise ModelError(
        "frozen-dimension",
        f"{declared!r} is declared dynamic, but axis {axis} of input {value.name!r} is fixed to {size} in the file",
        where=where,
        hint=f"export with a dynamic axis {axis}, or declare the size {size}",
    )


def _rename(graph: onnx.GraphProto, renames: dict[str, Dim]) -> bool:
    """Give the file's symbolic dimensions their declared names or sizes, wherever they occur."""
    effective = {old: new for old, new in renames.items() if new is not None and new != old}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in effective:
                _set(dim, effective[dim.dim_param])
    return bool(effective)


def _set(dim: onnx.TensorShapeProto.Dimension, declared: Dim) -> None:
    if isinstance(declared, int):
        dim.dim_value = declared
    elif declared is not None:
        dim.dim_param = declared


def _declare_outputs(model: onnx.ModelProto, wanted: Sequence[str], where: str) -> bool:
    values = {value.name: value for value in model.graph.output}
    for name in wanted:
        if name not in values:
            raise ConfigError(
                "unknown-output",
                f"the model has no output {name!r}",
                where="[model] outputs",
                hint=_choices(name, values),
            )
    if list(wanted) == list(values):
        return False
    chosen = [type(values[name]).FromString(values[name].SerializeToString()) for name in wanted]
    del model.graph.output[:]
    model.graph.output.extend(chosen)
    return True


def _shown(value: onnx.ValueInfoProto) -> str:
    dims = (
        dim.dim_param or (str(dim.dim_value) if dim.HasField("dim_value") else "?")
        for dim in value.type.tensor_type.shape.dim
    )
    return f"{value.name}[{', '.join(dims)}]"


def _choices(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"There are {', '.join(map(repr, names))}." if names else "There are none."
