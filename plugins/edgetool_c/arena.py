"""Puts the generated network's intermediate tensors into one static buffer, overlaid by their lifetimes.

The generator declares them all side by side on the stack. Here each gets a place in an arena that it shares with those
that are not needed at the same time: the largest tensor first, at the lowest offset that is free while it lives (greedy
by size, after Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from edgetool.errors import ModelError

_SIZES = {
    "float": 4, "double": 8, "bool": 1, "_Bool": 1,
    **{f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
_BUFFER = re.compile(r"    (?P<type>\w+) (?P<name>\w+)(?P<dims>(?:\[\d+\])+);")
_CALL = re.compile(r"    \w+\((?P<arguments>[\w, ]*)\);")
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
    buffers = _buffers(lines[:end])
    places = overlay(buffers)
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


def _buffers(lines: Sequence[str]) -> list[Buffer]:
    declared = [match for line in lines if (match := _BUFFER.fullmatch(line))]
    calls = []
    for line in lines:
        if (call := _CALL.fullmatch(line)) is not None:
            calls.append(set(call["arguments"].split(", ")))
        elif not _BUFFER.fullmatch(line):
            raise _unknown(line)
    found = []
    for match in declared:
        uses = [number for number, names in enumerate(calls) if match["name"] in names]
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
