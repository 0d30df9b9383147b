"""Which generated functions may write their result over what they read: those that work element by element."""

from __future__ import annotations

import re

_FUNCTION = re.compile(
    r"^EMX_NODE_FN void (?P<name>\w+)\((?P<parameters>[^()]*)\) \{\n(?P<body>.*?)^\}$", re.MULTILINE | re.DOTALL
)
_PARAMETER = re.compile(r"(?P<name>\w+)(?:\[\w*\])+$")
_INDEX = re.compile(r"\[(\w+)\]")
_LOOP = re.compile(r"for \(idx_t \w+ = 0; \w+ < \d+; \+\+\w+\) \{")
_ASSIGNMENT = re.compile(r"output(?P<place>(?:\[\w+\])+) = (?P<value>.*);")


def pointwise(source: str) -> dict[str, frozenset[int]]:
    """Function name -> places of the parameters whose every element is read just before it may be overwritten.

    A function counts when it is one assignment inside of counting loops, and reads such a parameter with the index
    that it writes. Nothing may be declared `restrict`.
    """
    found = {}
    for match in _FUNCTION.finditer(source):
        places = _overwritable(match["parameters"].split(", "), match["body"])
        if places:
            found[match["name"]] = places
    return found


def _overwritable(parameters: list[str], body: str) -> frozenset[int]:
    lines = [line.strip() for line in body.splitlines()]
    statements = [line for line in lines if line not in ("", "}") and not _LOOP.fullmatch(line)]
    assignment = _ASSIGNMENT.fullmatch(statements[0]) if len(statements) == 1 else None
    if assignment is None or any("restrict" in parameter for parameter in parameters):
        return frozenset()
    sizes = _INDEX.findall(parameters[-1])
    target = _element(assignment["place"], sizes)
    places = set()
    for place, parameter in enumerate(parameters[:-1]):
        name = match["name"] if (match := _PARAMETER.search(parameter)) else ""
        uses = re.findall(rf"\b{name}((?:\[\w+\])*)", assignment["value"]) if name else []
        if uses and all(_element(use, sizes) == target for use in uses):
            places.add(place)
    return frozenset(places)


def _element(indices: str, sizes: list[str]) -> tuple[str, ...]:
    """Which element is meant: along an axis of size 1 every index is 0."""
    written = _INDEX.findall(indices)
    if len(written) != len(sizes):
        return tuple(written)
    return tuple("0" if size == "1" else index for index, size in zip(written, sizes, strict=True))
