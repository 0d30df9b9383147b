"""Puts a .ort file into one canonical form, so that the same model gives the same bytes.

A .ort file is a FlatBuffer whose root holds three things: the format's version, the model, and a table that tells a
minimal build which types each operator was given. ONNX Runtime writes that last table in the order of a hash map that
is seeded anew each time. It is taken out here and written again in the order of its keys. The model's bytes refer to
nothing outside of themselves, so they are moved as a block.

Layout of a FlatBuffer: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import mmap
import shutil
import struct
from pathlib import Path
from typing import Any, NamedTuple

from edgetool_onnxruntime.runtime import load_format_tools

_ALIGNMENT = 32
"""The largest that FlatBuffers know. A buffer is aligned from its end, so its size has to be a multiple."""

_VERSION_SLOT, _MODEL_SLOT, _RESOLVER_SLOT = 4, 6, 10
"""Positions of the root's fields in its vtable."""


class _Argument(NamedTuple):
    kind: int
    position: int


class _Types(NamedTuple):
    """Which arguments of an operator one of its type variables covers."""

    name: str
    arguments: tuple[_Argument, ...]


class _Operator(NamedTuple):
    identifier: str
    types: tuple[_Types, ...]


def canonicalize(path: Path) -> None:
    """Rewrite a .ort file with its operator table in the order of the keys; what it says stays the same.

    A file whose parts lie in another order than ONNX Runtime is known to write them is left as it is.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        split = _front(content)
        if split is None:
            return
        aside = path.with_name(path.name + ".part")
        with aside.open("wb") as out:
            out.write(split.front)
            file.seek(split.rest)
            shutil.copyfileobj(file, out)
    aside.replace(path)


class _Split(NamedTuple):
    """The new beginning of the file, and where the rest begins in the old one."""

    front: bytes
    rest: int


def _front(content: mmap.mmap) -> _Split | None:
    from flatbuffers.table import Table

    root = Table(content, struct.unpack_from("<I", content, 0)[0])
    fields = [root.Pos + root.Offset(slot) for slot in (_VERSION_SLOT, _MODEL_SLOT, _RESOLVER_SLOT)]
    version, model, resolver = (root.Indirect(position) for position in fields)
    end_of_root = root.Pos + _object_size(content, root.Pos)
    # A table's vtable lies right before it, unless it shares one that was written earlier, which lies further back.
    start_of_model = min(model, _vtable(content, model))
    if not end_of_root <= resolver < start_of_model < version or _vtable(content, root.Pos) > root.Pos:
        return None
    table = _written(_operators(content))
    begin = end_of_root + -end_of_root % 8
    end = begin + len(table)
    end += (start_of_model - len(content) - end) % _ALIGNMENT
    shift = end - start_of_model
    targets = (version + shift, model + shift, begin + struct.unpack_from("<I", table, 0)[0])
    front = bytearray(end)
    front[:end_of_root] = content[:end_of_root]
    front[begin : begin + len(table)] = table
    for position, target in zip(fields, targets, strict=True):
        struct.pack_into("<I", front, position, target - position)
    return _Split(bytes(front), start_of_model)


def _vtable(content: mmap.mmap, position: int) -> int:
    return int(position - struct.unpack_from("<i", content, position)[0])


def _object_size(content: mmap.mmap, position: int) -> int:
    return int(struct.unpack_from("<H", content, _vtable(content, position) + 2)[0])


def _operators(content: mmap.mmap) -> list[_Operator]:
    """The operator table, read and sorted."""
    load_format_tools()
    from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    resolver = InferenceSession.GetRootAs(content, 0).KernelTypeStrResolver()
    entries = (resolver.OpKernelTypeStrArgs(index) for index in range(resolver.OpKernelTypeStrArgsLength()))
    return sorted(_Operator(entry.OpId().decode(), _types(entry)) for entry in entries)


def _types(entry: Any) -> tuple[_Types, ...]:
    variables = (entry.KernelTypeStrArgs(index) for index in range(entry.KernelTypeStrArgsLength()))
    return tuple(sorted(_Types(variable.KernelTypeStr().decode(), _arguments(variable)) for variable in variables))


def _arguments(variable: Any) -> tuple[_Argument, ...]:
    arguments = (variable.Args(index) for index in range(variable.ArgsLength()))
    return tuple(_Argument(argument.ArgType(), argument.Index()) for argument in arguments)


def _written(operators: list[_Operator]) -> bytes:
    """The operator table as a FlatBuffer of its own: offset of its root, then its content."""
    from flatbuffers.builder import Builder

    builder = Builder(1024)
    entries = []
    for operator in operators:
        variables = []
        for name, arguments in operator.types:
            rows = []
            for kind, position in arguments:
                builder.StartObject(2)
                builder.PrependInt8Slot(0, kind, 0)
                builder.PrependUint32Slot(1, position, 0)
                rows.append(builder.EndObject())
            variables.append(_pair(builder, builder.CreateString(name), _vector(builder, rows)))
        identifier = builder.CreateString(operator.identifier)
        entries.append(_pair(builder, identifier, _vector(builder, variables)))
    vector = _vector(builder, entries)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _vector(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _pair(builder: Any, name: int, rows: int) -> int:
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(1, rows, 0)
    return int(builder.EndObject())
