"""The reader of signatures trusts nothing: whatever it is given, it answers with a reason or with a signature."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgetool.trust.model_signing import (
    Envelope,
    Statement,
    read_envelope,
    read_statement,
    write_envelope,
    write_statement,
)

PATHS = st.from_regex(r"[a-zé][a-z .$]{0,8}(/[a-z0-9]{1,8}){0,3}", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
GOOD = json.loads(write_envelope(Envelope(b"{}", b"x", certificates=(b"y",))))
STATEMENT = json.loads(write_statement(Statement("net", {"a": "00" * 32, "b/c": "11" * 32})))


def places(data: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON document."""
    rows = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in rows for place in places(value, (*path, key)))]


def replaced(data: object, place: tuple[object, ...], value: object) -> object:
    if not place:
        return value
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(places(GOOD)), JSON)
def test_no_signature_makes_it_crash(place: tuple[object, ...], value: object) -> None:
    with contextlib.suppress(ValueError):
        read_envelope(json.dumps(replaced(GOOD, place, value)).encode())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(places(STATEMENT)), JSON)
def test_no_statement_makes_it_crash(place: tuple[object, ...], value: object) -> None:
    with contextlib.suppress(ValueError):
        read_statement(json.dumps(replaced(STATEMENT, place, value)).encode())


@given(st.binary(max_size=99))
def test_no_bytes_make_it_crash(data: bytes) -> None:
    for read in (read_envelope, read_statement):
        with contextlib.suppress(ValueError):
            read(data)


@given(st.text(max_size=30), st.dictionaries(PATHS, DIGESTS, max_size=6), st.binary(max_size=99))
def test_what_is_written_is_read_again(name: str, hashes: dict[str, str], signature: bytes) -> None:
    hashes = {path: digest for path, digest in hashes.items() if not path.startswith((".", "/"))}
    payload = write_statement(Statement(name, hashes))
    assert payload == write_statement(Statement(name, dict(reversed(hashes.items()))))
    assert read_statement(payload) == Statement(name, hashes)
    for envelope in (Envelope(payload, signature, "ab" * 32), Envelope(payload, signature, None, (b"one", b"two"))):
        assert read_envelope(write_envelope(envelope)) == envelope


def test_the_manual_shows_what_is_written() -> None:
    """Keys and constants of the example in the reference page are those of the writer."""
    page = (Path(__file__).parents[2] / "docs/reference/signature-format.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert {**shown, "subject": 0, "predicate": 0} == {**STATEMENT, "subject": 0, "predicate": 0}
    assert shown["predicate"]["serialization"] == STATEMENT["predicate"]["serialization"]
    assert shown["predicate"]["resources"][0].keys() == STATEMENT["predicate"]["resources"][0].keys()
