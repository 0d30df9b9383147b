"""`specialize`: fix dynamic dimensions and scalar inputs, then fold what became constant.

For runtimes without dynamic shapes or control flow. With the sampling rate fixed, say, an `If` on it has a constant
condition, and only the branch that runs stays.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.errors import ModelError
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})


class SpecializeOptions(PassOptions):
    """What to fix."""

    dims: Mapping[str, int] = Field(default_factory=dict, description="Size of each symbolic dimension to fix.")
    inputs: Mapping[str, bool | int | float] = Field(
        default_factory=dict, description="Value of each input to fix; the input disappears from the model."
    )


class Specialize(Pass[SpecializeOptions]):
    """A model for one size and one setting."""

    Options = SpecializeOptions
    revision = 1
    changes_signature = True

    def check(self, model: Model) -> tuple[Problem, ...]:
        signature = model.signature
        if not self.options.dims and not self.options.inputs:
            return (Problem("specialize has nothing to fix", fix="set `dims` or `inputs`"),)
        problems = [
            Problem(f"no input has a dimension {name!r}", fix=_choices(name, signature.symbols))
            for name in self.options.dims
            if name not in signature.symbols
        ]
        problems += [
            Problem(f"dimension {name!r} cannot be {size}", fix="give a size of 1 or more")
            for name, size in self.options.dims.items()
            if size < 1
        ]
        specs = {spec.name: spec for spec in signature.inputs}
        for name, value in self.options.inputs.items():
            if name not in specs:
                problems.append(Problem(f"the model has no input {name!r}", fix=_choices(name, specs)))
            elif reason := _misfit(specs[name], value, self.options.dims):
                problems.append(Problem(f"input {name!r} cannot be fixed to {value!r}: {reason}"))
        return tuple(problems)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Fix, fold, and write the smaller model.

        Raises:
            ModelError: `cannot-specialize` when the graph contradicts the fixed sizes.
        """
        import onnx_ir.passes

        from edgetool.graph.fold import fold, infer_shapes
        from edgetool.graph.signature import read_model
        from edgetool.graph.streaming import load_ir, save_ir

        graph = load_ir(model.path)
        before = _branches(graph)
        _fix_dims(graph, model.signature, self.options.dims)
        _fix_inputs(graph, self.options.inputs)
        try:
            fold(graph)
        except onnx_ir.passes.PassError as error:
            raise ModelError(
                "cannot-specialize",
                f"folding failed once the sizes were fixed: {error.__cause__ or error}",
                where=str(model.path),
                hint="check that the network takes the sizes in `dims`",
            ) from error
        _open_outputs(graph)
        infer_shapes(graph)
        target = workdir / "model.onnx"
        save_ir(graph, target)
        left = sorted({node.op_type for node in graph.graph.all_nodes() if node.op_type in _CONTROL_FLOW})
        facts: dict[str, JsonValue] = {
            "fixed_dims": dict(self.options.dims),
            "fixed_inputs": dict(self.options.inputs),
            "subgraphs_before": before,
            "subgraphs_after": _branches(graph),
            "control_flow_left": list(left),
        }
        if left:
            context.note(f"control flow remains after specialize: {', '.join(left)}")
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)


def _fix_dims(model: ir.Model, signature: Signature, sizes: Mapping[str, int]) -> None:
    """Write the sizes wherever the symbols occur; nameless input axes are found by the names that we gave them."""
    import onnx_ir as ir

    specs = {spec.name: spec for spec in signature.inputs}
    for value in _values(model):
        if value.shape is None:
            continue
        spec = specs.get(value.name or "")
        names = spec.shape if spec is not None else [_symbol(dim) for dim in value.shape]
        if any(name in sizes for name in names if isinstance(name, str)):
            fixed = [
                sizes.get(name, dim) if isinstance(name, str) else dim
                for name, dim in zip(names, value.shape, strict=True)
            ]
            value.shape = ir.Shape(fixed)


def _symbol(dim: object) -> str | None:
    return getattr(dim, "value", None) if not isinstance(dim, int) else None


def _values(model: ir.Model) -> Iterable[ir.Value]:
    yield from model.graph.inputs
    for node in model.graph.all_nodes():
        yield from node.outputs


def _fix_inputs(model: ir.Model, values: Mapping[str, bool | int | float]) -> None:
    """Turn inputs into initializers."""
    import numpy as np
    import onnx_ir as ir

    graph = model.graph
    for value in [value for value in graph.inputs if value.name in values]:
        assert value.dtype is not None and value.shape is not None  # `check` saw the signature
        filled = np.full(value.shape.numpy(), values[value.name or ""], dtype=value.dtype.numpy())
        graph.inputs.remove(value)
        value.const_value = ir.Tensor(filled, name=value.name)
        graph.register_initializer(value)


def _open_outputs(model: ir.Model) -> None:
    """Forget the symbols of the outputs, so that inference can put sizes there."""
    import onnx_ir as ir

    for value in model.graph.outputs:
        if value.shape is not None:
            value.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in value.shape])


def _branches(model: ir.Model) -> int:
    return sum(1 for _ in model.graph.subgraphs())


def _misfit(spec: TensorSpec, value: bool | int | float, dims: Mapping[str, int]) -> str | None:
    """Why this input cannot take this value, or None."""
    import numpy as np

    if any(not isinstance(dim, int) and dim not in dims for dim in spec.shape):
        return f"its shape {spec} is not fixed; fix its dimensions too"
    kind = np.dtype(spec.dtype).kind if spec.dtype not in ("string", "bfloat16") else "?"
    if kind == "b" and not isinstance(value, bool):
        return "it wants true or false"
    if kind in "iu":
        limits = np.iinfo(spec.dtype)
        if isinstance(value, bool) or value != int(value) or not limits.min <= value <= limits.max:
            return f"it wants {spec.dtype}"
    if kind == "f" and isinstance(value, bool):
        return f"it wants {spec.dtype}"
    return None if kind in "biuf" else f"{spec.dtype} inputs cannot be fixed"


def _choices(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"There are {', '.join(map(repr, names))}." if names else "There are none."
