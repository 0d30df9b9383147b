"""How inputs, which have names and no structure, become the arguments of a network's forward()."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edgetool.errors import ConfigError
from edgetool.signature import TensorSpec

Kind: TypeAlias = Literal["positional", "keyword", "rest", "rest-keyword"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of forward(); `rest` and `rest-keyword` are `*args` and `**kwargs`."""

    name: str
    kind: Kind
    required: bool


@dataclass(frozen=True, slots=True)
class Constant:
    """An argument that is no tensor and was fixed when the program was exported."""

    value: Any


Slot: TypeAlias = "str | Constant | tuple[Slot, ...] | dict[str, Slot]"
"""Where inputs go in one argument: an input's name, or a tuple or dict of such."""


@dataclass(frozen=True, slots=True)
class Calling:
    """A call of forward().

    Attributes:
        positional: parameter name and slot, in order.
        rest: slots of `*args`.
        keyword: parameter name and slot.
        rest_name: how forward() calls its `*args`.
    """

    positional: tuple[tuple[str, Slot], ...] = ()
    rest: tuple[Slot, ...] = ()
    keyword: tuple[tuple[str, Slot], ...] = ()
    rest_name: str = "args"

    def arguments(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, each input's name replaced by its value."""
        slots = (*(slot for _, slot in self.positional), *self.rest)
        return tuple(_fill(slot, values) for slot in slots), {name: _fill(slot, values) for name, slot in self.keyword}

    def by_parameter(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same by parameter name, as torch.export wants its dynamic shapes."""
        found = {name: _fill(slot, values) for name, slot in self.positional}
        if self.rest:
            found[self.rest_name] = tuple(_fill(slot, values) for slot in self.rest)
        return found | {name: _fill(slot, values) for name, slot in self.keyword}

    @property
    def input_order(self) -> tuple[str, ...]:
        """Names of the inputs in the order in which exporters flatten them."""
        slots = (*(slot for _, slot in self.positional), *self.rest, *(slot for _, slot in self.keyword))
        return tuple(name for slot in slots for name in _leaves(slot))

    @property
    def is_plain(self) -> bool:
        """True when it is one tensor a positional argument, which every exporter understands."""
        slots = (*(slot for _, slot in self.positional), *self.rest)
        return not self.keyword and all(isinstance(slot, str) for slot in slots)


def parameters_of(forward: Callable[..., Any]) -> tuple[Parameter, ...]:
    """What a Python forward() takes, without `self`."""
    kinds: dict[Any, Kind] = {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
        inspect.Parameter.VAR_POSITIONAL: "rest",
        inspect.Parameter.VAR_KEYWORD: "rest-keyword",
    }
    return tuple(
        Parameter(row.name, kinds[row.kind], row.default is inspect.Parameter.empty and kinds[row.kind] in _FIXED)
        for row in inspect.signature(forward).parameters.values()
    )


_FIXED = ("positional", "keyword")


def plan_call(parameters: Sequence[Parameter], specs: Sequence[TensorSpec], *, source: str) -> Calling:
    """Match the declared inputs to forward()'s parameters.

    By name: `x` is the parameter x, `state.0` the first entry of a tuple parameter, `batch.mask` an entry of a dict
    parameter. When no name matches at all, in order.

    Args:
        parameters: what forward() takes.
        specs: the declared inputs.
        source: what to call the network in messages.

    Raises:
        ConfigError: `inputs-mismatch`: a name that forward() does not have, or a parameter without an input.
    """
    slots = _grouped([spec.name for spec in specs])
    fixed = [row for row in parameters if row.kind in _FIXED]
    takes_rest = any(row.kind == "rest" for row in parameters)
    takes_any_keyword = any(row.kind == "rest-keyword" for row in parameters)
    known = {row.name for row in fixed}
    if not known & slots.keys() and not takes_any_keyword:
        return _in_order(parameters, slots, source)
    strangers = [name for name in slots if name not in known]
    if strangers and not takes_any_keyword and not takes_rest:
        raise _mismatch(parameters, f"forward() of {source} has no parameter {strangers[0]!r}", strangers[0])
    if missing := [row.name for row in fixed if row.required and row.name not in slots]:
        raise _mismatch(parameters, f"forward() of {source} also needs {', '.join(missing)}", None)
    positional: list[tuple[str, Slot]] = []
    keyword: list[tuple[str, Slot]] = []
    gap = False
    for row in fixed:
        if row.name not in slots:
            gap = True
        elif row.kind == "keyword" or gap:
            keyword.append((row.name, slots[row.name]))
        else:
            positional.append((row.name, slots[row.name]))
    if takes_any_keyword:
        keyword += [(name, slots[name]) for name in strangers]
        strangers = []
    return Calling(
        tuple(positional), tuple(slots[name] for name in strangers), tuple(keyword), rest_name=_rest_name(parameters)
    )


def _in_order(parameters: Sequence[Parameter], slots: Mapping[str, Slot], source: str) -> Calling:
    taken = [row for row in parameters if row.kind == "positional"]
    required = [row.name for row in parameters if row.required]
    takes_rest = any(row.kind == "rest" for row in parameters)
    if len(slots) < len(required) or (len(slots) > len(taken) and not takes_rest):
        raise _mismatch(
            parameters,
            f"{len(slots)} inputs are declared ({', '.join(slots)}), none of them named like a parameter of "
            f"forward() of {source}, which takes {_counted(parameters)}",
            next(iter(slots), None),
        )
    if any(row.kind == "keyword" and row.required for row in parameters):
        raise _mismatch(parameters, f"forward() of {source} has parameters that can only be named", None)
    values = list(slots.values())
    return Calling(
        tuple((row.name, slot) for row, slot in zip(taken, values, strict=False)),
        tuple(values[len(taken) :]),
        rest_name=_rest_name(parameters),
    )


def _rest_name(parameters: Sequence[Parameter]) -> str:
    return next((row.name for row in parameters if row.kind == "rest"), "args")


def _counted(parameters: Sequence[Parameter]) -> str:
    required = sum(row.required for row in parameters)
    optional = sum(row.kind in _FIXED for row in parameters) - required
    return f"{required} and optionally {optional} more" if optional else str(required)


def _mismatch(parameters: Sequence[Parameter], message: str, name: str | None) -> ConfigError:
    names = [row.name for row in parameters if row.kind in _FIXED]
    close = difflib.get_close_matches(name or "", names, n=1)
    shown = ", ".join(row.name if row.required else f"{row.name} (optional)" for row in parameters)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ConfigError(
        "inputs-mismatch", message, where="[model.inputs]", hint=f"{hint}forward() takes: {shown or 'nothing'}"
    )


def _grouped(names: Sequence[str]) -> dict[str, Slot]:
    """`x`, `state.0`, `state.1` -> {x: "x", state: ("state.0", "state.1")}."""
    members: dict[str, dict[str, str]] = {}
    for name in names:
        root, _, key = name.partition(".")
        members.setdefault(root, {})[key] = name
    return {root: _group(keys) for root, keys in members.items()}


def _group(keys: Mapping[str, str]) -> Slot:
    if set(keys) == {""}:
        return keys[""]
    if all(key.isdigit() for key in keys):
        return tuple(keys[key] for key in sorted(keys, key=int))
    return dict(keys)


def _fill(slot: Slot, values: Mapping[str, Any]) -> Any:
    if isinstance(slot, str):
        return values[slot]
    if isinstance(slot, Constant):
        return slot.value
    if isinstance(slot, tuple):
        return tuple(_fill(member, values) for member in slot)
    return {key: _fill(member, values) for key, member in slot.items()}


def _leaves(slot: Slot) -> Iterator[str]:
    if isinstance(slot, str):
        yield slot
    elif not isinstance(slot, Constant):
        for member in slot if isinstance(slot, tuple) else slot.values():
            yield from _leaves(member)
