"""Opens a .pt2 file: a program of torch.export, which knows its inputs and the ranges of their sizes itself."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.errors import ConfigError, ModelError
from edgetool.importers.base import ImportRequest
from edgetool.signature import Dim, DimRange, TensorSpec
from edgetool_torch.calling import Calling, Constant, Slot
from edgetool_torch.guards import is_plain_guard, witnesses
from edgetool_torch.network import Network, check_inputs, fix_single_sizes
from edgetool_torch.quiet import quiet
from edgetool_torch.reasons import blame, in_names, worded
from edgetool_torch.vetting import vet

_UNBOUNDED = 1 << 30
"""Sizes above are what torch.export writes for "no upper limit"."""


def open_program(path: Path, request: ImportRequest, *, trusted: bool) -> Network:
    """Load a .pt2 archive as a network.

    Args:
        path: the archive.
        request: inputs and ranges that the user declared; without inputs the program's own are taken, its sizes called
            `batch` where they are a first dimension and `INPUT_AXIS` elsewhere.
        trusted: load it even if that executes code.

    Raises:
        ModelError: `unsafe-exported-program`, `unreadable-torch-file`, `narrow-exported-program`.
        ConfigError: `inputs-mismatch`.
    """
    program = _load(path, trusted=trusted)
    placeholders = _placeholders(program)
    calling = _calling(program)
    own = {
        name: placeholders[node].meta["val"]
        for name, node in zip(calling.input_order, _user_inputs(program), strict=True)
    }
    symbols = _symbol_names(own)
    if request.inputs:
        check_inputs(request.inputs, request.dims)
        calling = _renamed(calling, request.inputs, path)
        _check_declared(request, own, program, path)
        specs, wanted = request.inputs, dict(request.dims)
    else:
        specs = tuple(_spec(name, value, symbols) for name, value in own.items())
        allowed = {
            symbols[str(dim)]: limits(program, dim)
            for value in own.values() for dim in value.shape if not isinstance(dim, int)
        }  # fmt: skip
        wanted = {name: request.dims.get(name) or have.range() for name, have in allowed.items()}
        for name, have in allowed.items():
            _check_range(name, wanted[name], have, path)
        check_inputs(specs, wanted)
    fixed, dims = fix_single_sizes(specs, wanted)
    _check_guards(program, calling, fixed, dims, path)
    module = program.module(check_guards=False)
    return Network(module, "program", fixed, dims, calling, program)


def _check_guards(
    program: Any, calling: Calling, specs: tuple[TensorSpec, ...], dims: Mapping[str, DimRange], path: Path
) -> None:
    """What was true when the program was exported must be true of all declared sizes: nobody can look it up later."""
    names = calling.by_parameter({spec.name: spec.name for spec in specs})
    for broken in witnesses(program._guards_code, names, specs, dims)[:1]:
        raise ModelError(
            "narrow-exported-program",
            f"{path.name} was exported for sizes with {in_names(broken.guard, specs)}, "
            f"which is not so at {worded(broken.sizes)}",
            where="[model.dims]",
            hint="export it again so that this size is not special, or declare ranges without it",
        )


def _load(path: Path, *, trusted: bool) -> Any:
    import torch

    try:
        with quiet(), path.open("rb") as file:
            if not trusted:
                vet(path)
            program = torch.export.load(file)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModelError):
            raise
        text, _ = blame(error)
        if isinstance(error, zipfile.BadZipFile):
            text = "the archive is damaged"
        raise ModelError(
            "unreadable-torch-file",
            f"cannot be loaded: {text}",
            where=str(path),
            hint="it may be damaged, made by another PyTorch, or need a library of custom operators: export it again",
        ) from error
    # PyTorch compiles these texts; keep those that are comparisons of sizes and nothing else.
    program._guards_code = [text for text in program._guards_code if is_plain_guard(text)]
    return program


def _placeholders(program: Any) -> dict[str, Any]:
    return {node.name: node for node in program.graph.nodes if node.op == "placeholder"}


def _user_inputs(program: Any) -> list[str]:
    return [name for name in program.graph_signature.user_inputs if isinstance(name, str)]


def _calling(program: Any) -> Calling:
    """The call as the program's author made it: nested arguments get dotted names."""
    from torch.utils import _pytree

    signature = program.module_call_graph[0].signature
    flat = [name if isinstance(name, str) else Constant(name) for name in program.graph_signature.user_inputs]
    positional, keyword = _pytree.tree_unflatten(flat, program.call_spec.in_spec)
    names = list(signature.forward_arg_names or []) or [f"arg{index}" for index in range(len(positional))]
    return Calling(
        positional=tuple((name, _slot(tree, name)) for name, tree in zip(names, positional, strict=False)),
        keyword=tuple((name, _slot(tree, name)) for name, tree in keyword.items()),
    )


