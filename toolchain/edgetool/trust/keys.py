"""Finds the private key that the user named, and the certificates that go with it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgetool.errors import ConfigError, UnavailableError
from edgetool.trust.pem_file import read_pem
from edgetool.trust.signer import Signer

PASSWORD = "EDGETOOL_KEY_PASSWORD"
_ENVIRONMENT = "env:"
_TOKEN = "pkcs11:"


def load_signer(named: str, *, certificate: Path | None = None) -> Signer:
    """The key behind a name.

    Args:
        named: a PEM file, `env:NAME` of a variable that holds PEM, or a `pkcs11:` URI (RFC 7512).
        certificate: PEM file with the key's certificate first, those of its issuers after it.

    Raises:
        ConfigError: it is missing, cannot be read, is encrypted without a password, or is no key of a kind that signs;
            or the certificate is another key's or out of date.
        UnavailableError: the token is not there, or what reads keys is not installed.
    """
    _require_cryptography()
    from edgetool.trust.certificates import read_certificates
    from edgetool.trust.pem import pem_signer

    certificates = read_certificates(certificate) if certificate is not None else ()
    if named.startswith(_TOKEN):
        from edgetool.trust.pkcs11_token import token_signer

        return token_signer(named, certificates)
    pem = _from_environment(named) if named.startswith(_ENVIRONMENT) else read_pem(Path(named), what="key")
    return pem_signer(pem, source=named, password=os.environ.get(PASSWORD), certificates=certificates)


def exposure(named: str) -> str | None:
    """What is wrong with the place where a private key lies, as a sentence; None where nothing is."""
    if named.startswith((_ENVIRONMENT, _TOKEN)):
        return None
    try:
        status = Path(named).stat()
    except OSError:
        return None
    others = status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISREG(status.st_mode) or not others:
        return None
    return f"{named}: other users of this machine may read this private key: chmod 600 {named}"


def _from_environment(named: str) -> bytes:
    name = named.removeprefix(_ENVIRONMENT)
    value = os.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise ConfigError(
            "key-not-found",
            f"the environment variable {name!r} {state}",
            where=named,
            hint="set it to the private key's PEM text; CI systems keep such variables as secrets",
        )
    return value.encode()


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401 # asked for here, so that what follows can rely on it
    except ImportError as error:
        raise UnavailableError(
            "requirement-missing",
            "signing needs the package cryptography, which is not installed",
            hint="pip install 'edgetool[firmware]'",
        ) from error
