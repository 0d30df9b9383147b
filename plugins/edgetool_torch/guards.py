"""Reads the guards of a torch.export program: what it assumed about sizes, and the sizes that would break it.

Guards are texts of Python such as `L['x'].size()[0] != 3`. They may come from a file, so they are parsed and
evaluated here, never compiled.
"""

from __future__ import annotations

import ast
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgetool.signature import DimRange, TensorSpec
from edgetool_torch.feeds import Sizes

Path: TypeAlias = tuple[str | int, ...]
"""An argument: parameter name, then keys into its structure."""

SizeOf: TypeAlias = Callable[[Path, int], int]
"""Size of an argument's axis."""

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}  # fmt: skip
_COMPARISON: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: operator.not_}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"Max": max, "Min": min, "max": max, "min": min, "abs": abs}
_MOST_COMBINATIONS = 4096
_MOST_WITNESSES = 6


class UnknownGuardError(ValueError):
    """A guard says something else than a comparison of sizes."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One assumption; `axes` are the sizes that it speaks of."""

    text: str
    axes: tuple[tuple[Path, int], ...]
    holds: Callable[[SizeOf], bool]


def parse_guard(text: str) -> Guard:
    """Understand one guard.

    Raises:
        UnknownGuardError: it is something else than arithmetic over sizes.
    """
    axes: list[tuple[Path, int]] = []
    try:
        evaluate = _compile(ast.parse(text.strip(), mode="eval").body, axes)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UnknownGuardError(text) from error
    return Guard(text, tuple(dict.fromkeys(axes)), lambda size_of: bool(evaluate(size_of)))


def is_plain_guard(text: str) -> bool:
    """True when `parse_guard` understands it."""
    try:
        parse_guard(text)
    except UnknownGuardError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Witness:
    """Declared sizes at which a guard does not hold."""

    guard: str
    sizes: Sizes


def witnesses(
    texts: Sequence[str], names: Mapping[str, Any], specs: Sequence[TensorSpec], dims: Mapping[str, DimRange]
) -> tuple[Witness, ...]:
    """Where declared sizes break guards: the places to look whether the program is wrong there.

    A broken guard does not prove a program wrong (many only keep memory layouts), but nothing else can be.

    Args:
        texts: guards of the program.
        names: the inputs' names arranged as the arguments are, by parameter.
        specs: the declared inputs.
        dims: declared ranges.

    Returns:
        The first sizes that break each guard, for at most six guards.
    """
    shapes = {spec.name: spec.shape for spec in specs}
    found: list[Witness] = []
    for text in texts:
        try:
            guard = parse_guard(text)
            symbols = {shapes[_at(names, path)][axis] for path, axis in guard.axes}
        except (UnknownGuardError, KeyError, IndexError, TypeError):
            continue
        varying = [name for name in dims if name in symbols]
        broken = (sizes for sizes in _combinations(varying, dims) if _is_broken(guard, names, shapes, sizes))
        found += [Witness(text, sizes) for sizes in itertools.islice(broken, 1)]
    return tuple(found[:_MOST_WITNESSES])


def _is_broken(guard: Guard, names: Mapping[str, Any], shapes: Mapping[str, Any], sizes: Sizes) -> bool:
    def size_of(path: Path, axis: int) -> int:
        dim = shapes[_at(names, path)][axis]
        return dim if isinstance(dim, int) else sizes[dim]

    try:
        return not guard.holds(size_of)
    except ZeroDivisionError:
        return True


def _combinations(varying: Sequence[str], dims: Mapping[str, DimRange]) -> Iterator[Sizes]:
    """All sizes of some dimensions, thinned out when there are too many; the others at their tuned size."""
    most = max(2, int(_MOST_COMBINATIONS ** (1 / max(1, len(varying)))))
    axes = [_spread(dims[name], most) for name in varying]
    tuned = {name: wanted.opt for name, wanted in dims.items()}
    for values in itertools.product(*axes) if varying else ():
        yield tuned | dict(zip(varying, values, strict=True))


def _spread(wanted: DimRange, most: int) -> Sequence[int]:
    count = wanted.max - wanted.min + 1
    step = -(-count // most)
    return sorted({*range(wanted.min, wanted.max + 1, step), wanted.max})


def _at(names: Any, path: Path) -> str:
    for key in path:
        names = names[key]
    if not isinstance(names, str):
        raise KeyError(path)
    return names


def _compile(node: ast.expr, axes: list[tuple[Path, int]]) -> Callable[[SizeOf], Any]:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        value = node.value
        return lambda size_of: value
    if isinstance(node, ast.Subscript):
        path, axis = _size(node)
        axes.append((path, axis))
        return lambda size_of: size_of(path, axis)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        apply, left, right = _BINARY[type(node.op)], _compile(node.left, axes), _compile(node.right, axes)
        return lambda size_of: apply(left(size_of), right(size_of))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        change, operand = _UNARY[type(node.op)], _compile(node.operand, axes)
        return lambda size_of: change(operand(size_of))
    if isinstance(node, ast.BoolOp):
        members = [_compile(member, axes) for member in node.values]
        combine = all if isinstance(node.op, ast.And) else any
        return lambda size_of: combine(member(size_of) for member in members)
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARISON for op in node.ops):
        terms = [_compile(term, axes) for term in (node.left, *node.comparators)]
        tests = [_COMPARISON[type(op)] for op in node.ops]
        return lambda size_of: all(
            test(left(size_of), right(size_of))
            for test, (left, right) in zip(tests, itertools.pairwise(terms), strict=True)
        )
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and not node.keywords
    ):
        function, arguments = _FUNCTIONS[node.func.id], [_compile(argument, axes) for argument in node.args]
        return lambda size_of: function(*(argument(size_of) for argument in arguments))
    raise ValueError(ast.dump(node))


def _size(node: ast.Subscript) -> tuple[Path, int]:
    """`L['x'][0].size()[1]` -> ("x", 0), 1"""
    call = node.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "size"):
        raise ValueError(ast.dump(node))
    axis = _key(node.slice)
    if call.args or call.keywords or not isinstance(axis, int):
        raise ValueError(ast.dump(node))
    path: list[str | int] = []
    owner = call.func.value
    while isinstance(owner, ast.Subscript):
        path.insert(0, _key(owner.slice))
        owner = owner.value
    if not (isinstance(owner, ast.Name) and owner.id == "L" and path):
        raise ValueError(ast.dump(node))
    return tuple(path), axis


def _key(node: ast.expr) -> str | int:
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int)):
        return node.value
    raise ValueError(ast.dump(node))
