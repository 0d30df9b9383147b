"""The catalogue: every board loads as a target, and every value says where it was read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgetool.config import boards
from edgetool.config.load import load
from edgetool.config.positions import key_lines
from edgetool.config.schema import FactsTable

FOLDER = Path(boards.__file__).parents[1] / "catalog"
FILES = sorted(FOLDER.glob("*.toml"))
BOARDS = boards.board_names()


def test_the_boards_of_the_readme_are_there() -> None:
    assert {
        "@nvidia/jetson-orin-nano-8gb", "@nvidia/jetson-agx-orin", "@nvidia/jetson-nano", "@nvidia/rtx-ada",
        "@intel/cpu-vnni", "@intel/cpu-avx2", "@intel/fpga-agilex7", "@arm/cortex-a72", "@generic/cpu",
    } <= set(BOARDS)  # fmt: skip


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_is_a_complete_target(write, board: str) -> None:
    config = load(write(f'schema = 1\n[targets.it]\nextends = "{board}"\n'))
    target = config.target("it")
    assert config.warnings == ()
    assert target.description
    assert target.facts
    assert set(target.facts) <= set(FactsTable.model_fields)
    assert target.extends[0] == board
    # Those that a CPU computes int8 on without VNNI must not saturate.
    if target.facts.get("arch") == "x86_64" and target.facts.get("vnni") is False:
        assert target.facts["weight_bits"] == 7
    if target.backend == "tensorrt":
        assert isinstance(target.facts["sm"], int)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_has_a_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    legend = set(re.findall(r"^#   (\[[A-Z]+\])  ", text, re.MULTILINE))
    used: set[str] = set()
    for key, number in key_lines(text).items():
        line = lines[number - 1]
        if line.startswith("[") or isinstance(key[-1], int):
            continue
        assert " # source: [" in line, f"{path.name}:{number} {line}"
        marks = set(re.findall(r"\[[A-Z]+\]", line.split("# source:")[1]))
        assert marks <= legend, f"{path.name}:{number} names a source that the head of the file does not explain"
        used |= marks
    assert used == legend, "the head of the file explains a source that no value has"


def test_no_two_boards_say_the_same() -> None:
    trees = {name: boards.find_board(name) for name in BOARDS}
    descriptions = [tree.values["description"] for tree in trees.values() if tree]
    assert len(descriptions) == len(set(descriptions)) == len(BOARDS)


@pytest.mark.parametrize("name", ["@nvidia/none", "@none/cpu", "@../config/x", "@nvidia", "nvidia", "@", "@/"])
def test_what_is_no_board(name: str) -> None:
    assert boards.find_board(name) is None
