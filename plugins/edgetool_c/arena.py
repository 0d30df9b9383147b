"""Puts the generated network's intermediate tensors into one static buffer, overlaid by their lifetimes.

The generator declares them all side by side on the stack. Here a result of elementwise work is written over what it was
made from, and every place in the arena is shared by tensors that are not needed at the same time: the largest first,
at the lowest offset that is free while it lives (greedy by size, after Pisarchyk and Lee, "Efficient Memory Management
for Deep Neural Net Inference", 2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from edgetool.errors import ModelError
from edgetool_c.overwriting import pointwise

_SIZES = {
    "float": 4, "double": 8, "bool": 1, "_Bool": 1,
    **{f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
_BUFFER = re.compile(r"    (?P<type>\w+) (?P<name>\w+)(?P<dims>(?:\[\d+\])+);")
_CALL = re.compile(r"    (?P<function>\w+)\((?P<arguments>[\w, ]*)\);")
_WEIGHT_DECLARATION = re.compile(r"^extern const .*;\n", re.MULTILINE)
_WEIGHT = re.compile(r"^const EMX_UNUSED ", re.MULTILINE)
_LOADER = re.compile(r"^_Bool \w+_load\(const char \*path\) \{\n.*?^\}\n\n?", re.MULTILINE | re.DOTALL)
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Buffer:
    """One intermediate tensor.

    Attributes:
        name, element: as C calls it and its elements.
        shape: of the tensor.
        first, last: the calls between which it must be kept.
    """

    name: str
    element: str
    shape: tuple[int, ...]
    first: int
    last: int

    @property
    def size(self) -> int:
        """Bytes, rounded up so that the next one is aligned."""
        return -(-prod(self.shape) * _SIZES[self.element] // _ALIGNMENT) * _ALIGNMENT


@dataclass(frozen=True, slots=True)
class Call:
    """One step of the network: what it reads, and at the end what it writes."""

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StaticSource:
    """C with static buffers only.

    Attributes:
        text: the source.
        arena: bytes of the shared buffer.
        unshared: bytes that the same tensors take side by side.
    """

    text: str
    arena: int
    unshared: int


def with_static_buffers(source: str, function: str) -> StaticSource:
    """Rewrite what the generator wrote: an arena, and weights that no other file can collide with.

    Raises:
        ModelError: `generated-code-unknown`: the entry function is more than declarations and calls.
    """
    start = source.index(f"\nvoid {function}(")
    head, body = source[:start], source[start + 1 :]
    signature, *lines = body.splitlines()
    end = lines.index("}")
    steps = _calls(lines[:end])
    buffers = _buffers(lines[:end], steps)
    heirs = overwritten(buffers, steps, pointwise(head))
    places = overlay(_united(buffers, heirs))
    places = {row.name: places[heirs.get(row.name, row.name)] for row in buffers}
    arena = max((places[row.name] + row.size for row in buffers), default=0)
    calls = [line for line in lines[:end] if not _BUFFER.fullmatch(line)]
    pointers = [_pointer(row, places[row.name]) for row in buffers]
    declared = f"\nstatic _Alignas({_ALIGNMENT}) unsigned char arena[{arena}];\n" if arena else ""
    head = _WEIGHT.sub("static const EMX_UNUSED ", _WEIGHT_DECLARATION.sub("", _LOADER.sub("", head)))
    text = "\n".join([head + declared, signature, *pointers, *calls, "}", ""])
    return StaticSource(text, arena, sum(row.size for row in buffers))


def overlay(buffers: Sequence[Buffer]) -> dict[str, int]:
    """An offset for each buffer, so that none overlaps another while both live."""
    places: dict[str, int] = {}
    placed: list[Buffer] = []
    for row in sorted(buffers, key=lambda row: (-row.size, row.first, row.name)):
        rivals = sorted(
            (places[other.name], other.size) for other in placed if other.first <= row.last and row.first <= other.last
        )
        offset = 0
        for place, size in rivals:
            if offset + row.size <= place:
                break
            offset = max(offset, place + size)
        places[row.name] = offset
        placed.append(row)
    return places


def overwritten(
    buffers: Sequence[Buffer], calls: Sequence[Call], allowed: Mapping[str, frozenset[int]]
) -> dict[str, str]:
    """Buffer -> the earlier one in whose place it is made, because nobody reads that one any more.

    Args:
        buffers: all of them.
        calls: in order.
        allowed: by function, the places of arguments that it may overwrite.
    """
    by_name = {row.name: row for row in buffers}
    heirs: dict[str, str] = {}
    for number, call in enumerate(calls):
        result = by_name.get(call.arguments[-1]) if call.arguments else None
        if result is None or result.first != number:
            continue
        for place in sorted(allowed.get(call.function, ())):
            source = by_name.get(call.arguments[place])
            if source and _can_inherit(source, result, number) and call.arguments.count(source.name) == 1:
                heirs[result.name] = heirs.get(source.name, source.name)
                break
    return heirs


def _can_inherit(source: Buffer, result: Buffer, number: int) -> bool:
    """Same elements in number and size, so that no element is overwritten before it was read."""
    same = source.shape == result.shape and _SIZES[source.element] == _SIZES[result.element]
    return same and source.last == number


def _united(buffers: Sequence[Buffer], heirs: Mapping[str, str]) -> list[Buffer]:
    """Each buffer that is no heir, alive as long as the last of its heirs."""
    last = {row.name: row.last for row in buffers}
    for row in buffers:
        owner = heirs.get(row.name, row.name)
        last[owner] = max(last[owner], row.last)
    return [replace(row, last=last[row.name]) for row in buffers if row.name not in heirs]


def _calls(lines: Sequence[str]) -> list[Call]:
    calls = []
    for line in lines:
        if (call := _CALL.fullmatch(line)) is not None:
            calls.append(Call(call["function"], tuple(call["arguments"].split(", "))))
        elif not _BUFFER.fullmatch(line):
            raise _unknown(line)
    return calls


def _buffers(lines: Sequence[str], calls: Sequence[Call]) -> list[Buffer]:
    found = []
    for match in filter(None, map(_BUFFER.fullmatch, lines)):
        uses = [number for number, call in enumerate(calls) if match["name"] in call.arguments]
        if match["type"] not in _SIZES or not uses:
            raise _unknown(match[0])
        shape = tuple(int(size) for size in re.findall(r"\d+", match["dims"]))
        found.append(Buffer(match["name"], match["type"], shape, uses[0], uses[-1]))
    return found


def _pointer(row: Buffer, place: int) -> str:
    rest = "".join(f"[{size}]" for size in row.shape[1:])
    kind = f"{row.element} (*){rest}" if rest else f"{row.element} *"
    declared = f"{row.element} (*const {row.name}){rest}" if rest else f"{row.element} *const {row.name}"
    return f"    {declared} = ({kind})(void *)(arena + {place});"


def _unknown(line: str) -> ModelError:
    return ModelError(
        "generated-code-unknown",
        f"the generated C has a form that static buffers were not made for: {line.strip()[:80]}",
        hint="simplify the model, or report it with `edgetool reduce`",
    )
