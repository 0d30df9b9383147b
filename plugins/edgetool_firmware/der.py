"""The few rules of DER (X.690) that a CMS message needs."""

from __future__ import annotations

from collections.abc import Iterable

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31


def element(tag: int, content: bytes) -> bytes:
    """Tag, length, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    return element(SEQUENCE, b"".join(parts))


def set_of(parts: Iterable[bytes], tag: int = SET) -> bytes:
    """A SET OF, whose elements DER wants sorted."""
    return element(tag, b"".join(sorted(parts)))


def explicit(number: int, content: bytes) -> bytes:
    """`[number] EXPLICIT content`."""
    return element(0xA0 | number, content)


def integer(value: int) -> bytes:
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from `1.2.840.…`."""
    first, second, *rest = map(int, dotted.split("."))
    return element(OID, b"".join(map(_base128, (first * 40 + second, *rest))))


def split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The first element whole, its content, and what follows it.

    Raises:
        ValueError: the element is cut off, or its length is not DER's.
    """
    if len(data) < 2:
        raise ValueError("the data ends where an element should begin")
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    end = start + size
    if end > len(data):
        raise ValueError("an element is longer than the data")
    return data[:end], data[start:end], data[end:]


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))
