"""Objects by content: the same text is compiled once, and whatever it is made from may not change unnoticed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from edgetool.artifact import Engine, Model
from edgetool.errors import ModelError
from edgetool_c import image
from edgetool_c.backend import PlainC
from edgetool_c.objects import compiled
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.writing import random, written

HOST = COptions(board="host")
COMPILER = ("gcc", "-I.", "-Itest")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that is run from now on; it runs as ever."""
    seen: list[list[str]] = []
    really_run = subprocess.run

    def run(command: list[str], **settings: Any) -> Any:
        seen.append([str(part) for part in command])
        return really_run(command, **settings)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def sources(commands: list[list[str]]) -> list[str]:
    return [command[-1] for command in commands if "-c" in command]


def network(folder: Path, operator: str, size: int) -> Model:
    folder.mkdir()
    return written(
        folder / "m.onnx", [helper.make_node(operator, ["x"], ["y"])], [("x", (1, size))], [("y", (1, size))]
    )


def test_a_network_is_compiled_once_for_measuring_and_opening(
    tmp_path: Path, m4: COptions, build: Callable[..., Engine], commands: list[list[str]]
) -> None:
    engine = build(network(tmp_path / "first", "Relu", 11), m4)
    for _ in range(2):
        with PlainC(m4).open(engine, CONTEXT) as runner:
            value = random(1, 11)
            assert (runner.infer({"x": value})["y"] == value.clip(min=0)).all()
    assert sources(commands).count("model.c") == 1
    assert sources(commands).count("test/serve.c") == 1
    del commands[:]
    build(network(tmp_path / "second", "Sigmoid", 11), m4)
    assert sources(commands) == ["model.c"], "the same tensors, the same board"


def test_where_an_engine_lies_does_not_matter(
    tmp_path: Path, build: Callable[..., Engine], commands: list[list[str]]
) -> None:
    engines = [build(network(tmp_path / name, "Neg", 5), HOST) for name in ("here", "there")]
    images = [image.link(engine.directory, tmp_path / f"{i}.elf", HOST) for i, engine in enumerate(engines)]
    assert images[0].path.read_bytes() == images[1].path.read_bytes()
    assert len(sources(commands)) == len(set(sources(commands)))


@pytest.mark.parametrize("changed", ["one.c", "test/inner.h", "outer.h"])
def test_a_change_anywhere_makes_another_object(changed: str, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "one.c").write_text('#include "inner.h"\nint value(void) { return INNER + 1; }\n')
    (tmp_path / "test" / "inner.h").write_text(' #  include "outer.h"\n#define INNER OUTER + 2\n')
    (tmp_path / "outer.h").write_text("#define OUTER 3\n")
    before = compiled(tmp_path, "one.c", COMPILER, timeout=60)
    path = tmp_path / changed
    path.write_text(path.read_text().translate(str.maketrans("123", "456")))
    after = compiled(tmp_path, "one.c", COMPILER, timeout=60)
    assert before != after


def test_a_header_that_comes_to_lie_in_front_of_another_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "two.c").write_text('#include "size.h"\nint value(void) { return SIZE; }\n')
    (tmp_path / "test" / "size.h").write_text("#define SIZE 1\n")
    before = compiled(tmp_path, "two.c", COMPILER, timeout=60)
    (tmp_path / "size.h").write_text("#define SIZE 2\n")
    assert compiled(tmp_path, "two.c", COMPILER, timeout=60) != before


def test_flags_are_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "flags.c").write_text("int value(int a) { return a * VALUE; }\n")
    objects = {compiled(tmp_path, "flags.c", (*COMPILER, f"-DVALUE={value}"), timeout=60) for value in (3, 5)}
    assert len(objects) == 2


@pytest.mark.parametrize(
    "line",
    ['#include "nowhere.h"', f'#include "{"x" * 5000}.h"', '#include "/nowhere/at/all.h"', '#include "\udcff.h"'],
    ids=["missing", "long", "absolute", "no text"],
)
def test_an_engine_that_does_not_compile_says_so(line: str, tmp_path: Path, build: Callable[..., Engine]) -> None:
    engine = build(network(tmp_path / "net", "Neg", 3), HOST)
    engine.path.write_text(f"{line}\n{engine.path.read_text()}", errors="surrogateescape")
    for _ in range(2):  # a failure is not kept
        with pytest.raises(ModelError) as caught:
            image.link(engine.directory, tmp_path / "serve.elf", HOST)
        assert caught.value.code == "c-not-compiled"


def test_an_engine_without_its_program_says_so(tmp_path: Path, build: Callable[..., Engine]) -> None:
    engine = build(network(tmp_path / "net", "Neg", 3), HOST)
    (engine.directory / "test" / "serve.c").unlink()
    with pytest.raises(ModelError) as caught:
        image.link(engine.directory, tmp_path / "serve.elf", HOST)
    assert caught.value.code == "c-not-compiled"
