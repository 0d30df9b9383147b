"""Damage that knows nothing of a format."""

from __future__ import annotations

from random import Random


def damaged_bytes(random: Random, data: bytes) -> bytes:
    """One to eight flipped bits, exchanged, doubled or cut pieces; never the same bytes on purpose, yet maybe equal."""
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        data = _damaged_once(random, data)
    return data


def flipped(random: Random, data: bytes) -> bytes:
    """One bit."""
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _damaged_once(random: Random, data: bytes) -> bytes:
    if not data:
        return random.randbytes(random.randrange(1, 64))
    start = random.randrange(len(data))
    end = min(len(data), start + random.choice((1, 4, 16, 256)))
    way = random.randrange(8)
    if way <= 2:
        return flipped(random, data)
    if way == 3:
        return data[:start]
    if way == 4:
        return data[:start] + data[end:]
    if way == 5:
        return data[:end] + data[start:end] + data[end:]
    if way == 6:
        return data[:start] + random.randbytes(end - start) + data[end:]
    return data[:start] + random.choice((b"\xff", b"\0", b"\x80")) * (end - start) + data[end:]
