"""The format of signatures: OpenSSF model-signing v1.0, written and read.

A file of JSON (a Sigstore bundle, v0.3) holds an envelope (DSSE v1), which holds a statement (in-toto v1) that names
every file of the model and its sha256. docs/reference/signature-format.md describes it. Trusts nothing that it
reads, needs the standard library only, and runs with Python 3.8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.bundle.verify import MAX_FILES, parse_json, path_fault
from edgetool.trust.x509_der import pem

if TYPE_CHECKING:
    from edgetool.trust.signer import HashName

HASHES: Mapping[int, HashName] = {256: "sha256", 384: "sha384", 521: "sha512"}
"""Bits of a curve to the hash that the format signs with it."""
MAX_CERTIFICATES = 8

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Envelope:
    """What a signature file holds; nothing in it is trusted yet.

    Attributes:
        payload: the statement, as signed.
        signature: ECDSA-Sig-Value.
        key_hint: sha256 hex of the public key's PEM text; None where it is left out or certificates stand instead.
        certificates: DER, the signer's own first; empty for signatures made with a bare key.
    """

    payload: bytes
    signature: bytes
    key_hint: str | None = None
    certificates: tuple[bytes, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        return signed_bytes(self.payload)


@dataclass(frozen=True)
class Statement:
    """What was signed: the folder's name, for people only, and sha256 hex by path of every file in it."""

    name: str
    hashes: Mapping[str, str]


def signed_bytes(payload: bytes) -> bytes:
    """What the signature is over: DSSE's pre-authentication encoding of a statement."""
    return f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def key_hint(public_key: bytes) -> str:
    """How a signature names its key.

    Args:
        public_key: SubjectPublicKeyInfo, DER.
    """
    return hashlib.sha256(pem("PUBLIC KEY", public_key)).hexdigest()


def write_statement(statement: Statement) -> bytes:
    """The bytes to be signed: equal statements give equal ones."""
    paths = sorted(statement.hashes, key=lambda path: path.split("/"))
    whole = hashlib.sha256(b"".join(bytes.fromhex(statement.hashes[path]) for path in paths))
    data = {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": statement.name, "digest": {"sha256": whole.hexdigest()}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [{"name": path, "algorithm": "sha256", "digest": statement.hashes[path]} for path in paths],
        },
    }
    return json.dumps(data, separators=(",", ":")).encode()


def write_envelope(envelope: Envelope) -> bytes:
    """The bytes of a signature file."""
    material: dict[str, Any] = {"tlogEntries": []}
    if envelope.certificates:
        rows = [{"rawBytes": _base64(der)} for der in envelope.certificates]
        material["x509CertificateChain"] = {"certificates": rows}
    else:
        material["publicKey"] = {"hint": envelope.key_hint}
    data = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": _base64(envelope.payload),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": _base64(envelope.signature), "keyid": ""}],
        },
    }
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def read_envelope(data: bytes) -> Envelope:
    """Parse a signature file. Raises ValueError with the reason why it is none."""
    bundle = _object(parse_json(data), "it")
    _demand(bundle, "mediaType", _MEDIA_TYPE)
    if "dsseEnvelope" not in bundle:
        raise ValueError("it signs no statement, but a digest")
    envelope = _object(bundle["dsseEnvelope"], "dsseEnvelope")
    _demand(envelope, "payloadType", _PAYLOAD_TYPE)
    signatures = _list(envelope.get("signatures"), "signatures")
    if len(signatures) != 1:
        raise ValueError(f"it has {len(signatures)} signatures, and can have one")
    material = _object(bundle.get("verificationMaterial"), "verificationMaterial")
    hint, certificates = _signer(material)
    return Envelope(
        payload=_bytes(envelope.get("payload"), "payload"),
        signature=_bytes(_object(signatures[0], "a signature").get("sig"), "sig"),
        key_hint=hint,
        certificates=certificates,
    )


def read_statement(payload: bytes) -> Statement:
    """Parse a statement whose signature was checked. Raises ValueError with the reason why it is none."""
    statement = _object(parse_json(payload), "the statement")
    _demand(statement, "_type", _STATEMENT_TYPE)
    _demand(statement, "predicateType", _PREDICATE_TYPE)
    subjects = _list(statement.get("subject"), "subject")
    if len(subjects) != 1:
        raise ValueError(f"its statement has {len(subjects)} subjects, and can have one")
    subject = _object(subjects[0], "subject")
    predicate = _object(statement.get("predicate"), "predicate")
    how = _object(predicate.get("serialization"), "serialization")
    if how.get("method") != "files" or how.get("hash_type") != "sha256":
        raise ValueError(
            f"it hashes by {how.get('method')!r} and {how.get('hash_type')!r}, this program by files and sha256"
        )
    hashes, whole = _resources(predicate)
    if _object(subject.get("digest"), "digest").get("sha256") != whole:
        raise ValueError("its statement is inconsistent: the digest of the whole is not that of the files")
    return Statement(str(subject.get("name")), hashes)


def _resources(predicate: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    rows = _list(predicate.get("resources"), "resources")
    if len(rows) > MAX_FILES:
        raise ValueError(f"it names more than {MAX_FILES} files")
    found: dict[str, str] = {}
    whole = hashlib.sha256()
    for row in rows:
        resource = _object(row, "a resource")
        path, digest = resource.get("name"), resource.get("digest")
        if reason := path_fault(path):
            raise ValueError(f"it names a file that no bundle can have: {reason}")
        if path in found:
            raise ValueError(f"it names {path!r} twice")
        if resource.get("algorithm") != "sha256" or not isinstance(digest, str) or len(digest) != 64:
            raise ValueError(f"it has no sha256 of {path!r}")
        try:
            whole.update(bytes.fromhex(digest))
        except ValueError:
            raise ValueError(f"it has no sha256 of {path!r}") from None
        found[str(path)] = digest.lower()
    return found, whole.hexdigest()


def _signer(material: Mapping[str, Any]) -> tuple[str | None, tuple[bytes, ...]]:
    """The key's hint and the certificates, of which a signature has one."""
    if "x509CertificateChain" in material and "publicKey" not in material:
        chain = _object(material["x509CertificateChain"], "x509CertificateChain")
        rows = _list(chain.get("certificates"), "certificates")
        if not 1 <= len(rows) <= MAX_CERTIFICATES:
            raise ValueError(f"it has {len(rows)} certificates, and can have 1 to {MAX_CERTIFICATES}")
        return None, tuple(_bytes(_object(row, "a certificate").get("rawBytes"), "rawBytes") for row in rows)
    if "publicKey" in material and "x509CertificateChain" not in material:
        hint = _object(material["publicKey"], "publicKey").get("hint")
        if hint is not None and not isinstance(hint, str):
            raise ValueError("its hint of the key is damaged")
        return hint or None, ()
    if "certificate" in material:
        raise ValueError("it was made with the Sigstore service, which cannot be checked without a network")
    raise ValueError("it says neither which key it was made with nor which certificate")


def _demand(data: Mapping[str, Any], key: str, wanted: str) -> None:
    found = data.get(key)
    if found != wanted:
        raise ValueError(f"its {key} is {str(found)[:80]!r}, this program knows {wanted!r}")


def _object(data: object, name: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{name} is not a JSON object")
    return data


def _list(data: object, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise ValueError(f"{name} is not a list")
    return data


def _bytes(data: object, name: str) -> bytes:
    if not isinstance(data, str):
        raise ValueError(f"{name} is missing")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is not base64") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
