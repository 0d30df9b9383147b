"""An OCI image layout on the disk: blobs by their digest, and an index that names one manifest (image-spec 1.1)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_REF_NAME = "org.opencontainers.image.ref.name"
MAX_MANIFEST = 4 << 20
"""Bytes: registries refuse larger manifests."""

Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """A descriptor: what a manifest says of a blob.

    Attributes:
        media_type: what it holds.
        digest: `sha256:…`.
        size: bytes.
        annotations: for those who read the manifest.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**row, "annotations": dict(self.annotations)} if self.annotations else row


class Layout:
    """Writes a layout into a new folder.

    Args:
        folder: must not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))

    def add_file(self, path: Path, media_type: str, *, sha256: str | None = None) -> Blob:
        """A copy of a file.

        Args:
            path: the file.
            media_type: of the blob.
            sha256: of the file, hex, where somebody has computed it; it is not computed again.
        """
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        shutil.copyfile(path, self._blobs / sha256)
        return Blob(media_type, f"sha256:{sha256}", path.stat().st_size)

    def add_json(self, document: Json, media_type: str) -> Blob:
        """A document, with its keys in the given order."""
        data = _json(document)
        digest = hashlib.sha256(data).hexdigest()
        (self._blobs / digest).write_bytes(data)
        return Blob(media_type, f"sha256:{digest}", len(data))

    def new_blob(self, media_type: str) -> NewBlob:
        """A blob that is written bit by bit."""
        return NewBlob(self._blobs, media_type)

    def finish(self, manifest: Blob, *, tag: str) -> None:
        """Write the index with one manifest, under a tag."""
        row = replace(manifest, annotations={_REF_NAME: tag})
        index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": [row.to_json()]}
        (self._folder / "index.json").write_bytes(_json(index))


class NewBlob:
    """A blob in the making, hashed while it is written. Use as a context manager; it is in its place on exit.

    Args:
        blobs: folder of all blobs.
        media_type: of this one.
    """

    def __init__(self, blobs: Path, media_type: str) -> None:
        self._blobs = blobs
        self._media_type = media_type
        self._hash = hashlib.sha256()
        self._file = (blobs / "new").open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            (self._blobs / "new").rename(self._blobs / self._hash.hexdigest())

    def write(self, data: bytes | memoryview) -> int:
        self._hash.update(data)
        return self._file.write(data)

    @property
    def done(self) -> Blob:
        """Its descriptor, once it is in its place."""
        digest = self._hash.hexdigest()
        return Blob(self._media_type, f"sha256:{digest}", (self._blobs / digest).stat().st_size)


def manifest_json(
    config: Blob, layers: tuple[Blob, ...], *, artifact_type: str | None, annotations: Mapping[str, str]
) -> Json:
    """An image manifest; with an `artifact_type` it is something else than an image."""
    head = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
    return {
        **(head | {"artifactType": artifact_type} if artifact_type else head),
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
        "annotations": dict(sorted(annotations.items())),
    }


def _json(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
