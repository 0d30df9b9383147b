"""`edgetool reproduce`, as people and CI run it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.provenance.built import BUNDLE, build, edgetool, edited, forge

IT = Path("dist") / BUNDLE


def reproduce(project: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = edgetool(project, "reproduce", IT, "--use-cache", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def causes(result: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {row["name"]: (row["kind"], row["then"], row["now"]) for row in result["causes"]}


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {row["path"]: row["status"] for row in result["files"]}


def test_a_second_build_without_the_cache_gives_the_same_bytes(project: Path) -> None:
    before = set(Path(os.environ["EDGETOOL_CACHE_DIR"]).iterdir())
    done = edgetool(project, "reproduce", IT, "-o", "second")
    assert done.returncode == 0, done.stderr
    assert "reproduced: all" in done.stdout
    assert "equal  model/model.onnx" in done.stdout
    assert "edgetool.lock is of the build that made this bundle" in done.stdout
    assert "cached" not in done.stderr
    second = project / "second" / BUNDLE
    assert (second / "manifest.json").read_bytes() == (project / IT / "manifest.json").read_bytes()
    assert set(Path(os.environ["EDGETOOL_CACHE_DIR"]).iterdir()) == before
    assert sorted(path.name for path in project.iterdir()) == [
        "calib", "dist", "edgetool.lock", "eval", "model.onnx", "second", "targets.toml",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_date_of_the_bundle_is_taken_over(project: Path) -> None:
    build(project, date="1700000000")
    code, result = reproduce(project)
    assert (code, result["verdict"]) == (0, "reproduced")
    done = edgetool(project, "reproduce", IT, "--use-cache", date="1800000000")
    assert done.returncode == 0, done.stdout


def test_packages_are_not_written_again(project: Path) -> None:
    targets = project / "targets.toml"
    targets.write_text(targets.read_text() + '[targets.ort.package]\nformats = ["tar"]\n')
    code, result = reproduce(project, "-o", "second")
    assert (code, result["verdict"]) == (0, "reproduced")
    assert [path.name for path in (project / "second").iterdir()] == [BUNDLE]


def test_another_sample_is_named_with_both_digests(project: Path) -> None:
    np.savez(project / "calib" / "03.npz", x=np.ones((1, 3, 8, 8), np.float32))
    code, result = reproduce(project)
    assert (code, result["verdict"]) == (8, "drift")
    assert causes(result).keys() == {"calib/03.npz"}
    kind, then, now = causes(result)["calib/03.npz"]
    assert kind == "data"
    assert then != now
    assert statuses(result)["model/model.onnx"] == "differs"
    assert statuses(result)["io/case0-input0.bin"] == "equal"
    assert result["lock"].startswith("edgetool.lock is of the build")


@pytest.mark.slow
def test_an_added_and_a_removed_sample_are_named(project: Path) -> None:
    (project / "eval" / "03.npz").unlink()
    np.savez(project / "eval" / "04.npz", x=np.ones((1, 3, 8, 8), np.float32))
    code, result = reproduce(project)
    assert code == 8
    found = causes(result)
    assert found["eval/03.npz"][2] == "(absent)"
    assert found["eval/04.npz"][1] == "(absent)"
    assert "the engine is equal" in result["summary"]


@pytest.mark.slow
def test_another_option_is_named(project: Path) -> None:
    code, result = reproduce(
        project, "--set", 'recipes.int8.passes=[{use="simplify"},{use="quantize-static",per_channel=false}]'
    )
    assert code == 8
    assert causes(result) == {"quantize-static.per_channel": ("option", "true", "false")}


@pytest.mark.slow
def test_another_recipe_and_another_budget_are_named(project: Path) -> None:
    code, result = reproduce(
        project, "--set", 'recipes.int8.passes=[{use="simplify"}]', "--set", "targets.ort.budget.min_cosine=0.5"
    )
    assert code == 8
    found = causes(result)
    assert found["passes"] == ("recipe", "simplify, quantize-static", "simplify")
    assert found["min_cosine"] == ("budget", "0.9", "0.5")
    assert found["calib/00.npz"][2] == "(absent)"


def test_another_version_of_a_tool_is_named(project: Path) -> None:
    def older(manifest: Any) -> None:
        manifest["tools"]["onnxruntime"] = "1.2.3"

    forge(project / IT, {"manifest.json": edited(older)})
    done = edgetool(project, "reproduce", IT, "--use-cache")
    assert done.returncode == 8
    row = next(line for line in done.stdout.splitlines() if line.startswith("tool"))
    assert row.split()[:3] == ["tool", "onnxruntime", "1.2.3"]


def test_other_bytes_from_equal_inputs_fail(project: Path) -> None:
    def flipped(data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    forge(project / IT, {"model/model.onnx": flipped})
    code, result = reproduce(project)
    assert (code, result["verdict"]) == (7, "differs")
    assert result["causes"] == []
    assert result["unstable_step"] == "build"
    assert statuses(result)["model/model.onnx"] == "differs"


def test_a_report_that_somebody_embellished_is_found(project: Path) -> None:
    def better(report: Any) -> None:
        report["comparison"]["trials"][0]["outputs"][0]["cosine"] = 1.0

    forge(project / IT, {"reports/validation.json": edited(better)})
    done = edgetool(project, "reproduce", IT, "--use-cache")
    assert done.returncode == 7
    assert "comparison.trials.0.outputs.0.cosine: 1.0 -> 0.9" in done.stdout


def test_a_device_that_is_not_here_proves_nothing(project: Path) -> None:
    code, result = reproduce(
        project, "--set", 'targets.ort.backend="tensorrt"', "--set", 'targets.ort.builder.host="nowhere.invalid"'
    )
    assert (code, result["verdict"]) == (9, "unproven")
    assert "cannot be built here" in result["summary"]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("dist/none.edgebundle",), 2, "bundle-not-found"),
        ((str(IT), "--file", "none.toml"), 2, "targets-file-not-found"),
        ((str(IT), "--set", 'targets.other.backend="onnxruntime"', "--file", "renamed.toml"), 2, "unknown-target"),
        ((str(IT), "--source", "none.onnx"), 2, "source-not-found"),
    ],
)
def test_what_is_not_there_is_said(project: Path, arguments: tuple[str, ...], code: int, error: str) -> None:
    text = (project / "targets.toml").read_text()
    (project / "renamed.toml").write_text(text.replace("[targets.ort]", "[targets.renamed]"))
    done = edgetool(project, "reproduce", *arguments)
    assert (done.returncode, f"error[{error}]" in done.stderr) == (code, True), done.stderr


def test_a_damaged_bundle_is_not_rebuilt(project: Path) -> None:
    (project / IT / "model" / "model.onnx").write_bytes(b"other")
    done = edgetool(project, "reproduce", IT)
    assert done.returncode == 7
    assert "error[bundle-damaged]" in done.stderr
    assert "import" not in done.stderr


@pytest.mark.slow
def test_the_choice_between_candidates_is_taken_over(project: Path) -> None:
    targets = project / "targets.toml"
    targets.write_text(targets.read_text().replace('recipe = "int8"\n', 'precision = "auto"\n'))
    assert edgetool(project, "build", "-t", "ort", "--latency-time", "0.05s").returncode == 0
    code, result = reproduce(project)
    assert (code, result["verdict"]) == (0, "reproduced")
