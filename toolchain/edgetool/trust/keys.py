"""Finds the private key that the user named, and the certificates that go with it."""

from __future__ import annotations

from pathlib import Path

from edgetool.trust.signer import Signer


def load_signer(named: str, *, certificate: Path | None = None) -> Signer:
    """The key behind a name.

    Args:
        named: a PEM file, `env:NAME` of a variable that holds PEM, or a `pkcs11:` URI (RFC 7512).
        certificate: PEM file with the key's certificate first, those of its issuers after it.

    Raises:
        ConfigError: it is missing, cannot be read, is encrypted without a password, or is no key of a kind that signs.
        UnavailableError: the token is not there.
    """
    raise NotImplementedError
