"""The files of a model and their digest, found without importing onnx."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from edgetool.errors import ConfigError, HostError, ModelError
from edgetool.graph.external_data import resolve
from edgetool.graph.recognize import recognize, starts_like_onnx
from edgetool.graph.wire import external_locations


def files(path: Path) -> tuple[Path, ...]:
    """The .onnx file, then the files that hold its external data, in the order of their names.

    Raises:
        ConfigError: `model-not-found`.
        ModelError: `damaged-model`, or external data that is unsafe or missing.
    """
    require_onnx(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            locations = external_locations(data)
        except ValueError as error:
            raise damaged(path) from error
    return (path, *(resolve(path.parent, location, where=str(path)) for location in locations))


def digest(path: Path) -> str:
    """sha256 (hex) over the bytes of all files of the model, each preceded by its size; file names do not count.

    Raises:
        As `files`.
    """
    total = hashlib.sha256()
    for part in files(path):
        total.update(part.stat().st_size.to_bytes(8, "big"))
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def require_onnx(path: Path) -> None:
    """Raise unless `path` is a file that can be read and looks like nothing else than ONNX.

    Raises:
        ConfigError: `model-not-found` when there is nothing, or a folder.
        HostError: `unreadable-model` when permission is lacking.
        ModelError: `not-onnx`, saying what it looks like.
    """
    where = str(path)
    if path.is_dir():
        raise ConfigError("model-not-found", "this is a folder", where=where, hint="name the .onnx file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise ConfigError("model-not-found", "no such file", where=where, hint="check the model's path") from error
    except PermissionError as error:
        raise HostError("unreadable-model", "permission denied", where=where, hint="check who owns the file") from error
    if not head:
        raise ModelError("not-onnx", "the file is empty", where=where, hint="export or download the model again")
    if not starts_like_onnx(head) and (likeness := recognize(head)):
        raise ModelError("not-onnx", f"this looks like {likeness.name}", where=where, hint=likeness.hint)


def damaged(path: Path) -> ModelError:
    """The error for a file that passed `require_onnx` and yet is no well-formed ONNX."""
    with path.open("rb") as file:
        if not starts_like_onnx(file.read(2)):
            return ModelError(
                "not-onnx", "this is not an ONNX file", where=str(path), hint="name the ONNX file, or export one"
            )
    return ModelError(
        "damaged-model",
        "it starts like an ONNX file but cannot be read to its end: truncated or damaged",
        where=str(path),
        hint="export or download the model again, and compare its size",
    )
