"""Reads the keys and certificates that a user of the verifier trusts. Runs with Python 3.8 and its standard library."""

from __future__ import annotations

from pathlib import Path

from edgetool.trust.checking import Trust
from edgetool.trust.ec_keys import read_public_key
from edgetool.trust.x509_der import pem_blocks, read_certificate

_LARGEST = 1 << 20


class UnusableError(Exception):
    """A key or certificate that was named is of no use.

    Attributes:
        code: as in `edgetool.errors`.
    """

    def __init__(self, code: str, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.code = code


def trust_in_key(path: Path, *, at: int) -> Trust:
    """Trust the holder of one key, whose public half is in a PEM file. Raises UnusableError."""
    try:
        return Trust(read_public_key(_read(path, "key")), (), at)
    except ValueError as error:
        raise UnusableError("key-invalid", path, str(error)) from error


def trust_in_authorities(path: Path, *, at: int) -> Trust:
    """Trust whom the certificates in a PEM file vouch for.

    Args:
        path: the file.
        at: when certificates have to be valid, in seconds since 1970.

    Raises:
        UnusableError: there is no certificate in it.
    """
    try:
        found = tuple(der for kind, der in pem_blocks(_read(path, "certificate")) if kind == "CERTIFICATE")
        for der in found:
            read_certificate(der)
    except ValueError as error:
        raise UnusableError("certificate-invalid", path, str(error)) from error
    if not found:
        raise UnusableError("certificate-invalid", path, "it holds no PEM certificate")
    return Trust(None, found, at)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise UnusableError(f"{what}-not-found", path, error.strerror or "it cannot be read") from error
    if len(text) > _LARGEST:
        raise UnusableError(f"{what}-invalid", path, f"it is larger than {_LARGEST >> 20} MiB")
    return text
