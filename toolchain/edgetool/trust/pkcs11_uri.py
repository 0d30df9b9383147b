"""Names of keys in tokens: `pkcs11:token=release;object=signing?module-path=/usr/lib/token.so` (RFC 7512)."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from edgetool.errors import ConfigError

SCHEME = "pkcs11:"
MODULE = "EDGETOOL_PKCS11_MODULE"
PIN = "EDGETOOL_PIN"

_PATH = frozenset({"token", "manufacturer", "serial", "model", "object", "id", "type"})
_QUERY = frozenset({"module-path", "pin-source"})
_EXAMPLE = f"write {SCHEME}token=LABEL;object=LABEL?module-path=/path/of/library.so&pin-source=file:/path"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """Which key of which token is meant; None where the URI leaves it open.

    Attributes:
        shown: the URI as it may be shown: without anything about the PIN.
        module_path: the token's library.
        label, id: of the key; `id` as bytes.
        token, serial, manufacturer, model: of the token.
        pin_source: file that holds the PIN.
    """

    shown: str
    module_path: str
    label: str | None = None
    id: bytes | None = None
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    pin_source: str | None = field(default=None, repr=False)

    def fits_token(self, token: str, serial: bytes, manufacturer: str, model: str) -> bool:
        """Whether a token is one that the URI may mean."""
        found = (token, serial.decode("utf-8", "replace"), manufacturer, model)
        wanted = (self.token, self.serial, self.manufacturer, self.model)
        return all(want is None or want == have.strip() for want, have in zip(wanted, found, strict=True))


def parse_token_uri(text: str) -> TokenUri:
    """Parse a `pkcs11:` URI.

    Raises:
        ConfigError: `pkcs11-uri-invalid`. No message of it holds what the URI says about the PIN.
    """
    path, _, query = text.removeprefix(SCHEME).partition("?")
    shown = SCHEME + path
    given = _attributes(path, ";", _PATH, shown)
    asked = _attributes(query, "&", _QUERY, shown)
    if given.get("type", b"private") != b"private":
        raise _invalid("signing needs a private key: leave `type` out, or write type=private", shown)
    module = asked.get("module-path", b"").decode("utf-8", "surrogateescape") or os.environ.get(MODULE)
    if not module:
        raise _invalid(f"it names no library: add ?module-path=/path/of/library.so, or set {MODULE}", shown)
    names = {key: _text(value, key, shown) for key, value in given.items() if key not in ("id", "type")}
    source = asked.get("pin-source")
    return TokenUri(
        shown=shown,
        module_path=module,
        label=names.get("object"),
        id=given.get("id"),
        token=names.get("token"),
        serial=names.get("serial"),
        manufacturer=names.get("manufacturer"),
        model=names.get("model"),
        pin_source=None if source is None else os.fsdecode(source),
    )


def read_pin(uri: TokenUri) -> str | None:
    """The PIN from the URI's file or from EDGETOOL_PIN; None where neither is given.

    Raises:
        ConfigError: `token-pin`: the file cannot be read.
    """
    if uri.pin_source is None:
        return os.environ.get(PIN) or None
    path = Path(uri.pin_source.removeprefix("file:"))
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(
            "token-pin",
            f"the file that pin-source names cannot be read: {reason}",
            where=str(path),
            hint=f"write pin-source=file:/absolute/path, or set {PIN}",
        ) from error


def _attributes(text: str, separator: str, known: frozenset[str], shown: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise _invalid(f"pin-value shows the PIN to all users of this machine: use pin-source, or set {PIN}", shown)
        if not equals or name not in known:
            raise _invalid(f"{name[:40]!r} is not one of its attributes: {', '.join(sorted(known))}", shown)
        if name in found:
            raise _invalid(f"it says {name!r} twice", shown)
        found[name] = urllib.parse.unquote_to_bytes(value)
    return found


def _text(value: bytes, name: str, shown: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(f"{name} is not UTF-8", shown) from error


def _invalid(reason: str, shown: str) -> ConfigError:
    return ConfigError("pkcs11-uri-invalid", f"not a usable pkcs11: URI: {reason}", where=shown, hint=_EXAMPLE)
