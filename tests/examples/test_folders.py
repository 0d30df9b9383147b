"""Every example keeps the same shape: files, targets and a README whose commands are those that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgetool.config.load import inspect
from tests.examples.conftest import NAMES, ROOT

TARGETS = {"ort-float", "ort-int8", "openvino-float", "openvino-int8"}


def test_there_are_the_networks_that_the_overview_lists() -> None:
    overview = (ROOT / "examples" / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+)/README\.md\)", overview)) == set(NAMES)


def test_the_targets_file_has_no_mistake(example: Path) -> None:
    inspection = inspect(example / "targets.toml")

    assert not inspection.mistakes
    assert inspection.config is not None


def test_each_runtime_has_a_float_and_an_int8_target_with_budgets(example: Path) -> None:
    config = inspect(example / "targets.toml").config
    assert config is not None

    assert set(config.targets) == TARGETS
    for name, target in config.targets.items():
        budget = target.budget
        assert budget.max_drop is not None, name
        assert name.endswith("float") or budget.min_cosine or budget.min_agreement, name


def test_functions_named_in_the_targets_file_exist(example: Path) -> None:
    for module, function in re.findall(r'"(data|net):(\w+)"', (example / "targets.toml").read_text()):
        assert f"\ndef {function}(" in (example / f"{module}.py").read_text()


@pytest.mark.parametrize(
    "command",
    ["python -m examples.{name}.prepare", "edgetool build --file examples/{name}/targets.toml --target ort-int8"],
)
def test_the_readme_gives_the_commands(example: Path, command: str) -> None:
    assert command.format(name=example.name) in (example / "README.md").read_text()


def test_the_readme_says_what_where_from_and_under_which_licence(example: Path) -> None:
    text = (example / "README.md").read_text()
    for heading in ("## Data", "## Build", "## Results", "## Licences"):
        assert heading in text, heading


def test_what_is_fetched_or_made_is_not_committed(example: Path) -> None:
    ignored = (ROOT / ".gitignore").read_text()
    for folder in ("data", "models", "dist"):
        assert f"/examples/*/{folder}/" in ignored
    assert "/examples/.downloads/" in ignored
