"""Images that misbehave: each ends with a reason, and none is left running."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.artifact import Engine
from edgetool.errors import ConfigError, DeviceError
from edgetool.testing import tiny_mlp
from edgetool.testing.samples import feeds_for
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT

BOARDS = ["host", "mps2-an386"]


def spoiled(engine: Engine, statement: str) -> Engine:
    """The engine with a statement at the start of every inference but the first, which opening it makes."""
    text = engine.path.read_text()
    head, brace, body = text.rpartition("void model_run(")[2].partition(" {\n")
    start = text[: text.rindex("void model_run(")] + "static int calls;\nvoid model_run("
    engine.path.write_text(f"{start}{head}{brace}    if (calls++ > 0) {{ {statement} }}\n{body}")
    return engine


@pytest.fixture(params=BOARDS)
def options(request: pytest.FixtureRequest, require_tool: Callable[[str], str]) -> COptions:
    if request.param != "host":
        require_tool("arm-none-eabi-gcc")
        require_tool("qemu-system-arm")
    return COptions(board=request.param, timeout=2, optimize="1")


def running(folder: Path) -> list[str]:
    """Processes that have something below the folder open or in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_a_hang_is_ended(
    tmp_path: Path, options: COptions, build: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    engine = spoiled(build(tiny_mlp(tmp_path), options), "for (volatile int i = 0;; ++i) {}")
    feeds = feeds_for(engine.signature)
    with PlainC(options).open(engine, CONTEXT) as runner:
        if options.board == "host":
            runner.infer(feeds)
        started = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            runner.infer(feeds)
        assert time.monotonic() - started < 10
        assert caught.value.code == "image-hung"
        assert not running(tmp_path / "tmp")
        with pytest.raises(ConfigError):
            runner.infer(feeds)
    assert not list((tmp_path / "tmp").iterdir())


def test_a_crash_is_reported(tmp_path: Path, options: COptions, build: Callable[..., Engine]) -> None:
    # Where there is no memory: page 0 of a process, and far beyond everything on the board.
    address = "0" if options.board == "host" else "0xE8000000u"
    engine = spoiled(build(tiny_mlp(tmp_path), options), f"*(volatile int *){address} = 1;")
    feeds = feeds_for(engine.signature)
    with PlainC(options).open(engine, CONTEXT) as runner:
        if options.board == "host":
            runner.infer(feeds)
        with pytest.raises(DeviceError) as caught:
            runner.infer(feeds)
        assert caught.value.code == "image-crashed"
    if options.board != "host":
        assert "hard fault" in caught.value.message


def test_an_image_that_ends_is_reported_with_its_status(
    tmp_path: Path, options: COptions, build: Callable[..., Engine]
) -> None:
    engine = build(tiny_mlp(tmp_path), options)
    serve = engine.directory / "test" / "serve.c"
    serve.write_text("int main(void) { return 42; }\n")
    with pytest.raises(DeviceError) as caught, PlainC(options).open(engine, CONTEXT) as runner:
        runner.infer(feeds_for(engine.signature))
    assert caught.value.code == "image-crashed"
    assert "42" in caught.value.message


def test_large_tensors_pass_through_the_pipes(tmp_path: Path, options: COptions, build: Callable[..., Engine]) -> None:
    from onnx import helper

    from tests.c.writing import random, written

    shape = (3, 100, 300)  # more than a pipe holds
    model = written(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", shape)], [("y", shape)])
    x = random(*shape)
    with PlainC(options).open(build(model, options), CONTEXT) as runner:
        for _ in range(3):
            assert (runner.infer({"x": x})["y"] == -x).all()
