"""The scanner finds every key that tomllib finds, and on the right line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetool.config.positions import KeyPath, key_lines

TEXT = '''\
schema = 1          # 1
"quoted.key" = 2    # 2
'literal' = 3
a.b.c = 4           # 4

[targets.jetson]    # 6
text = """
not = "a key" [nor.a.table]
"""                 # 9
other = \'\'\'
x = 1\'\'\'           # 11
list = [            # 12
  { use = "simplify", deep = { x = 1 } },   # 13
  # comment ] with a bracket
  { use = "cast # not a comment" },         # 15
]
[[steps]]           # 17
name = "one"
[steps.options]     # 19
x = 1
[[steps]]           # 21
name = "two"
[steps.options]     # 23
x = 2
'''


def paths_of(value: object, path: KeyPath = ()) -> list[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in items for found in ((*path, key), *paths_of(below, (*path, key)))]


def test_lines() -> None:
    lines = key_lines(TEXT)
    assert lines["quoted.key",] == 2
    assert lines["a", "b", "c"] == 4
    assert lines["targets", "jetson"] == 6
    assert lines["targets", "jetson", "other"] == 10
    assert lines["targets", "jetson", "list", 0, "deep", "x"] == 13
    assert lines["targets", "jetson", "list", 1, "use"] == 15
    assert lines["steps", 0, "options", "x"] == 20
    assert lines["steps", 1] == 21
    assert lines["steps", 1, "options", "x"] == 24


def test_every_key_has_a_line() -> None:
    assert set(paths_of(tomllib.loads(TEXT))) <= set(key_lines(TEXT)) | {("targets",)}


KEYS = st.text("abcß \"'.#[]", min_size=1, max_size=4)
VALUES = st.recursive(
    st.sampled_from(["1", "true", '"a#b"', "'a]b'", '"""\nx = 1\n"""', '"\\""', "1979-05-27T07:32:00Z", "-inf"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # ]\n".join(items) + "\n]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{i} = {v}" for i, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_document(table: dict[str, str]) -> None:
    def quoted(key: str) -> str:
        return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = "".join(f"{quoted(key)} = {value}\n" for key, value in table.items())
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # inline tables may not span lines
    lines = key_lines(text)
    assert set(paths_of(values)) == set(lines)
    for key in table:
        assert text.splitlines()[lines[key,] - 1].startswith(quoted(key))


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "a = 1"])
def test_small_documents(text: str) -> None:
    assert set(key_lines(text)) == set(paths_of(tomllib.loads(text)))
