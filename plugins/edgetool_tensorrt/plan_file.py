"""Reads the header of a plan file, as TensorRT and TensorRT-RTX engines are called on disk, without a GPU.

Only what NVIDIA's own tools print of it is read: the tag, the serialisation version, the version of the builder and,
for TensorRT-RTX, the size of the whole file. Everything behind that is undocumented and stays unread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO, Literal, TypeAlias

from edgetool.artifact import Facts, JsonValue
from edgetool.disk import host_errors
from edgetool.errors import IntegrityError, ModelError
from edgetool_tensorrt.version import Version

Product: TypeAlias = Literal["tensorrt", "tensorrt-rtx"]

_PRODUCTS: dict[bytes, Product] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
_HEADER = 28  # bytes: tag 0-3, serialisation version 4-7, RTX: file size 16-23, builder's version 24-27
_PREFIX_LENGTH = 4
_LONGEST_PREFIX = 2**20


@dataclass(frozen=True, slots=True)
class Prefix:
    """What some exporters write before a plan: four bytes of length and a JSON text, which native tools refuse.

    Attributes:
        length: bytes before the plan, the length field included.
        metadata: the JSON object; empty when it cannot be read.
    """

    length: int
    metadata: Facts

    def strip_command(self, path: Path) -> str:
        """The command that writes the plain plan beside `path`."""
        plain = path.with_name(f"plain-{path.name}")
        return f"tail -c +{self.length + 1} {quote(str(path))} > {quote(str(plain))}"


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """What a plan file says of itself.

    Attributes:
        product: who built it, and can load it.
        version: of the builder, all four numbers; None in the older layout (serialisation version other than 0),
            which does not say it.
        serialization: version of the file's layout.
        declared_size: bytes that the whole plan has, by its own account; None where the header does not tell.
        size: bytes that are there, without the prefix.
        prefix: a foreign prefix, or None as it should be.
    """

    product: Product
    version: Version | None
    serialization: int
    declared_size: int | None
    size: int
    prefix: Prefix | None = None

    @property
    def truncated(self) -> bool:
        """True when bytes are known to be missing; a TensorRT plan does not say how many it should have."""
        return self.declared_size is not None and self.size < self.declared_size

    @property
    def surplus(self) -> int:
        """Bytes behind the plan's end."""
        return max(0, self.size - self.declared_size) if self.declared_size is not None else 0

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "product": self.product,
            "version": str(self.version) if self.version else None,
            "serialization": self.serialization,
            "size": self.size,
            "declared_size": self.declared_size,
            "truncated": self.truncated,
            "surplus": self.surplus,
            "prefix": {"length": self.prefix.length, "metadata": dict(self.prefix.metadata)} if self.prefix else None,
        }


def is_plan(path: Path) -> bool:
    """Whether a file starts as a plan does, behind a foreign prefix or not. Raises HostError."""
    with host_errors(path), path.open("rb") as file:
        return _tag_at(file, _prefix_length(file)) in _PRODUCTS


def read_header(path: Path) -> PlanHeader:
    """What the file at `path` says of itself; reads a few bytes.

    Raises:
        ModelError: `not-an-engine`: empty, too short, or something else.
        IntegrityError: `truncated-engine`: cut off inside the header.
        HostError: the file cannot be read.
    """
    with host_errors(path), path.open("rb") as file:
        offset = _prefix_length(file)
        prefix = Prefix(offset, _metadata(file, offset)) if offset else None
        file.seek(offset)
        head = file.read(_HEADER)
        size = path.stat().st_size - offset
    product = _PRODUCTS.get(head[:4])
    if product is None:
        raise _not_an_engine(path, size, prefix)
    if len(head) < _HEADER:
        raise _truncated(path, f"it ends after {len(head)} bytes, inside its header")
    serialization = int.from_bytes(head[4:8], "little")
    known = serialization == 0
    return PlanHeader(
        product=product,
        version=Version(*head[24:28]) if known else None,
        serialization=serialization,
        declared_size=int.from_bytes(head[16:24], "little") if known and product == "tensorrt-rtx" else None,
        size=size,
        prefix=prefix,
    )


def truncation(header: PlanHeader, path: Path) -> IntegrityError | None:
    """The error `truncated-engine` for a plan that is known to lack bytes, else None."""
    if not header.truncated:
        return None
    return _truncated(path, f"{header.size} of {header.declared_size} bytes are there")


def require_whole(header: PlanHeader, path: Path) -> None:
    """Refuse a plan that is known to lack bytes. Raises IntegrityError `truncated-engine`."""
    if error := truncation(header, path):
        raise error


def _truncated(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        "truncated-engine",
        f"the engine is cut off: {what}",
        where=str(path),
        hint="copy it again from where it was built, or build it again",
    )


def _not_an_engine(path: Path, size: int, prefix: Prefix | None) -> ModelError:
    if size == 0 and prefix is None:
        reason = "the file is empty"
    elif prefix:
        reason = f"it starts with {prefix.length} bytes of metadata, but no engine follows"
    else:
        reason = "it starts neither as a TensorRT engine nor as one of TensorRT-RTX"
    return ModelError(
        "not-an-engine", reason, where=str(path), hint="name the engine or .plan file that a TensorRT builder wrote"
    )


def _prefix_length(file: IO[bytes]) -> int:
    """Bytes before the plan: 0, or those of a length field and the JSON object that it measures."""
    head = file.read(_PREFIX_LENGTH + 1)
    length = int.from_bytes(head[:_PREFIX_LENGTH], "little")
    if head[_PREFIX_LENGTH:] != b"{" or not 2 <= length <= _LONGEST_PREFIX:
        return 0
    return _PREFIX_LENGTH + length


def _tag_at(file: IO[bytes], offset: int) -> bytes:
    file.seek(offset)
    return file.read(4)


def _metadata(file: IO[bytes], end: int) -> Facts:
    file.seek(_PREFIX_LENGTH)
    try:
        found = json.loads(file.read(end - _PREFIX_LENGTH))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