def _slot(tree: Any, path: str) -> Slot:
    if isinstance(tree, Constant):
        return tree
    if isinstance(tree, dict):
        return {key: _slot(member, f"{path}.{key}") for key, member in tree.items()}
    if isinstance(tree, (list, tuple)):
        return tuple(_slot(member, f"{path}.{index}") for index, member in enumerate(tree))
    return path


def _renamed(calling: Calling, declared: tuple[TensorSpec, ...], path: Path) -> Calling:
    """The call with the declared names in place of the program's: by name, or else in order."""
    own, names = calling.input_order, [spec.name for spec in declared]
    if set(own) == set(names):
        return calling
    if len(own) != len(names) or set(own) & set(names):
        raise ConfigError(
            "inputs-mismatch",
            f"the inputs of {path.name} are {', '.join(own)}, declared are {', '.join(names)}",
            where="[model.inputs]",
            hint="declare each input of the program under its name, or all of them in order under new names",
        )
    new = dict(zip(own, names, strict=True))
    return Calling(
        tuple((name, _rename(slot, new)) for name, slot in calling.positional),
        (),
        tuple((name, _rename(slot, new)) for name, slot in calling.keyword),
    )


def _rename(slot: Slot, new: Mapping[str, str]) -> Slot:
    if isinstance(slot, str):
        return new[slot]
    if isinstance(slot, tuple):
        return tuple(_rename(member, new) for member in slot)
    return slot if isinstance(slot, Constant) else {key: _rename(member, new) for key, member in slot.items()}


def _spec(name: str, value: Any, symbols: Mapping[str, str]) -> TensorSpec:
    shape: tuple[Dim, ...] = tuple(dim if isinstance(dim, int) else symbols[str(dim)] for dim in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)


def _symbol_names(own: Mapping[str, Any]) -> dict[str, str]:
    """The program's symbols (s77, ...) and the names that they get."""
    names: dict[str, str] = {}
    for name, value in own.items():
        for axis, dim in enumerate(value.shape):
            if not isinstance(dim, int) and str(dim) not in names:
                first = axis == 0 and "batch" not in names.values()
                names[str(dim)] = "batch" if first else f"{name}_{axis}"
    return names


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program allows a size to be; `high` is None when there is no upper limit."""

    low: int
    high: int | None
    example: int

    def range(self) -> DimRange:
        """An open end becomes twice the example's size: what is claimed must be proven."""
        top = max(2 * self.example, self.low) if self.high is None else self.high
        return DimRange(self.low, min(max(self.example, self.low), top), top)

    def __str__(self) -> str:
        if self.low == self.high:
            return f"fixed at {self.low}"
        return f"limited to {self.low} and more" if self.high is None else f"limited to {self.low}..{self.high}"


def limits(program: Any, size: Any) -> Limits:
    """What a program allows one of its sizes, symbolic or not, to be.

    torch.export treats 0 and 1 as special and writes 2 as the lower limit of everything: that is no limit.
    """
    if isinstance(size, int):
        return Limits(size, size, size)
    expression = size.node.expr
    found = program.range_constraints.get(expression)
    if found is None:
        found = size.node.shape_env.bound_sympy(expression)
    low = 1 if int(found.lower) <= 2 else int(found.lower)
    bounded = str(found.upper).isdigit() and int(found.upper) < _UNBOUNDED
    return Limits(low, int(found.upper) if bounded else None, size.node.hint or low)


def _check_declared(request: ImportRequest, own: Mapping[str, Any], program: Any, path: Path) -> None:
    names = [spec.name for spec in request.inputs]
    ordered = [own[name] for name in names] if set(names) == set(own) else list(own.values())
    for wanted, value in zip(request.inputs, ordered, strict=True):
        found = _spec(wanted.name, value, {str(dim): str(dim) for dim in value.shape})
        if len(wanted.shape) != len(found.shape) or wanted.dtype != found.dtype:
            raise ConfigError(
                "inputs-mismatch",
                f"input {wanted} is {found} in {path.name}",
                where=f"[model.inputs.{wanted.name}]",
                hint="declare it as the program has it, or leave [model.inputs] out",
            )
        for axis, (dim, size) in enumerate(zip(wanted.shape, value.shape, strict=True)):
            if isinstance(dim, int) and isinstance(size, int) and dim != size:
                raise ConfigError(
                    "inputs-mismatch",
                    f"size {dim} is declared where {path.name} has {size}",
                    where=f"[model.inputs.{wanted.name}] shape, axis {axis}",
                    hint="declare it as the program has it",
                )
            if isinstance(dim, str):
                _check_range(dim, request.dims[dim], limits(program, size), path)


def _check_range(name: str, want: DimRange, have: Limits, path: Path) -> None:
    if want.min < have.low or (have.high is not None and want.max > have.high):
        raise ModelError(
            "narrow-exported-program",
            f"dimension {name!r} was {have} when {path.name} was exported; declared is {want.min}..{want.max}",
            where=f"[model.dims.{name}]",
            hint="export it again with dynamic_shapes for this dimension, or declare the narrower range",
        )
