"""A recipe goes into the targets file, and nothing else of the file changes."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from edgetool.config.edit import write_recipe
from edgetool.config.load import load
from edgetool.errors import ConfigError

PASSES = [{"use": "simplify"}, {"use": "quantize-static", "exclude": ['a"b', "c"], "smoothing": 0.5}]

FILE = """\
# a board   # with comments
schema = 1

[recipes.int8]   # the old one
passes = [
  { use = "simplify" },  # first
  { use = "quantize-static" },
]

# what we ship
[targets.cpu]
backend = "onnxruntime"
recipe  = 'int8'  # chosen by hand
budget = { min_cosine = 0.9 }

[targets."b.c"]
extends = "cpu"
[targets.best]
backend = "onnxruntime"
precision = "auto"
candidates = [
  "int8",
  "float",
]
# the end"""


def _write(folder: Path, text: str, target: str, name: str = "tuned") -> str:
    path = folder / "targets.toml"
    path.write_bytes(text.encode())
    write_recipe(path, target, name, PASSES, remark="tune: a remark")
    return path.read_bytes().decode()


def _removed(before: str, after: str) -> list[str]:
    """Lines that are gone or changed."""
    left = after.splitlines()
    return [line for line in before.splitlines() if line not in left]


def test_only_the_recipe_key_changes_and_its_comment_stays(tmp_path: Path) -> None:
    after = _write(tmp_path, FILE, "cpu")
    assert _removed(FILE, after) == ["recipe  = 'int8'  # chosen by hand"]
    assert 'recipe  = "tuned"  # chosen by hand\n' in after
    found = tomllib.loads(after)
    assert found["recipes"]["tuned"]["passes"] == PASSES
    assert after.index("[recipes.tuned]") < after.index("# what we ship"), "beside the other recipes"


def test_a_target_that_inherits_its_recipe_gets_its_own(tmp_path: Path) -> None:
    after = _write(tmp_path, FILE, "b.c")
    assert _removed(FILE, after) == []
    assert '[targets."b.c"]\nrecipe = "tuned"\nextends' in after


def test_precision_auto_gives_way(tmp_path: Path) -> None:
    after = _write(tmp_path, FILE, "best")
    assert tomllib.loads(after)["targets"]["best"] == {"backend": "onnxruntime", "recipe": "tuned"}
    assert after.rstrip().endswith("# the end")


def test_a_target_of_an_included_file_is_added_to(tmp_path: Path) -> None:
    after = _write(tmp_path, FILE, "elsewhere")
    assert after.startswith(FILE[: FILE.index("# what we ship")])
    assert tomllib.loads(after)["targets"]["elsewhere"] == {"recipe": "tuned"}


def test_again_replaces_the_recipe_and_its_remark(tmp_path: Path) -> None:
    once = _write(tmp_path, FILE, "cpu")
    assert _write(tmp_path, once, "cpu") == once
    assert once.count("# tune: a remark") == 1


def test_line_ends_of_windows_stay(tmp_path: Path) -> None:
    after = _write(tmp_path, FILE.replace("\n", "\r\n"), "cpu")
    assert "\n" not in after.replace("\r\n", "")


def test_a_file_without_recipes(tmp_path: Path) -> None:
    text = 'schema = 1\n[targets.cpu]\nbackend = "onnxruntime"'
    after = _write(tmp_path, text, "cpu")
    assert after.startswith('schema = 1\n[targets.cpu]\nrecipe = "tuned"\nbackend = "onnxruntime"\n')
    config = load(tmp_path / "targets.toml")
    assert [row.use for row in config.target("cpu").passes] == ["simplify", "quantize-static"]


def test_searches_that_end_together_all_write(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    names = [f"board{index}" for index in range(8)]
    path.write_text("schema = 1\n" + "".join(f'[targets.{name}]\nbackend = "onnxruntime"\n' for name in names))
    together = Barrier(len(names))

    def write(name: str) -> None:
        together.wait()
        write_recipe(path, name, f"tuned-{name}", PASSES, remark="tune: a remark")

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(write, names))
    written = tomllib.loads(path.read_text())
    assert set(written["recipes"]) == {f"tuned-{name}" for name in names}
    assert [written["targets"][name]["recipe"] for name in names] == [f"tuned-{name}" for name in names]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    """As in a repository whose projects share one file, and a group that may write it."""
    shared = tmp_path / "shared.toml"
    shared.write_text(FILE)
    shared.chmod(0o660)
    (tmp_path / "targets.toml").symlink_to("shared.toml")
    write_recipe(tmp_path / "targets.toml", "cpu", "tuned", PASSES, remark="tune: a remark")
    assert (tmp_path / "targets.toml").is_symlink()
    assert tomllib.loads(shared.read_text())["targets"]["cpu"]["recipe"] == "tuned"
    assert shared.stat().st_mode & 0o777 == 0o660


def test_many_layers_have_a_line_each(tmp_path: Path) -> None:
    passes = [{"use": "quantize-static", "exclude": [f"a/rather/long/name/of/a/layer/{at}" for at in range(9)]}]
    path = tmp_path / "targets.toml"
    path.write_text(FILE)
    write_recipe(path, "cpu", "tuned", passes, remark="tune: a remark")
    assert tomllib.loads(path.read_text())["recipes"]["tuned"]["passes"] == passes
    assert max(map(len, path.read_text().splitlines())) < 110


@pytest.mark.parametrize(
    "text",
    [
        'schema = 1\nrecipes = { a = { passes = [] } }\ntargets = { cpu = { backend = "onnxruntime", recipe="a" } }\n',
        'schema = 1\ntargets.cpu.backend = "onnxruntime"\n',
        'schema = 1\n[targets]\ncpu = { backend = "onnxruntime" }\n',
        'schema = 1\n[recipes]\ntuned = { passes = [] }\n[targets.cpu]\nbackend = "onnxruntime"\n',
        'schema = 1\n[targets.cpu]\nbackend = "onnxruntime"\nrecipe = """a"""\n',
    ],
)
def test_what_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _write(tmp_path, text, "cpu")
    assert caught.value.code == "uneditable-targets-file"
    assert "[recipes.tuned]" in (caught.value.hint or "")
    assert (tmp_path / "targets.toml").read_text() == text
