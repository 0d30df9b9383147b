"""Reads the image that another one is built upon, and believes nothing that its hashes do not prove."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetool.errors import ConfigError
from edgetool_firmware.oci.layout import MANIFEST_TYPE, MAX_MANIFEST, Blob

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Base:
    """An image's layers and configuration; empty where there is no image below.

    Attributes:
        blobs: descriptors of its layers, the lowest first, and the files that hold them.
        config: its configuration as it is.
    """

    blobs: tuple[tuple[Blob, Path], ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diff_ids(self) -> list[str]:
        return list((self.config.get("rootfs") or {}).get("diff_ids") or [])

    @property
    def history(self) -> list[Any]:
        return list(self.config.get("history") or [])


def read_base(folder: Path) -> Base:
    """The one image of an OCI image layout.

    Raises:
        ConfigError: `base-image-invalid`: no layout, more images than one, or a blob that is not what its name says.
    """
    try:
        index = json.loads(_small(folder / "index.json"))
        rows = [row for row in index["manifests"] if row["mediaType"] == MANIFEST_TYPE]
        if len(rows) != 1:
            raise ValueError(f"it holds {len(rows)} images")
        manifest = json.loads(_small(_blob(folder, rows[0]["digest"])))
        config = json.loads(_small(_blob(folder, manifest["config"]["digest"])))
        blobs = tuple(
            (Blob(layer["mediaType"], layer["digest"], layer["size"]), _blob(folder, layer["digest"]))
            for layer in manifest["layers"]
        )
        if len(config["rootfs"]["diff_ids"]) != len(blobs):
            raise ValueError("its configuration does not fit its layers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            "base-image-invalid",
            f"the base is no OCI image layout with one image: {str(error) or type(error).__name__}",
            where=str(folder),
            hint="make one with: skopeo copy docker://IMAGE oci:FOLDER:TAG",
        ) from error
    return Base(blobs, config)


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_MANIFEST + 1)
    if len(data) > MAX_MANIFEST:
        raise ValueError(f"{path.name} is larger than {MAX_MANIFEST} bytes")
    return data


def _blob(folder: Path, digest: str) -> Path:
    """The file of a blob, after its hash was compared with its name."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError(f"{digest!r:.80} is no sha256")
    path = folder / "blobs" / "sha256" / match[1]
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != match[1]:
            raise ValueError(f"blob {digest} has other bytes")
    return path
