"""`edgetool doctor --target T`: what is said of a target, its site and its device, whatever the backend answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.installed import install_plugin

PLUGIN = '''
from pydantic import Field

from edgetool.backends import Availability, Backend, BackendOptions
from edgetool.plugin import BackendInfo, hookimpl


class Options(BackendOptions):
    answer: dict[str, object] = Field(default_factory=dict)


class Board(Backend[Options]):
    """Answers what its options say, and where it was asked."""

    Options = Options
    builders = ("remote", "kit")

    @classmethod
    def tools(cls):
        return ()

    def probe(self):
        answer = dict(self.options.answer)
        if answer.pop("raise", False):
            raise RuntimeError("the wire is cut")
        why = f"{self.site.builder} for {self.site.host}, sm {self.site.facts.get('sm')}"
        defaults = {"can_build": True, "can_run": True, "version": "1.2", "builder": "remote", "why_builder": why}
        issues = tuple(answer.pop("known_issues", ()))
        return Availability(**{**defaults, **answer}, known_issues=issues)

    def supports(self, model, context): ...
    def build(self, model, directory, context): ...
    def open(self, engine, context): ...


@hookimpl
def edgetool_backends():
    return [BackendInfo("board", "answers as it is told", "board_plugin:Board")]
'''
TARGETS = """
schema = 1
[targets.it]
description = "a board"
backend = "board"
{target}
[targets.it.builder]
kind = "remote"
host = "board.local"
[targets.it.facts]
sm = 87
ram = "8GiB"
fp16 = true
[targets.it.board.answer]
{answer}
[targets.ci]
backend = "onnxruntime"
stands_in_for = ["it"]
"""

Doctor = Callable[..., dict[str, Any]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs `edgetool doctor --target it --json` with a backend that answers as told; findings by what they are of."""
    environment = install_plugin(tmp_path, "board", PLUGIN)

    def run(answer: str = "", *, target: str = "", arguments: tuple[str, ...] = ()) -> dict[str, Any]:
        (tmp_path / "targets.toml").write_text(TARGETS.format(target=target, answer=answer))
        command = [sys.executable, "-m", "edgetool", "doctor", "--target", "it", "--json", *arguments]
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,  # it exits 0 whatever it finds
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run


def of(result: dict[str, Any], what: str) -> dict[str, Any]:
    (row,) = (row for row in result["findings"] if row["what"] == what)
    return dict(row)


def test_all_is_well(doctor: Doctor) -> None:
    result = doctor('device = { soc = "tegra234", driver = "540" }')
    assert {row["status"] for row in result["findings"]} == {"ok"}
    assert of(result, "target it")["detail"] == "a board"
    assert of(result, "described as")["detail"] == "ram 8.0 GiB, fp16 yes, sm 87"
    assert of(result, "backend board")["detail"] == "1.2"
    assert of(result, "builder")["detail"] == "remote: remote for board.local, sm 87"
    assert of(result, "device")["detail"] == "board.local: soc tegra234, driver 540"
    assert result["target"] == "it"
    assert result["backends"]["board"]["device"] == {"soc": "tegra234", "driver": "540"}


def test_known_issues_are_told_one_by_one(doctor: Doctor) -> None:
    result = doctor('known_issues = ["int8 is broken; use float16", "it is slow"]')
    told = [row for row in result["findings"] if row["what"] == "known issue"]
    assert [row["detail"] for row in told] == ["int8 is broken; use float16", "it is slow"]
    assert {row["status"] for row in told} == {"warn"}


def test_a_device_that_cannot_be_reached(doctor: Doctor) -> None:
    result = doctor(
        'can_build = false\ncan_run = false\nwhy_not = "no answer on port 22"\nfix = "switch it on"\n'
        'device_error = "device-not-here"'
    )
    assert of(result, "backend board")["status"] == "broken"
    device = of(result, "device")
    assert (device["status"], device["detail"]) == ("broken", "board.local: no answer on port 22")
    assert device["fix"] == "edgetool explain device-not-here"
    assert of(result, "build")["fix"] == "switch it on"
    assert of(result, "stand-in")["fix"] == "edgetool build --target ci"


def test_what_is_built_here_and_run_elsewhere(doctor: Doctor) -> None:
    result = doctor('can_run = false\nwhy_not = "no GPU is here"\nfix = "validate it on one"')
    assert of(result, "build")["status"] == "ok"
    run = of(result, "run")
    assert (run["status"], run["fix"]) == ("warn", "validate it on one")
    assert "exit 9" in run["detail"]


def test_a_stand_in_of_the_backend_proves_nothing(doctor: Doctor) -> None:
    run = of(doctor('stand_in = "a simulator"'), "run")
    assert run["status"] == "warn"
    assert "a simulator" in run["detail"]


def test_fallbacks_are_asked_too(doctor: Doctor) -> None:
    result = doctor('can_build = false\nwhy_not = "no"', target='fallback = ["onnxruntime"]')
    assert of(result, "fallback onnxruntime")["status"] == "ok"
    assert set(result["backends"]) == {"board", "onnxruntime"}


def test_a_probe_that_fails_is_a_finding(doctor: Doctor) -> None:
    row = of(doctor("raise = true"), "backend board")
    assert row["status"] == "broken"
    assert "RuntimeError: the wire is cut" in row["detail"]


def test_a_backend_that_is_not_installed(doctor: Doctor) -> None:
    result = doctor(arguments=("--set", 'targets.it.backend="absent"', "--set", 'targets.it.builder.kind="auto"'))
    row = of(result, "backend absent")
    assert row["status"] == "missing"
    assert result["backends"] == {"absent": None}


def test_wrong_options_and_builders_are_findings(doctor: Doctor) -> None:
    result = doctor(arguments=("--set", 'targets.it.builder.kind="none"', "--set", "targets.it.board.x=1"))
    broken = [row["detail"] for row in result["findings"] if row["status"] == "broken"]
    assert len(broken) == 2
    assert "no builder 'none'" in broken[0]
    assert "board.x: unknown key" in broken[1]


def test_an_unknown_target_is_a_usage_error(edgetool, targets_file: Path) -> None:
    done = edgetool("doctor", "--target", "borad")
    assert done.exit_code == 2
    assert "did you mean" in done.err


def test_text_for_people(edgetool, targets_file: Path) -> None:
    done = edgetool("doctor", "--target", "ci")
    assert done.exit_code == 0
    assert "backend onnxruntime" in done.out
    assert done.out.splitlines()[-1] == "all is well"


def test_overrides_without_a_target_are_read_too(edgetool, targets_file: Path) -> None:
    done = edgetool("doctor", "--json", "--set", 'targets.ci.backend="absent"')
    assert {row["what"]: row for row in done.result["findings"]}["target ci"]["status"] == "missing"
