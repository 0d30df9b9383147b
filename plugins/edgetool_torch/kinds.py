"""Tells what a file is by its content: names lie, and opening the wrong kind may run code."""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import IO

from edgetool.errors import ModelError


class Kind(Enum):
    """What is in a file; the value is what messages call it."""

    EXPORTED_PROGRAM = "a torch.export program"
    OLD_EXPORTED_PROGRAM = "a torch.export program of an old PyTorch"
    TORCHSCRIPT = "a TorchScript module"
    STATE_DICT = "a state dict (weights without a network)"
    PICKLED_OBJECT = "a pickled Python object"
    SAFETENSORS = "a safetensors file (weights without a network)"


def kind_of(path: Path) -> Kind:
    """What the file is, without executing any of it.

    Raises:
        ModelError: `unreadable-torch-file` when it is none of these.
    """
    try:
        with path.open("rb") as file:
            kind = _in_zip(path) if zipfile.is_zipfile(path) else _in_plain(file)
    except (OSError, zipfile.BadZipFile, ValueError, struct.error, EOFError, KeyError) as error:
        raise _unreadable(path, str(error)) from error
    if kind is None:
        raise _unreadable(path, "neither an archive of PyTorch nor a pickle")
    return kind


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(
        "unreadable-torch-file",
        f"not a file that PyTorch wrote, or damaged: {why}",
        where=str(path),
        hint="wanted: .pt2 of torch.export.save, .pt of torch.jit.save, or module:function with weights",
    )


def _in_zip(path: Path) -> Kind | None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        inner = {name.partition("/")[2] for name in names}
        if "models/model.json" in inner or "archive_format" in inner:
            return Kind.EXPORTED_PROGRAM
        if "serialized_exported_program.json" in names:
            return Kind.OLD_EXPORTED_PROGRAM
        if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
            return Kind.TORCHSCRIPT
        pickled = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
        if not pickled:
            return None
        with archive.open(pickled[0]) as member:
            return Kind.STATE_DICT if _holds_tensors_only(member) else Kind.PICKLED_OBJECT


def _in_plain(file: IO[bytes]) -> Kind | None:
    head = file.read(9)
    if len(head) == 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 100_000_000:
        return Kind.SAFETENSORS
    if head[:1] != b"\x80":
        return None
    file.seek(0)
    # torch.save before 1.6 wrote several pickles in a row: magic number, protocol, system, then the object.
    return Kind.STATE_DICT if all(_holds_tensors_only(file) for _ in range(4)) else Kind.PICKLED_OBJECT


_TENSOR_MODULES = ("torch", "torch._utils", "torch.storage", "torch.serialization", "collections", "numpy")
_TENSOR_NAMES = frozenset(
    {"OrderedDict", "Size", "device", "dtype", "Tensor", "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter",
     "_rebuild_qtensor", "_rebuild_sparse_tensor", "UntypedStorage", "_get_dtype_from_pickle_storage_type"}
)  # fmt: skip


def _holds_tensors_only(file: IO[bytes]) -> bool:
    """Whether the next pickle in a file names nothing but what tensors are made of."""
    return all(
        module in _TENSOR_MODULES and (name in _TENSOR_NAMES or name.endswith("Storage"))
        for module, name in _imports(file)
    )


def _imports(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """What unpickling would import: module and name.

    A pickle made to deceive can hide a name from this. It only decides what a file is called: what passes for a state
    dict is still loaded with `weights_only`.
    """
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL":
            yield (strings[-2], strings[-1]) if len(strings) > 1 else ("", "")
        elif isinstance(argument, str):
            strings.append(argument)
