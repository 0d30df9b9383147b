"""The one place that calls the generator: a cheap question whether it takes a model, and the C itself."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.errors import UnavailableError
from edgetool_c.names import SafeModel

if TYPE_CHECKING:
    import onnx

_NODE = re.compile(r"node_index=\d+, op_type=\w+, name=(?P<node>\w+)")
_CONTEXT = re.compile(r"\s*\((?:while lowering|during \w+ for) node_index=.*", re.DOTALL)

# What the generator lets through from its own code and from onnx, besides its own errors, which are RuntimeErrors.
_FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why the generator does not take a model.

    Attributes:
        reason: its own words, in one line, without its internals.
        node: new name of the node to blame; None when it does not say.
    """

    reason: str
    node: str | None


def known_operators() -> frozenset[str]:
    """Standard operators that it has a template for; `Constant` and control flow are resolved before."""
    _load()
    from emx_onnx_cgen.lowering import load_lowering_registry
    from emx_onnx_cgen.lowering.registry import get_lowering_registry

    load_lowering_registry()
    return frozenset(get_lowering_registry()) | {"Constant", "If"}


def objection(model: SafeModel) -> Objection | None:
    """What it has against the model, found by everything short of writing the C: milliseconds, not seconds."""
    import onnx

    try:
        _compiler("any").shape_inference_report(model.proto)
    except (*_FAILURES, onnx.checker.ValidationError) as error:
        return _objection(error)
    return None


def generate(proto: onnx.ModelProto, function: str) -> str | Objection:
    """The C source of a model with safe names, weights included, or why there is none."""
    import onnx

    try:
        source: str = _compiler(function).compile(proto)
    except (*_FAILURES, onnx.checker.ValidationError) as error:
        return _objection(error)
    return source


@functools.lru_cache(maxsize=4)
def _compiler(function: str) -> Any:
    """A compiler keeps nothing of a model but reads its 169 templates once, which takes it a second."""
    load = _load()
    # 0 means: never a weights file that would be read at run time, never a buffer from the heap.
    return load.Compiler(
        load.CompilerOptions(model_name=function, large_weight_threshold=0, large_temp_threshold_bytes=0)
    )


def _load() -> Any:
    try:
        import emx_onnx_cgen.compiler as compiler
    except ImportError as error:
        raise UnavailableError(
            "generator-missing",
            f"the C generator cannot be imported: {error}",
            hint="pip install 'edgetool[microcontroller]'",
        ) from error
    return compiler


def _objection(error: Exception) -> Objection:
    text = str(error) or type(error).__name__
    match = _NODE.search(text)
    reason = " ".join(_CONTEXT.sub("", text).split())
    return Objection(reason or type(error).__name__, match["node"] if match else None)
