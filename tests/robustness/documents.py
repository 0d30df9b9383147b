"""Mutated JSON: values of other types, keys that are gone or new, and text that is hardly JSON any more."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

from tests.robustness.bytes import damaged_bytes
from tests.robustness.seeds import BASELINE, Seeds
from tests.robustness.words import COUNTS, NAMES, PATHS

_DEPTHS = (50, 5000, 200_000)


def mutated_baseline(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """What `validate --baseline` compares with; a target without a backend ends the command soon after it is read."""
    path = seeds.take(BASELINE, folder)
    path.write_bytes(damaged_document(random, path.read_bytes()))
    (folder / "targets.toml").write_text('schema = 1\n[model]\nsource = "none.onnx"\n[targets.float]\nbackend = "c"\n')
    return ("validate", "--baseline", BASELINE)


def damaged_document(random: Random, data: bytes) -> bytes:
    """Mostly JSON still: one to four changes of its values; sometimes damaged as bytes, or nested without end."""
    way = random.random()
    if way < 0.1:
        return damaged_bytes(random, data)
    if way < 0.14:
        depth = random.choice(_DEPTHS)
        return b'{"schema_version": 1, "files": ' + random.choice((b"[", b'{"a":')) * depth
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):  # an earlier change went this far already
        return damaged_bytes(random, data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        document = changed(random, document)
    return written(document)


def written(document: Any) -> bytes:
    """As bytes, with the lone surrogates and the NaN that JSON's readers in Python accept."""
    return json.dumps(document, indent=1).encode()


def changed(random: Random, document: Any) -> Any:
    """The document with one value exchanged, removed, doubled, or under another key; in place where possible."""
    parents = _containers(document)
    if not parents:
        return odd_value(random)
    parent = random.choice(parents)
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    key = random.choice(keys)
    way = random.randrange(6)
    if way <= 2:
        parent[key] = odd_value(random)
    elif way == 3:
        del parent[key]
    elif way == 4 and isinstance(parent, dict):
        parent[random.choice(NAMES)] = parent.pop(key)
    elif way == 4:
        parent.append(parent[key])
    else:
        other = random.choice(parents)
        parent[key] = copy.deepcopy(random.choice(list(other.values()) if isinstance(other, dict) else other))
    return document


def odd_value(random: Random) -> Any:
    numbers = (*COUNTS, 10**30, 1.5, -0.0, 1e308, float("nan"), float("inf"))
    strings = (*NAMES, *PATHS, "\ud800", "0" * 64)
    others = (None, True, False, [], {}, [[]], {"": None}, [None] * 3)
    return random.choice((random.choice(numbers), random.choice(strings), random.choice(others)))


def _containers(document: Any) -> list[Any]:
    """All objects and arrays that are not empty."""
    found, left = [], [document]
    while left:
        value = left.pop()
        if isinstance(value, (dict, list)) and value:
            found.append(value)
            left += list(value.values()) if isinstance(value, dict) else value
    return found
