"""The certificates that travel with a signature, held against the key and the clock before anything is signed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.errors import ConfigError
from edgetool.trust.pem_file import read_pem

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def read_certificates(path: Path) -> tuple[bytes, ...]:
    """DER of all certificates in a PEM file, in its order.

    Raises:
        ConfigError: `certificate-not-found` or `certificate-invalid`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    pem = _certificates_of(path)
    try:
        rows = load_pem_x509_certificates(pem)
        for row in rows:
            row.public_key()  # a certificate of a key that cannot be parsed is of no use to anybody
        return tuple(row.public_bytes(Encoding.DER) for row in rows)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "certificate-invalid",
            "the certificate is damaged",
            where=str(path),
            hint="openssl x509 -in FILE -noout -text says what OpenSSL makes of it",
        ) from error


def check_certificates(certificates: tuple[bytes, ...], public_key: bytes, *, source: str) -> None:
    """Refuse certificates that no device would accept for this key.

    Args:
        certificates: DER, the key's own first; none is fine.
        public_key: PEM.
        source: of the key, to be shown.

    Raises:
        ConfigError: `certificate-mismatch` or `certificate-out-of-date`.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    rows = [load_der_x509_certificate(der) for der in certificates]
    keys = [row.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for row in rows]
    if rows and keys[0] != public_key:
        order = public_key in keys
        raise ConfigError(
            "certificate-mismatch",
            "the key's own certificate is not the first in its file"
            if order
            else f"the certificate of {_subject(rows[0])} belongs to another key",
            where=source,
            hint="put the key's certificate first, those of its issuers after it"
            if order
            else "name the certificate that was made for this key; both have the same `openssl pkey -pubout`",
        )
    now = datetime.datetime.now(datetime.UTC)
    for row in rows:
        if not row.not_valid_before_utc <= now <= row.not_valid_after_utc:
            state = (
                f"expired on {row.not_valid_after_utc:%Y-%m-%d}"
                if now > row.not_valid_after_utc
                else f"is not valid before {row.not_valid_before_utc:%Y-%m-%d}"
            )
            raise ConfigError(
                "certificate-out-of-date",
                f"the certificate of {_subject(row)} {state}",
                where=source,
                hint="ask its issuer for a new one, or set this machine's clock: devices would refuse the signature",
            )


def _certificates_of(path: Path) -> bytes:
    pem = read_pem(path, what="certificate")
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        held = "a private key" if b"PRIVATE KEY-----" in pem else "no PEM certificate"
        raise ConfigError(
            "certificate-invalid",
            f"it holds {held}: there is no line -----BEGIN CERTIFICATE-----",
            where=str(path),
            hint="turn DER into PEM: openssl x509 -inform DER -in FILE -out FILE.pem",
        )
    return pem


def _subject(certificate: Certificate) -> str:
    return repr(certificate.subject.rfc4514_string()[:120])
