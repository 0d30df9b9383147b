"""The linked image: what it takes is what the linker says, nothing calls for a heap, and what does not fit is said."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from edgetool.artifact import Engine
from edgetool.errors import ModelError, UnavailableError
from edgetool.testing import tiny_int8_cnn
from edgetool_c import image
from edgetool_c.options import COptions
from tests.c.fixing import fixed
from tests.c.writing import random, written


def sections(path: Path) -> dict[str, int]:
    lines = subprocess.check_output(["arm-none-eabi-size", "-A", path], text=True).splitlines()
    rows = [line.split() for line in lines if line.startswith(".")]
    return {row[0]: int(row[1]) for row in rows}


def test_flash_and_ram_are_those_of_the_image(tmp_path: Path, m4: COptions, build: Callable[..., Engine]) -> None:
    engine = build(fixed(tiny_int8_cnn)(tmp_path), m4)
    facts: dict[str, Any] = dict(engine.facts)
    linked = image.link(engine.directory, tmp_path / "serve.elf", m4)
    sizes = sections(linked.path)
    assert facts["flash"] == sizes[".text"] + sizes.get(".ARM.exidx", 0) + sizes[".data"]
    assert facts["ram"] == sizes[".data"] + sizes[".bss"] + facts["stack"]
    assert facts["arena"] < sizes[".bss"] < facts["arena"] + 2048  # and the inputs and outputs
    assert 50 < facts["stack"] < 1024
    assert facts["weights"] < facts["flash"] < facts["weights"] + 6144


def test_nothing_allocates(tmp_path: Path, m4: COptions, build: Callable[..., Engine]) -> None:
    engine = build(fixed(tiny_int8_cnn)(tmp_path), m4)
    linked = image.link(engine.directory, tmp_path / "serve.elf", m4)
    symbols = subprocess.check_output(["arm-none-eabi-nm", linked.path], text=True)
    assert "model_run" in symbols
    assert not [name for name in ("malloc", "calloc", "_sbrk", "free") if name in symbols]


def test_an_image_that_is_too_large_says_by_how_much(
    tmp_path: Path, m4: COptions, build: Callable[..., Engine]
) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    model = written(tmp_path / "m.onnx", [node], [("x", (1, 600_000))], [("y", (1, 600_000))])
    with pytest.raises(ModelError) as caught:
        build(model, m4)
    assert caught.value.code == "image-too-large"
    assert "RAM" in caught.value.message


def test_code_that_wants_a_heap_does_not_link(tmp_path: Path, m4: COptions, build: Callable[..., Engine]) -> None:
    engine = build(fixed(tiny_int8_cnn)(tmp_path), m4)
    text = engine.path.read_text().replace("node0_x_q(input_x", "(void)malloc(9); node0_x_q(input_x")
    engine.path.write_text("#include <stdlib.h>\n" + text.replace("(void)malloc(9)", "input_x = malloc(9)"))
    with pytest.raises(ModelError) as caught:
        image.link(engine.directory, tmp_path / "serve.elf", m4)
    assert caught.value.code == "c-not-compiled"
    assert "_sbrk" in caught.value.message


def test_a_missing_compiler_is_named(
    tmp_path: Path, build: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = COptions(board="host")
    engine = build(fixed(tiny_int8_cnn)(tmp_path), options)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        image.link(engine.directory, tmp_path / "serve.elf", options)
    assert caught.value.code == "compiler-missing"
    assert "apt-get install gcc" in str(caught.value.hint)


def test_int8_takes_less_flash_than_float(tmp_path: Path, m4: COptions, build: Callable[..., Engine]) -> None:
    weight = random(128, 128)
    floats = written(
        tmp_path / "f.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", (1, 128))], [("y", (1, 128))],
        {"w": weight},
    )  # fmt: skip
    folder = tmp_path / "int8"
    folder.mkdir()
    from tests.c.test_integers import quantized

    whole = quantized(folder, "MatMul", (1, 128), (128, 128), axis=1)
    whole = replace(whole, signature=floats.signature)
    sizes = [int(str(build(model, m4).facts["flash"])) for model in (floats, whole)]
    assert sizes[0] > 128 * 128 * 4
    assert sizes[1] < sizes[0] / 3
