"""Reads a .pt2 archive before PyTorch does and refuses what would execute code while it is loaded.

A program of torch.export needs no Python of its author's, but its loader trusts the archive: tensors and sample
inputs may be arbitrary pickles, sizes are expressions that sympy evaluates, operators are attribute paths below
`torch`, and compiled parts are shared libraries. An archive that torch.export.save wrote has none of that.
"""

from __future__ import annotations

import ast
import io
import json
import operator
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgetool.errors import ModelError

_OPERATOR = re.compile(r"torch\.ops\.(?P<namespace>[A-Za-z]\w*)\.\w+(?:\.\w+)?")
_SYMBOLIC = re.compile(r"torch\.sym_\w+|torch\._sym_\w+|math\.[a-z]\w*")
_ARITHMETIC = frozenset(
    {"add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "pos", "abs", "eq", "ne", "lt", "le", "gt", "ge",
     "and_", "or_", "xor", "not_", "invert", "lshift", "rshift", "getitem"}
)  # fmt: skip
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_SYMPY = frozenset(
    {"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs", "floor", "ceiling",
     "Eq", "Ne", "Equality", "Unequality", "StrictLessThan", "StrictGreaterThan", "LessThan", "GreaterThan", "And",
     "Or", "Not", "Piecewise", "ExprCondPair", "true", "false", "True", "False", "int_oo", "oo"}
)  # fmt: skip
_CUSTOM_OBJECTS = ("custom_obj_", "opaque_obj_")


def vet(path: Path) -> None:
    """Refuse an archive whose loading would execute code.

    Raises:
        ModelError: `unsafe-exported-program`, naming the member and what is wrong with it.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        # PyTorch's reader takes either of two members whose names differ in case only.
        if len({name.lower() for name in names}) < len(names):
            raise _unsafe(path, "its directory", "two members under one name, of which only one can be looked at")
        for name in names:
            inner = name.lower().partition("/")[2]
            if inner.startswith("data/aotinductor/"):
                raise _unsafe(path, name, "compiled code")
            if inner.startswith("models/"):
                _vet_program(path, name, json.loads(archive.read(name)))
            elif inner.startswith("data/sample_inputs/") or inner in _LEGACY_TENSORS:
                _vet_pickle(path, name, archive.read(name))
            elif inner.startswith(("data/weights/", "data/constants/")) and inner.endswith(".json"):
                folder = name.rpartition("/")[0]
                for pickled in _pickled(path, name, json.loads(archive.read(name))):
                    _vet_pickle(path, pickled, archive.read(f"{folder}/{pickled}"))


_LEGACY_TENSORS = ("data/weights/model.pt", "data/constants/model.pt")


def _unsafe(path: Path, member: str, what: str) -> ModelError:
    return ModelError(
        "unsafe-exported-program",
        f"loading it would run code that its author chose: {what}",
        where=f"{path}: {member}",
        hint="export it again with torch.export.save from a source you trust, or pass --trust-source",
    )


def _pickled(path: Path, member: str, config: Any) -> Iterator[str]:
    for entry in config["config"].values():
        if str(entry["path_name"]).startswith(_CUSTOM_OBJECTS):
            raise _unsafe(path, member, f"the pickled object {entry['path_name']}")
        if entry["use_pickle"]:
            yield entry["path_name"]


def _vet_pickle(path: Path, member: str, content: bytes) -> None:
    import pickle

    import torch

    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise _unsafe(path, member, "a pickle of more than tensors") from error


def _vet_program(path: Path, member: str, program: Any) -> None:
    for key, text in _strings(program):
        if key == "expr_str" and not is_plain_expression(text):
            raise _unsafe(path, member, f"the size {text[:80]!r}")
        if key == "target" and not _is_operator(text):
            raise _unsafe(path, member, f"the operator {text[:80]!r}")


def _strings(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, dict):
        for name, member in tree.items():
            yield from _strings(member, name)
    elif isinstance(tree, list):
        for member in tree:
            yield from _strings(member, key)


def _is_operator(target: str) -> bool:
    """True for a registered operator, arithmetic on sizes, or a name without dots (a submodule of the program)."""
    import torch

    if match := _OPERATOR.fullmatch(target):
        return not hasattr(type(torch.ops), match["namespace"])
    module, _, name = target.rpartition(".")
    if module in ("_operator", operator.__name__):
        return name in _ARITHMETIC
    return _SYMBOLIC.fullmatch(target) is not None or not target.startswith(("torch", "_operator", "math", "#"))


def is_plain_expression(text: str) -> bool:
    """True for sums, products and the like over symbols: nothing that evaluating could abuse."""
    from torch.utils._sympy import functions

    known = _SYMPY | set(functions.__all__)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_plain(node, known) for node in ast.walk(tree))


def _is_plain(node: ast.AST, known: frozenset[str]) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in known
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str) or _IDENTIFIER.fullmatch(node.value) is not None
    if isinstance(node, ast.Name):
        return not node.id.startswith("__")
    return isinstance(node, _PLAIN_NODES)


_PLAIN_NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.keyword,
    ast.Load,
    ast.Tuple,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
)
