"""Names and order of what forward() returns, whatever structure it returns it in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch


def flatten(result: Any) -> tuple[tuple[str, torch.Tensor], ...]:
    """The tensors of a result with a name each, in the order in which exporters flatten them.

    One tensor is called `output`, those of a tuple `output_0`, `output_1`, ...; dicts, named tuples and data classes
    give their own names. None is left out, as exporters do.

    Raises:
        ModelError: `output-not-a-tensor`.
    """
    found = [(path or "output", tensor) for path, tensor in _walk(result, "")]
    if not found:
        raise ModelError("output-not-a-tensor", "forward() returns no tensor at all", hint="return tensors")
    return tuple((f"output_{path}" if path[0].isdigit() else path, tensor) for path, tensor in found)


def _walk(value: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif value is not None:
        for key, member in _members(value):
            yield from _walk(member, f"{path}_{key}" if path else key)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return iter((str(key), member) for key, member in value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return iter(zip(value._fields, value, strict=True))
    if isinstance(value, (tuple, list)):
        return iter((str(index), member) for index, member in enumerate(value))
    if dataclasses.is_dataclass(value):
        return iter((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    raise ModelError(
        "output-not-a-tensor",
        f"forward() returns a {type(value).__name__}, which an ONNX graph cannot",
        hint="return tensors, or tuples, lists and dicts of tensors",
    )


def choose(natural: Sequence[str], wanted: Sequence[str], taken: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Which outputs the model gets, in order: index among the results, and name.

    Args:
        natural: names from `flatten`.
        wanted: names declared in `[model] outputs`: some of the natural ones, or one new name for each; may be empty.
        taken: names of the inputs, which an output cannot have too.

    Raises:
        ConfigError: `outputs-mismatch`.
    """
    if not wanted:
        return tuple((index, f"{name}_out" if name in taken else name) for index, name in enumerate(natural))
    if set(wanted) <= set(natural):
        return tuple((natural.index(name), name) for name in wanted)
    if len(wanted) == len(natural) and not set(wanted) & set(taken):
        return tuple(enumerate(wanted))
    raise ConfigError(
        "outputs-mismatch",
        f"{len(wanted)} outputs are declared ({', '.join(wanted)}) but forward() returns {len(natural)}: "
        f"{', '.join(natural)}",
        where="[model] outputs",
        hint="name all of them in their order, or choose among these names",
    )
