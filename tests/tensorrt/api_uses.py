"""Which attributes of TensorRT's Python interface the plugin uses, read from its source, and for which releases."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "plugins" / "edgetool_tensorrt"

RTX = "RTX 1.7"
RELEASES = ("8.6", "10.3", "10.16", "11.4", RTX)
_FROM_10 = ("10.3", "10.16", "11.4", RTX)

MEANT_FOR: dict[str, tuple[str, ...]] = {
    "session.py": RELEASES,
    "gpu_runner.py": RELEASES,
    "rejections.py": _FROM_10,
    "listeners.py:make_log": RELEASES,
    "listeners.py:make_monitor": _FROM_10,
    "listeners.py:make_writer": (RTX,),
    "local/builder.py": RELEASES[:-1],
    "local/timing.py": RELEASES[:-1],
    "local/dialect.py": RELEASES[:-1],
    "local/majors.py": RELEASES[:-1],
    "local/runner.py": RELEASES[:-1],
    "local/eight.py": ("8.6",),
    "local/weak.py": ("8.6", "10.3", "10.16"),
    "local/ten.py": ("10.3", "10.16"),
    "local/eleven.py": ("11.4",),
    "rtx/": (RTX,),
}
"""The releases that a file, a function of it, or a folder has to run with; the longest key that fits counts."""

_CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "error": "ParserError",
    "tensor": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "kernels": "IRuntimeCache",
}
"""What the plugin calls an object, and the class that it is of."""
_CLASSES_IN = {"rtx/runner.py": {"config": "IRuntimeConfig"}}
_MODULE = "trt"
_BY_NAME = ("DETAILED", "LAYER_NAMES_ONLY", "NONE")  # of ProfilingVerbosity, looked up by the option's value
_OTHER_LIBRARIES = ("cuda.py",)


@dataclass(frozen=True, slots=True)
class Use:
    """One attribute in the source.

    Attributes:
        member: `Builder`, or `Builder.create_network`.
        where: file and line.
        releases: that it is meant for; empty where no entry of `MEANT_FOR` fits.
    """

    member: str
    where: str
    releases: tuple[str, ...]


def uses() -> Iterator[Use]:
    """Every use in the plugin."""
    for path in sorted(PLUGIN.rglob("*.py")):
        name = path.relative_to(PLUGIN).as_posix()
        if name in _OTHER_LIBRARIES:
            continue
        for function in _functions(ast.parse(path.read_text())):
            scope = _Scope(function, {**_CLASSES, **_CLASSES_IN.get(name, {})})
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and (member := scope.member(node)):
                    yield Use(member, f"{name}:{node.lineno}", _releases(name, function.name))
    for verbosity in _BY_NAME:
        yield Use(f"ProfilingVerbosity.{verbosity}", "options.py", RELEASES)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions and methods, but not those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        else:
            yield from _functions(node)


def _releases(file: str, function: str) -> tuple[str, ...]:
    keys = [
        key
        for key in MEANT_FOR
        if f"{file}:{function}" == key or file == key or (key.endswith("/") and file.startswith(key))
    ]
    return MEANT_FOR[max(keys, key=len)] if keys else ()


@dataclass
class _Scope:
    """A function, and which of its names are native objects: parameters that are `Any`, and what is made of them."""

    function: ast.FunctionDef
    classes: dict[str, str]
    native: set[str] = field(init=False)

    def __post_init__(self) -> None:
        arguments = [*self.function.args.args, *self.function.args.kwonlyargs]
        self.native = {
            argument.arg
            for argument in arguments
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any"
        }
        for _ in range(2):  # what is assigned from what was assigned
            for node in ast.walk(self.function):
                if isinstance(node, (ast.Assign, ast.comprehension)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    value = node.value if isinstance(node, ast.Assign) else node.iter
                    if any(self._is_native(part) for part in ast.walk(value)):
                        self.native |= {name.id for t in targets for name in ast.walk(t) if isinstance(name, ast.Name)}

    def member(self, node: ast.Attribute) -> str | None:
        """`Class.attribute` where the attribute is one of a native object or class."""
        receiver = node.value
        if self._is_module(receiver):
            return node.attr
        if isinstance(receiver, ast.Attribute) and self._is_module(receiver.value):
            return f"{receiver.attr}.{node.attr}"
        name = _last(receiver)
        kind = self.classes.get(name.removeprefix("_")) if name else None
        return f"{kind}.{node.attr}" if kind and self._is_native(receiver) else None

    def _is_module(self, node: ast.AST) -> bool:
        return (_last(node) or "").removeprefix("_") == _MODULE

    def _is_native(self, node: ast.AST) -> bool:
        if self._is_module(node):
            return True
        if isinstance(node, ast.Name):
            return node.id in self.native
        if isinstance(node, ast.Attribute):
            of_session = _last(node.value) == "session" and node.attr in self.classes
            of_itself = _last(node.value) == "self" and node.attr.removeprefix("_") in self.classes
            return of_session or of_itself
        return False


def _last(node: ast.AST) -> str | None:
    """The last name in `a.b.c`."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
