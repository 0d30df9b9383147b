"""Signs a bundle: one file beside it vouches for every byte in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgetool.bundle.read import sound_bundle
from edgetool.bundle.verify import MAX_JSON
from edgetool.disk import host_errors, replace_file
from edgetool.errors import ConfigError
from edgetool.trust.checking import purpose_fault
from edgetool.trust.ec_keys import read_public_key
from edgetool.trust.model_signing import (
    HASHES,
    MAX_CERTIFICATES,
    Envelope,
    Statement,
    key_hint,
    read_envelope,
    signed_bytes,
    write_envelope,
    write_statement,
)
from edgetool.trust.signer import Signer
from edgetool.trust.verification import signature_of
from edgetool.trust.x509_der import read_certificate


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature in its place.

    Attributes:
        path: the file.
        content_digest: of the bundle.
        key: how the signature names the key: sha256 hex of its PEM text.
        certified: it carries certificates.
    """

    path: Path
    content_digest: str
    key: str
    certified: bool


def sign_bundle(bundle: Path, signer: Signer, *, destination: Path | None = None) -> Signature:
    """Sign a bundle after checking it. An older signature of it is replaced.

    Args:
        bundle: the folder.
        signer: the key; its certificates travel with the signature.
        destination: the signature file; `NAME.edgebundle.sig` beside the bundle when left out.

    Raises:
        ConfigError: there is no bundle, the key is not of the kind that the format knows, or something that is no
            signature is at the destination.
        IntegrityError: the bundle is damaged.
        UnavailableError: the token is gone.
        HostError: disk full, permission denied.
    """
    place = destination or signature_of(bundle)
    _check_key(signer)
    _check_place(place, bundle)
    found = sound_bundle(bundle)
    payload = write_statement(Statement(bundle.absolute().name, found.hashes))
    signature = signer.sign(signed_bytes(payload), hash_name=HASHES[signer.bits])
    hint = key_hint(read_public_key(signer.public_key))
    replace_file(place, write_envelope(Envelope(payload, signature, hint, signer.certificates)))
    return Signature(place, str(found.content_digest), hint, bool(signer.certificates))


def _check_key(signer: Signer) -> None:
    if signer.kind != "ec" or signer.bits not in HASHES:
        raise ConfigError(
            "key-unsuitable",
            f"the bundle's signature needs an EC key, and this is {signer.kind.upper()} of {signer.bits} bits",
            where=signer.source,
            hint="make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
        )
    if len(signer.certificates) > MAX_CERTIFICATES:
        raise ConfigError(
            "certificate-invalid",
            f"a signature carries up to {MAX_CERTIFICATES} certificates, and these are {len(signer.certificates)}",
            where=signer.source,
            hint="name the key's certificate and those between it and the root that devices trust, no others",
        )
    if fault := _certificates_fault(signer.certificates):
        raise ConfigError(
            "certificate-unsuitable",
            f"no device would accept the signature: {fault}",
            where=signer.source,
            hint="issue the certificate with keyUsage=digitalSignature and extendedKeyUsage=codeSigning",
        )


def _certificates_fault(certificates: tuple[bytes, ...]) -> str | None:
    if not certificates:
        return None
    try:
        return purpose_fault([read_certificate(der) for der in certificates])
    except ValueError as error:
        return str(error)


def _check_place(place: Path, bundle: Path) -> None:
    """Refuse to write into the bundle, or over something that is no signature."""
    inside = Path(os.path.realpath(place)).is_relative_to(os.path.realpath(bundle))
    with host_errors(place):
        taken = place.exists() and not _is_signature(place)
    if inside or taken:
        raise ConfigError(
            "signature-place-taken",
            "a signature cannot lie inside the bundle that it signs"
            if inside
            else "something that is no signature is where the signature would go",
            where=str(place),
            hint="choose another file with --output; without it the signature goes beside the bundle",
        )


def _is_signature(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        data = file.read(MAX_JSON + 1)
    try:
        read_envelope(data)
    except ValueError:
        return False
    return True
