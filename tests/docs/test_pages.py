"""Every command and every TOML block of the documentation is executed, page by page, in a scratch folder.

Conventions in the pages:

- A comment `<!-- scratch: NAME -->` says which folder the commands below it start in (see `SCRATCH`). Commands above
  it, or on a page without it, are only shown: they must exist, with the options that are used.
- Console blocks: each line that begins with `$ ` is run, in order. `exit=N` after the word console says that the
  block's last command ends with that code. Lines below a command are an excerpt of its output and are not compared.
- A block with `file=NAME` is written into the scratch folder.
- Other TOML blocks must be valid in a targets file, alone or after the page's earlier blocks.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        *(ROOT / "examples").glob("[a-z]*/README.md"),
        ROOT / "plugins" / "README.md",
    ]
)
SLOW = ("import-from-pytorch.md",)
"""Pages that start PyTorch again and again."""
BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<kind>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$", re.M | re.S)
SETUP = re.compile(r"<!-- scratch: (\w+) -->")
OUTSIDE = ("make ", "pip ", "git ", "cd ", "sha256sum ", "find ", "docker ", "apt")
"""Commands that are checked by what they name instead of being run: CI runs `make`, pip changes the environment."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str
    info: dict[str, str]
    body: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    for match in BLOCK.finditer(text):
        info = dict(part.partition("=")[::2] for part in match["info"].split())
        yield Block(match["kind"], info, match["body"], text[: match.start()].count("\n") + 1)


def test_every_page_is_linked() -> None:
    """A page that nothing links to is a page that nobody reads."""
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", BLOCK.sub("", page.read_text())):
            if not target.startswith("http"):
                found = (page.parent / target).resolve()
                assert found.exists(), f"{page.relative_to(ROOT)} links to {target}, which does not exist"
                linked.add(found)
    lonely = [page for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked]
    assert not lonely, [str(page.relative_to(ROOT)) for page in lonely]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page.name in SLOW else ()) for page in PAGES],
    ids=[str(page.relative_to(ROOT)) for page in PAGES],
)
def test_page(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    setup = SETUP.search(text)
    first_run = len(text.splitlines()) + 1
    if setup:
        SCRATCH[setup[1]](tmp_path)
        first_run = text[: setup.start()].count("\n") + 1
    for block in blocks(text):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if "file" in block.info:
            path = tmp_path / block.info["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
        elif block.kind == "toml":
            _check_toml(block.body, tmp_path, where)
        elif block.kind == "console":
            _run_console(block, tmp_path, where, in_scratch=block.line > first_run)


def _run_console(block: Block, folder: Path, where: str, *, in_scratch: bool) -> None:
    commands = [line[2:].split("   #")[0].strip() for line in block.body.splitlines() if line.startswith("$ ")]
    assert commands, f"{where}: a console block without a command"
    for index, command in enumerate(commands):
        if command.startswith(OUTSIDE):
            _check_outside(command, where)
            continue
        runs = command.startswith(("edgetool", "python", "openssl ", "cat ", "ls", "EDGETOOL"))
        assert runs, f"{where}: cannot run {command!r}"
        if not in_scratch:
            _check_command_exists(command, where)
            continue
        wanted = int(block.info.get("exit", 0)) if index == len(commands) - 1 else 0
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == wanted, (
            f"{where}: {command}\nexit {done.returncode}, wanted {wanted}\n{done.stdout}\n{done.stderr}"
        )


def _check_outside(command: str, where: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert words[1] in targets, f"{where}: there is no `make {words[1]}`"
    if words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for names in re.findall(r"edgetool\[([^\]]+)\]", command):
            assert set(names.split(",")) <= set(extras), f"{where}: unknown extra in {command}"


def _check_command_exists(command: str, where: str) -> None:
    """Pages without a scratch folder only show commands: these must exist with the options that are shown."""
    words = [word for word in shlex.split(command, comments=True) if not word.startswith("EDGETOOL")]
    if words[0] != "edgetool" or len(words) == 1:
        return
    depth = 3 if words[1] in ("targets", "cache") and len(words) > 2 else 2
    done = subprocess.run(
        [sys.executable, "-m", "edgetool", *words[1:depth], "--help"],
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{where}: {command}: {done.stderr}"
    for word in words[depth:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in done.stdout, f"{where}: {command}: no option {word}"


def _check_toml(body: str, folder: Path, where: str) -> None:
    from edgetool.config.load import inspect
    from edgetool.plugin.manager import load_plugins

    tomllib.loads(body)
    path = folder / "block.toml"
    path.write_text(body if "schema =" in body else f"schema = 1\n{body}")
    plugins = load_plugins()
    found = inspect(path, known_backends=plugins.backends, known_importers=plugins.importers)
    path.unlink()
    # A fragment may name recipes and targets that the rest of the user's file defines.
    mistakes = [mistake for mistake in found.mistakes if "unknown recipe" not in str(mistake)]
    assert not mistakes, f"{where}: {[str(mistake) for mistake in mistakes]}"


def _empty(folder: Path) -> None:
    """Nothing: the page begins with its own files."""


def _tiny(folder: Path) -> None:
    """A small convolutional network in model.onnx, and some data."""
    import numpy as np

    from edgetool.testing.models import tiny_cnn

    model = tiny_cnn(folder)
    model.path.rename(folder / "model.onnx")
    generator = np.random.default_rng(0)
    (spec,) = model.signature.inputs
    shape = [dim if isinstance(dim, int) else 1 for dim in spec.shape]
    for name, count in (("calib", 32), ("eval", 16)):
        (folder / "data" / name).mkdir(parents=True)
        for index in range(count):
            np.savez(
                folder / "data" / name / f"{index:03}.npz",
                **{spec.name: generator.normal(size=shape).astype("float32")},
            )


def _project(folder: Path) -> None:
    """The targets file of this project, with a stand-in for its trained example network."""
    _tiny(folder)
    (folder / "targets.toml").write_text((ROOT / "targets.toml").read_text())


SCRATCH: dict[str, Callable[[Path], None]] = {"empty": _empty, "tiny": _tiny, "project": _project}
