"""What of the environment is for signing alone: converters, and code that a project brings, never see it."""

from __future__ import annotations

from collections.abc import Mapping

from edgetool.trust.keys import PASSWORD
from edgetool.trust.pkcs11_uri import PIN

_KEY = "PRIVATE KEY-----"
"""In every private key in PEM: `--key env:NAME` lets the user choose the variable."""


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without private keys, their password, and the PIN of a token."""
    return {name: value for name, value in environment.items() if name not in (PASSWORD, PIN) and _KEY not in value}
