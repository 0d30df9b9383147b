"""What a certificate says of its key, its time and its purpose, read from DER. Trusts nothing that it reads.

Whether an authority vouches for the certificate is for a cryptographic library to say. Everything here follows RFC
5280, section 4, needs the standard library only, and runs with Python 3.8.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
ANY_PURPOSE = "2.5.29.37.0"

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE, _SET, _TRUE = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31, 0x01
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_COMMON_NAME, _KEY_USAGE, _EXTENDED_KEY_USAGE = "2.5.4.3", "2.5.29.15", "2.5.29.37"
_DIGITAL_SIGNATURE = 0x80
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class Certificate:
    """What matters of a certificate.

    Attributes:
        der: all of it.
        name: the subject's common name, to be shown; it may hold any character.
        public_key: SubjectPublicKeyInfo, DER.
        begins, ends: seconds since 1970.
        signs: whether its key usage allows signatures; None where it has no such extension.
        purposes: object identifiers of its extended key usage; None where it has no such extension.
    """

    der: bytes
    name: str
    public_key: bytes
    begins: int
    ends: int
    signs: bool | None
    purposes: frozenset[str] | None


def read_certificate(der: bytes) -> Certificate:
    """Parse a certificate. Raises ValueError when it is not one of X.509."""
    tag, content, rest = _split(der)
    if tag != _SEQUENCE or rest:
        raise ValueError("it is no certificate")
    fields = list(_elements(_expect(_SEQUENCE, content)))
    if fields and fields[0][0] == _VERSION:
        fields = fields[1:]
    if len(fields) < 6:  # serial, algorithm, issuer, validity, subject, key
        raise ValueError("the certificate is incomplete")
    validity = [_seconds(tag, value) for tag, value, _ in _elements(fields[3][1])]
    if len(validity) != 2:
        raise ValueError("the certificate's time of validity is damaged")
    found = _extensions(fields[6:])
    usage, purposes = found.get(_KEY_USAGE), found.get(_EXTENDED_KEY_USAGE)
    return Certificate(
        der=der,
        name=_common_name(fields[4][1]),
        public_key=fields[5][2],
        begins=validity[0],
        ends=validity[1],
        signs=None if usage is None else _signs(usage),
        purposes=None
        if purposes is None
        else frozenset(_oid(value) for _, value, _ in _elements(_expect(_SEQUENCE, purposes))),
    )


def pem_blocks(pem: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and DER of each block of a PEM text. Raises ValueError for one that is damaged."""
    for kind, body in _BLOCK.findall(pem):
        try:
            yield kind.decode(), base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            raise ValueError(f"its {kind.decode().lower()} is damaged") from None


def pem(kind: str, der: bytes) -> bytes:
    """The PEM text of one block, as OpenSSL writes it."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", "")).encode()


def _split(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first element, and what follows. Raises ValueError for anything but DER."""
    if len(data) < 2:
        raise ValueError("it ends in the middle of an element")
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
        if not 3 <= start <= min(6, len(data)) or data[2] == 0 or length < 0x80:
            raise ValueError("it has a length that is not DER")
    if len(data) < start + length:
        raise ValueError("it ends in the middle of an element")
    return tag, data[start : start + length], data[start + length :]


def _elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, content and whole bytes of each element."""
    while data:
        tag, content, rest = _split(data)
        yield tag, content, data[: len(data) - len(rest)]
        data = rest


def _expect(tag: int, data: bytes) -> bytes:
    """Content of the first element, which must have this tag."""
    found, content, _ = _split(data)
    if found != tag:
        raise ValueError("an element is not of the expected type")
    return content


def _extensions(fields: list[tuple[int, bytes, bytes]]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for tag, content, _ in fields:
        if tag != _EXTENSIONS:
            continue
        for _, extension, _ in _elements(_expect(_SEQUENCE, content)):
            parts = [(part, value) for part, value, _ in _elements(extension) if part != _TRUE]
            if len(parts) != 2 or parts[0][0] != _OID or parts[1][0] != _OCTETS:
                raise ValueError("an extension of the certificate is damaged")
            name = _oid(parts[0][1])
            if name in found:
                raise ValueError("the certificate has an extension twice")
            found[name] = parts[1][1]
    return found


def _signs(usage: bytes) -> bool:
    bits = _expect(_BITS, usage)
    return len(bits) > 1 and bool(bits[1] & _DIGITAL_SIGNATURE)


def _common_name(subject: bytes) -> str:
    for _, relative, _ in _elements(subject):
        for _, pair, _ in _elements(relative):
            parts = [(tag, value) for tag, value, _ in _elements(pair)]
            if len(parts) == 2 and _oid(parts[0][1]) == _COMMON_NAME:
                return parts[1][1].decode("utf-8", "replace")
    return ""


def _oid(content: bytes) -> str:
    if not content or content[-1] & 0x80:
        raise ValueError("an object identifier is damaged")
    numbers, value = [], 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _seconds(tag: int, content: bytes) -> int:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:  # years 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERAL_TIME:
        raise ValueError("the certificate's time of validity is damaged")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
