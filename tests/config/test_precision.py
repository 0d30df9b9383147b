"""`precision = "auto"`: what it excludes, what it chooses from, and which of two that contradict each other counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetool.config.load import inspect, load
from edgetool.config.result import ResolvedTarget

FILE = """\
schema = 1
[recipes.fp16]
passes = [{ use = "cast-fp16" }]
[recipes.mine]
passes = [{ use = "simplify" }, { use = "quantize-static", weight_bits = 7 }]

[targets.base]
backend = "onnxruntime"
recipe = "fp16"

"""


def target(folder: Path, text: str, *overrides: str) -> ResolvedTarget:
    path = folder / "targets.toml"
    path.write_text(FILE + text)
    return load(path, overrides=overrides, known_backends=("onnxruntime",)).target("x")


def mistakes(folder: Path, text: str) -> list[str]:
    path = folder / "targets.toml"
    path.write_text(FILE + text)
    return [f"{row.code} {row.path[-1]}: {row.message}" for row in inspect(path).mistakes]


def test_auto_means_one_candidate_a_precision(tmp_path: Path) -> None:
    found = target(tmp_path, '[targets.x]\nbackend = "onnxruntime"\nprecision = "auto"\n')
    assert [row.name for row in found.candidates] == ["float32", "float16", "int8"]
    assert (found.recipe, found.passes) == (None, ())
    assert found.to_json()["precision"] == "auto"


def test_candidates_are_recipes_of_the_file(tmp_path: Path) -> None:
    text = '[targets.x]\nbackend = "onnxruntime"\nprecision = "auto"\ncandidates = ["mine", "fp16"]\n'
    found = target(tmp_path, text)
    assert [row.name for row in found.candidates] == ["mine", "fp16"]
    assert found.candidates[0].passes[1].options == {"weight_bits": 7}
    assert found.to_json()["candidates"] == ["mine", "fp16"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('precision = "auto"\nrecipe = "fp16"', "invalid-value precision: excludes `recipe`"),
        ('precision = "int8"', "invalid-value precision: wants one of auto"),
        ('candidates = ["fp16", "mine"]', "invalid-value candidates: has no effect without precision"),
        ('precision = "auto"\ncandidates = ["fp16"]', "invalid-value candidates: wants two recipes at least"),
        ('precision = "auto"\ncandidates = []', "invalid-value candidates: wants two recipes at least"),
        ('precision = "auto"\ncandidates = ["fp16", "int9"]', "unknown-recipe 1: there is no recipe 'int9'"),
        ('precision = "auto"\ncandidates = ["fp16", "fp16"]', "invalid-value 1: 'fp16' is named twice"),
        ('precision = "auto"\ncandidates = "fp16"', "invalid-value candidates: wants a list"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, f'[targets.x]\nbackend = "onnxruntime"\n{text}\n')
    assert any(row.startswith(expected) for row in found), found


def test_the_nearer_of_recipe_and_precision_counts(tmp_path: Path) -> None:
    auto = target(tmp_path, '[targets.x]\nextends = "base"\nprecision = "auto"\n')
    assert auto.recipe is None
    assert len(auto.candidates) == 3
    back = '[targets.auto]\nextends = "base"\nprecision = "auto"\ncandidates = ["fp16", "mine"]\n'
    again = target(tmp_path, back + '[targets.x]\nextends = "auto"\nrecipe = "mine"\n')
    assert (again.recipe, again.candidates) == ("mine", ())
    assert again.written.value(("candidates",)) is None


def test_the_command_line_outweighs_the_file(tmp_path: Path) -> None:
    text = '[targets.x]\nextends = "base"\nrecipe = "mine"\n'
    assert target(tmp_path, text, "targets.x.precision=auto").candidates
    text = '[targets.x]\nextends = "base"\nprecision = "auto"\n'
    assert target(tmp_path, text, "targets.x.recipe=mine").recipe == "mine"
    assert target(tmp_path, text, "targets.base.recipe=mine").candidates, "it was set further away"
