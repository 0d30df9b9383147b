"""`mender`: an artifact for Mender, installed by the update module `edgetool-model`, which has to be on the device."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Annotated, ClassVar

import pydantic

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.errors import ConfigError
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool.trust.signer import Signer
from edgetool_firmware.device import carried
from edgetool_firmware.mender.artifact import LARGEST, Header, PayloadFile, payload_size, write_artifact
from edgetool_firmware.names import DevicePath, model_path, safe_name

MODULE = "edgetool-model"

_SCALAR = 32
"""Bytes of each half of the signature: Mender knows the curve P-256 alone."""

Word = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9._+-]+$")]


class MenderOptions(ExporterOptions):
    """What Mender is told."""

    device_types: list[Word] = pydantic.Field(
        min_length=1, description="types of device that take the artifact, as in the device's device_type"
    )
    path: DevicePath | None = pydantic.Field(
        None, description="where the bundle lies on the device; /var/lib/edgetool/models/NAME if left out"
    )
    artifact_name: Word | None = pydantic.Field(None, description="name of the artifact; NAME-VERSION if left out")

    @pydantic.field_validator("device_types", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Mender(Exporter[MenderOptions]):
    """Signed artifact with one payload."""

    Options: ClassVar[type[MenderOptions]] = MenderOptions
    suffix = ".mender"
    signing = "required"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        files = [PayloadFile(row.path, row.size, row.sha256, b"") for row in bundle.manifest.files]
        if payload_size(files) < LARGEST - 2**24:  # with room for the manifest and the programs
            return ()
        return (Problem("the payload of an artifact has less than 8 GiB", fix="build a smaller engine"),)

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        signer = context.signer
        if signer is None:
            raise ValueError("the framework gives every signed format a key")
        _require_known_key(signer)
        path = self.options.path or model_path(bundle)
        header = self._header(bundle, path)
        found = _payload(bundle, context, path)
        with destination.open("xb") as file:
            write_artifact(file, header, found, created=context.created, sign=lambda data: _signature(data, signer))
        return {
            "artifact_name": header.name,
            "provides": dict(header.provides),
            "path": path,
            "deterministic": signer.deterministic,
        }

    def _header(self, bundle: Bundle, path: str) -> Header:
        manifest = bundle.manifest
        name, version = safe_name(manifest.name, what="the model"), safe_name(manifest.version, what="the version")
        provided = f"data-partition.models.{name}"
        return Header(
            name=self.options.artifact_name or f"{name}-{version}",
            devices=self.options.device_types,
            module=MODULE,
            provides={f"{provided}.version": version},
            clears=[f"{provided}.*"],
            metadata={"path": path, "digest": bundle.content_digest, "compatibility": manifest.target.compatibility},
        )


def _payload(bundle: Bundle, context: ExportContext, path: str) -> list[PayloadFile]:
    """Mender's payloads have no folders: each file has a number, and `index` says which path belongs to it."""
    found = carried(bundle, context)
    index = "".join(f"{number:06} {item.name}\n" for number, item in enumerate(found)).encode()
    return [
        _from_bytes("path", f"{path}\n".encode()),
        _from_bytes("index", index),
        *(PayloadFile(f"{number:06}", item.size, item.sha256, item.path) for number, item in enumerate(found)),
    ]


def _from_bytes(name: str, data: bytes) -> PayloadFile:
    return PayloadFile(name, len(data), hashlib.sha256(data).hexdigest(), data)


def _require_known_key(signer: Signer) -> None:
    if signer.kind == "ec" and signer.bits != 8 * _SCALAR:
        raise ConfigError(
            "key-unsuitable",
            f"Mender does not verify signatures of an EC key with {signer.bits} bits",
            where=signer.source,
            hint="make one it knows: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; or an RSA key",
        )


def _signature(manifest: bytes, signer: Signer) -> bytes:
    signature = signer.sign(manifest)
    if signer.kind == "ec":
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        signature = b"".join(number.to_bytes(_SCALAR, "big") for number in decode_dss_signature(signature))
    return base64.b64encode(signature)
