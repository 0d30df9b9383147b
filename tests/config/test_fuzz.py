"""Whatever stands in the file: a config or a ConfigError, and for every mistake a place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetool.config.load import inspect
from edgetool.config.write import toml_value
from edgetool.errors import ConfigError

KEYS = st.sampled_from(
    [
        *("schema", "include", "model", "data", "recipes", "targets"),
        *("name", "inputs", "shape", "dtype", "dims", "min", "max", "preprocess", "resize", "passes", "use"),
        *("extends", "backend", "fallback", "recipe", "stands_in_for", "budget", "size", "facts", "isa"),
        *("builder", "timeout", "package", "onnxruntime", "a", "b", "x y", ""),
    ]
)
LEAVES = st.one_of(
    st.sampled_from(["a", "b", "@generic/cpu", "@", "1%", "12ms", "20MiB", "onnxruntime", "fail", "", "\x7f\n\"'"]),
    st.integers(-2, 3),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"schema": st.just(1)},
        optional={
            "include": VALUES,
            "model": st.one_of(TABLES, VALUES),
            "data": st.one_of(TABLES, VALUES),
            "recipes": st.one_of(st.dictionaries(KEYS, TABLES, max_size=3), VALUES),
            "targets": st.one_of(st.dictionaries(KEYS, TABLES, max_size=3), VALUES),
        },
    )
)
def test_any_file(table: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "targets.toml"
        path.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in table.items()), encoding="utf-8")
        found = inspect(path, known_backends={"onnxruntime"})
    assert (found.config is None) == bool(found.mistakes)
    for mistake in found.mistakes:
        assert mistake.origin.line, mistake
        assert mistake.message


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_override(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "targets.toml"
        path.write_text('schema = 1\n[targets.a]\nbackend = "onnxruntime"\n', encoding="utf-8")
        try:
            inspect(path, overrides=[text])
        except ConfigError:
            return


@pytest.mark.parametrize(
    "value", ["plain", 'quo"te', "back\\slash", "\x7f\x00\n\t", "ünï", [1, [2.5, True]], {"a b": {"c": []}}]
)
def test_written_values_read_back(value: object) -> None:
    import tomllib

    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value
