"""Mender artifacts, version 3: a tar of a manifest, its signature, a header, and a tar of the payload's files.

The manifest has the hash of everything that follows it. Those of the bundle's files are known, so each file is read
once, while it is copied. Format: https://github.com/mendersoftware/mender-artifact/blob/master/Documentation/artifact-format-v3.md
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgetool.artifact import JsonValue
from edgetool_firmware.ustar import Ustar

LARGEST = 8**11 - 1
"""Bytes of a tar member: its size has eleven octal digits."""

_VERSION = b'{"format":"mender","version":3}'
_HEADER, _DATA = "header.tar", "data/0000.tar"


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """A file of the payload.

    Attributes:
        name: without folders.
        size, sha256: of its content.
        content: where it lies, or what it is.
    """

    name: str
    size: int
    sha256: str
    content: Path | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a device decides by.

    Attributes:
        name: of the artifact.
        devices: types of device that may install it.
        module: the update module that installs it.
        provides: what is on the device afterwards.
        clears: patterns of what is no longer.
        metadata: for the module.
    """

    name: str
    devices: Sequence[str]
    module: str
    provides: Mapping[str, str]
    clears: Sequence[str]
    metadata: Mapping[str, JsonValue]


def payload_size(files: Sequence[PayloadFile]) -> int:
    """Bytes of the payload's tar."""
    blocks = sum(1 + -(-file.size // tarfile.BLOCKSIZE) for file in files) + 2
    return -(-blocks * tarfile.BLOCKSIZE // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def write_artifact(
    file: IO[bytes], header: Header, files: Sequence[PayloadFile], *, created: int, sign: Callable[[bytes], bytes]
) -> None:
    """Write a whole artifact.

    Args:
        file: open for writing.
        header: as above.
        files: in the order in which the device gets them.
        created: modification time of every member, seconds since 1970.
        sign: makes the content of manifest.sig.
    """
    header_tar = _header_tar(header, created)
    manifest = _manifest(header_tar, files)
    for name, data in (
        ("version", _VERSION),
        ("manifest", manifest),
        ("manifest.sig", sign(manifest)),
        (_HEADER, header_tar),
    ):
        file.write(_member(name, len(data), created))
        file.write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
    file.write(_member(_DATA, payload_size(files), created))
    with Ustar(file, created=created) as payload:
        for row in files:
            if isinstance(row.content, bytes):
                payload.add_bytes(row.name, row.content)
            else:
                payload.add_file(row.name, row.content)
    file.write(bytes(2 * tarfile.BLOCKSIZE))


def _header_tar(header: Header, created: int) -> bytes:
    buffer = io.BytesIO()
    with Ustar(buffer, created=created) as archive:
        for name, document in (("header-info", _info(header)), ("headers/0000/type-info", _type(header))):
            _add_json(archive, name, document)
        _add_json(archive, "headers/0000/meta-data", header.metadata)
    return buffer.getvalue()


def _info(header: Header) -> dict[str, JsonValue]:
    return {
        "payloads": [{"type": header.module}],
        "artifact_provides": {"artifact_name": header.name},
        "artifact_depends": {"device_type": list(header.devices)},
    }


def _type(header: Header) -> dict[str, JsonValue]:
    return {
        "type": header.module,
        "artifact_provides": dict(header.provides),
        "clears_artifact_provides": list(header.clears),
    }


def _add_json(archive: Ustar, name: str, document: Mapping[str, JsonValue]) -> None:
    archive.add_bytes(name, json.dumps(document, separators=(",", ":")).encode())


def _manifest(header_tar: bytes, files: Sequence[PayloadFile]) -> bytes:
    digests = {f"data/0000/{file.name}": file.sha256 for file in files}
    digests[_HEADER] = hashlib.sha256(header_tar).hexdigest()
    digests["version"] = hashlib.sha256(_VERSION).hexdigest()
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _member(name: str, size: int, created: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mtime = created
    info.uname = info.gname = "root"
    return info.tobuf(tarfile.USTAR_FORMAT)
