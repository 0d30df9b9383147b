"""Verdicts on pairs of bundles, where the second cannot be had by building here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool.bundle.read import read_bundle
from edgetool.reproduce.rebuild import NotRebuilt, Rebuilt
from edgetool.reproduce.text import reproduction_text
from edgetool.reproduce.verdict import Reproduction, judge
from tests.provenance.built import BUNDLE, copied, edited, forge, remeasured


@pytest.fixture
def pair(project: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two equal bundles."""
    bundle = project / "dist" / BUNDLE
    return bundle, copied(bundle, tmp_path / "second")


def other_engine(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def judged(pair: tuple[Path, Path], *, deterministic: bool) -> Reproduction:
    return judge(read_bundle(pair[0]), Rebuilt(read_bundle(pair[1]), deterministic), root=pair[0].parent)


def outputs(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    return lambda data: change(np.frombuffer(data, "<f4").copy()).tobytes()


def test_outputs_that_agree_are_enough_where_no_more_is_promised(pair: tuple[Path, Path]) -> None:
    forge(pair[1], {"model/model.onnx": other_engine, "io/case0-output0.bin": outputs(lambda y: y * 1.0001)})
    found = judged(pair, deterministic=False)
    assert (found.verdict, found.exit_code) == ("outputs agree", 0)
    assert found.outputs is not None and found.outputs.worst > 0.999
    text = reproduction_text(pair[0], found)
    assert "reproduced by its outputs" in text
    assert "differs  model/model.onnx" in text
    assert judged(pair, deterministic=True).exit_code == 7


def test_outputs_that_do_not_agree_are_not(pair: tuple[Path, Path]) -> None:
    forge(pair[1], {"model/model.onnx": other_engine, "io/case0-output0.bin": outputs(lambda y: -y)})
    found = judged(pair, deterministic=False)
    assert (found.verdict, found.exit_code) == ("differs", 7)
    assert "do not agree" in found.summary


@pytest.mark.parametrize("factor", [np.nan, np.inf, 2, 0])
def test_outputs_that_a_cosine_takes_for_equal_do_not_agree(pair: tuple[Path, Path], factor: float) -> None:
    forge(pair[1], {"model/model.onnx": other_engine, "io/case0-output0.bin": outputs(lambda y: y * factor)})
    assert judged(pair, deterministic=False).exit_code == 7


def test_without_golden_outputs_nothing_is_proven(pair: tuple[Path, Path]) -> None:
    for path in (pair[1] / "io").iterdir():
        path.unlink()
    (pair[1] / "io").rmdir()
    forge(pair[1], {"model/model.onnx": other_engine})
    found = judged(pair, deterministic=False)
    assert (found.verdict, found.exit_code) == ("unproven", 9)
    assert "no golden outputs" in found.summary


def test_golden_outputs_of_the_reference_prove_nothing(pair: tuple[Path, Path]) -> None:
    def by_reference(index: Any) -> None:
        index["made_by"] = "reference"

    forge(pair[1], {"model/model.onnx": other_engine, "io/index.json": edited(by_reference)})
    assert judged(pair, deterministic=False).exit_code == 9


def test_an_engine_that_cannot_run_here_is_half_a_proof(pair: tuple[Path, Path]) -> None:
    def not_run(manifest: Any) -> None:
        manifest["validation"] = {"status": "unverified", "why_not": "no such device"}

    forge(pair[1], {"manifest.json": edited(not_run)})
    found = judged(pair, deterministic=True)
    assert (found.verdict, found.exit_code) == ("unproven", 9)
    assert "equal, byte for byte" in found.summary
    assert "no such device" in found.summary


def test_another_machine_explains_other_outputs(pair: tuple[Path, Path]) -> None:
    def old_machine(measured: Any) -> None:
        measured["host"]["isa"] = ["sse4_2"]

    remeasured(pair[0], old_machine)
    assert judged(pair, deterministic=True).exit_code == 0
    forge(pair[1], {"io/case0-output0.bin": outputs(lambda y: y * 1.0001)})
    found = judged(pair, deterministic=True)
    assert (found.verdict, found.exit_code) == ("drift", 8)
    assert [(row.kind, row.name, row.then) for row in found.causes] == [("machine", "isa", "sse4_2")]


def test_the_step_that_gives_another_model_is_named(pair: tuple[Path, Path]) -> None:
    def unstable(statement: Any) -> None:
        statement["predicate"]["buildDefinition"]["internalParameters"]["steps"][-1]["input"] = "0" * 64

    forge(pair[1], {"provenance.json": edited(unstable), "model/model.onnx": other_engine})
    found = judged(pair, deterministic=True)
    assert (found.exit_code, found.unstable) == (7, "quantize-static")


def test_a_bundle_without_provenance_is_compared_by_its_manifest(pair: tuple[Path, Path]) -> None:
    (pair[0] / "provenance.json").unlink()

    def older(manifest: Any) -> None:
        manifest["tools"]["onnx"] = "1.0"
        manifest["calibration"]["digest"] = "0" * 64

    forge(pair[0], {"manifest.json": edited(older)})
    found = judged(pair, deterministic=True)
    assert found.exit_code == 8
    assert {(row.kind, row.name) for row in found.causes} == {("tool", "onnx"), ("data", "calibration data")}
    assert {row.path: row.status for row in found.files}["provenance.json"] == "added"


def test_names_cannot_steer_the_terminal(pair: tuple[Path, Path]) -> None:
    def hostile(manifest: Any) -> None:
        manifest["tools"]["\x1b[2J"] = "\x1b]0;title\x07\nreproduced"

    forge(pair[1], {"manifest.json": edited(hostile)})
    found = judged(pair, deterministic=True)
    assert found.exit_code == 8
    text = reproduction_text(pair[0], found)
    assert "\x1b" not in text
    assert "\nreproduced" not in text


def test_a_build_that_did_not_happen_names_what_would_help(pair: tuple[Path, Path]) -> None:
    found = judge(read_bundle(pair[0]), NotRebuilt("the board is off", "switch it on"), root=pair[0].parent)
    assert found.exit_code == 9
    assert "hint: switch it on" in reproduction_text(pair[0], found)


def test_hostile_measurements_do_not_matter(pair: tuple[Path, Path]) -> None:
    def nonsense(measured: Any) -> None:
        measured["host"] = {"arch": 5, "isa": {"a": 1}}

    remeasured(pair[0], nonsense)
    forge(pair[1], {"model/model.onnx": other_engine})
    assert judged(pair, deterministic=True).exit_code in (7, 8)
