"""Reads the files that users name as keys and certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgetool.errors import ConfigError

_LARGEST = 1 << 20
_HINTS = {
    "key": "name a PEM file, env:NAME of a variable that holds PEM, or a pkcs11: URI",
    "certificate": "name a PEM file with the key's certificate first, those of its issuers after it",
}


def read_pem(path: Path, *, what: Literal["key", "certificate"]) -> bytes:
    """Bytes of a key or certificate file; a pipe will do, too.

    Raises:
        ConfigError: `key-not-found`, `key-invalid` for what is far too large; or `certificate-...`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(
            "key-not-found" if what == "key" else "certificate-not-found",
            f"the {what} cannot be read: {reason}",
            where=str(path),
            hint=_HINTS[what],
        ) from error
    if len(data) > _LARGEST:
        raise ConfigError(
            "key-invalid" if what == "key" else "certificate-invalid",
            f"it is larger than {_LARGEST >> 20} MiB: no {what}",
            where=str(path),
            hint=_HINTS[what],
        )
    return data
