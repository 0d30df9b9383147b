"""Boils an exporter's page of text down to the line that means something, and finds the user's own line."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import edgetool
from edgetool.signature import TensorSpec

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FILE_LINE = re.compile(r'File "([^"]+)", line (\d+)')
_LONGEST = 240
_NOT_USERS = (
    "<",
    str(Path(__file__).parent),
    str(Path(edgetool.__file__).parent),
    *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),
)

_FROZEN = re.compile(
    r"code specialized it to be a constant \((?P<size>\d+)\)|inferred a static shape of (?P<other>\d+) for dimension "
)
_AXIS = re.compile(r"(?:L|inputs)\['(?P<name>\w+)'\](?P<keys>(?:\[[^\]]+\])*?)\.(?:size\(\)|shape)\[(?P<axis>\d+)\]")
_UNTRANSLATED = re.compile(r"No ONNX function found for <OpOverload\(op='(?P<op>[^']+)'")
_NO_SYMBOLIC = re.compile(
    r"Exporting the operator '?(?P<op>[\w:.]+)'? to ONNX|unrecognized namespace (?P<other>[\w:]+)"
)
_DATA_DEPENDENT = re.compile(r"Could not (?:guard on|extract specialized integer from) data-dependent expression")


def blame(error: BaseException, specs: Sequence[TensorSpec] = ()) -> tuple[str, str | None]:
    """What went wrong in one line, and the user's `file:line` where one is known.

    Args:
        error: what was raised; its causes are looked through as well.
        specs: the declared inputs, to speak of dimensions by their names.
    """
    chain = list(_causes(error))
    texts = [_ANSI.sub("", str(link)) for link in chain]
    reason = next((known for text in texts if (known := _known(text, specs))), None)
    if reason is None:
        last = chain[-1]
        reason = f"{type(last).__name__}: {_first_line(texts[-1])}".removesuffix(": ")
    return _shortened(reason), _own_line(chain, texts)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _known(text: str, specs: Sequence[TensorSpec]) -> str | None:
    if found := _FROZEN.search(text):
        size = found["size"] or found["other"]
        return f"{_dimension(text, specs)} was specialised to {size}"
    if found := _UNTRANSLATED.search(text):
        return f"no ONNX translation for the operator {found['op']}"
    if found := _NO_SYMBOLIC.search(text):
        return f"no ONNX translation for the operator {found['op'] or found['other']}"
    if _DATA_DEPENDENT.search(text):
        return "the path through forward() depends on values of a tensor"
    return None


def _dimension(text: str, specs: Sequence[TensorSpec]) -> str:
    """The declared name of the dimension that a text speaks of."""
    found = _AXIS.search(text)
    if found is None:
        return "a dynamic dimension"
    name, axis = _named(found)
    dim = _declared(name, axis, specs)
    return f"dimension {dim!r} ({name}, axis {axis})" if dim else f"axis {axis} of {name}"


def in_names(guard: str, specs: Sequence[TensorSpec]) -> str:
    """`L['x'].size()[0] != 3` -> `batch != 3`."""

    def name_of(found: re.Match[str]) -> str:
        name, axis = _named(found)
        return _declared(name, axis, specs) or f"axis {axis} of {name}"

    return _AXIS.sub(name_of, guard)


def _named(found: re.Match[str]) -> tuple[str, int]:
    keys = re.findall(r"\[['\"]?(\w+)['\"]?\]", found["keys"])
    return ".".join([found["name"], *keys]), int(found["axis"])


def _declared(name: str, axis: int, specs: Sequence[TensorSpec]) -> str | None:
    shape = next((spec.shape for spec in specs if spec.name == name), ())
    dim = shape[axis] if axis < len(shape) else None
    return dim if isinstance(dim, str) else None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"


def _own_line(chain: Sequence[BaseException], texts: Sequence[str]) -> str | None:
    """The innermost line of the user's code, from the traceback or from what the exporter quotes."""
    for link in reversed(chain):
        frames = traceback.extract_tb(link.__traceback__)
        own = [frame for frame in frames if is_users(frame.filename)]
        if own:
            return f"{own[-1].filename}:{own[-1].lineno}"
    for text in texts:
        quoted = [found for found in _FILE_LINE.findall(text) if is_users(found[0])]
        if quoted:
            return f"{quoted[-1][0]}:{quoted[-1][1]}"
    return None


def is_users(filename: str) -> bool:
    """True for a file that is neither installed nor part of this importer nor generated."""
    return not filename.startswith(_NOT_USERS)


def worded(sizes: Mapping[str, int]) -> str:
    """{"batch": 2, "time": 7} -> `batch=2, time=7`."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "its only shape"
