"""What came out on another processor becomes a check that says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.cli.emulated import carried_over
from edgetool.emulate.agreement import Agreement, Feeding, Ran
from edgetool.emulate.judge import Cell, judged, not_shown, stopped
from edgetool.emulate.processors import named
from edgetool.emulate.ways import Emulated, Masked, NotShown
from edgetool.errors import DeviceError, EdgetoolError, HostError, UnavailableError
from edgetool.report.document import Report

SWEPT = Cell(named(["haswell"])[0], Masked("ONEDNN_MAX_CPU_ISA", "AVX2"), True)
NAMED = Cell(named(["cortex-a76"])[0], Emulated("qemu-aarch64", "cortex-a76"), False)
ALONE = Feeding(Path("io"), golden=1, samples=0, min_cosine=0.999)


def agreement(case: int = 0, output: str = "y", *, agrees: bool = True, max_abs: float = 1e-7) -> Agreement:
    shown = f"cosine 0.999000, gain 1.0000, largest error {max_abs:g}"
    return Agreement(case=case, output=output, agrees=agrees, shown=shown, cosine=0.999, max_abs=max_abs)


def test_what_agrees() -> None:
    check = judged(SWEPT, Ran((agreement(),), 1, 2.5), ALONE, precision="int8")
    assert (check.id, check.outcome, check.fix) == ("isa/avx2", "passed", None)
    assert check.message.startswith("the golden outputs agree (y: cosine 0.999000")
    assert "neither default precision nor time" in check.message
    assert check.figures == {"golden": 1, "samples": 0, "seconds": 2.5, "cosine": 0.999, "max_abs": 1e-7}


def test_samples_are_counted_and_the_worst_is_shown() -> None:
    rows = (agreement(0), agreement(1, max_abs=0.25), agreement(2))
    every = judged(NAMED, Ran(rows, 3, 2.5), replace(ALONE, samples=2), precision="int8")
    assert every.message.startswith("the golden outputs and those of 2 evaluation samples agree (y: cosine 0.999000")
    assert "largest error 0.25" in every.message
    assert "instructions and numerics, not time" in every.message
    some = judged(NAMED, Ran(rows, 3, 120.0), replace(ALONE, samples=8), precision="int8")
    assert some.outcome == "passed"
    assert "those of 2 of 8 evaluation samples, all that time allowed, agree" in some.message
    assert some.figures["samples"] == 2
    none = judged(NAMED, Ran(rows[:1], 1, 120.0), replace(ALONE, samples=8), precision="int8")
    assert none.message.startswith("the golden outputs (time allowed none of 8 evaluation samples) agree (y: ")


def test_a_sample_that_is_wrong_fails_although_the_golden_outputs_agree() -> None:
    rows = (agreement(0), agreement(1), agreement(2, agrees=False, max_abs=3.0))
    check = judged(NAMED, Ran(rows, 3, 2.5), replace(ALONE, samples=2), precision="float32")
    assert check.outcome == "failed"
    assert "the golden outputs agree, those of 1 of 2 evaluation samples do not agree (y: " in check.message
    assert "asked for is 0.999" in check.message


def test_what_saturates_says_weight_bits_where_that_is_the_cause() -> None:
    ran = Ran((agreement(), agreement(output="z", agrees=False, max_abs=0.9)), 1, 2.5)
    check = judged(SWEPT, ran, ALONE, precision="int8")
    assert check.outcome == "failed"
    assert "z: cosine" in check.message
    assert "y: cosine" not in check.message
    assert "weight_bits = 7" in str(check.fix)
    assert "weight_bits" not in str(judged(SWEPT, ran, ALONE, precision="float32").fix)
    assert "weight_bits" not in str(judged(SWEPT, ran, ALONE, precision="int8", weight_bits=7).fix)
    # ARM widens products before it adds them.
    found = judged(NAMED, ran, ALONE, precision="int8")
    assert "round otherwise" in str(found.fix)
    assert (found.id, found.outcome) == ("emulation/cortex-a76", "failed")
    assert "weight_bits" not in str(found.fix)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeviceError("precision-not-honoured", "CPU computes in float32", hint="another precision"), "failed"),
        (UnavailableError("step-crashed", "the process crashed: SIGILL"), "failed"),
        (UnavailableError("step-crashed", "the process crashed: SIGSEGV"), "unverified"),
        (HostError("step-timed-out", "it did not finish within 120 s"), "unverified"),
        (UnavailableError("cross-compiler-failed", "no stdio.h", hint="install it"), "not-run"),
    ],
)
def test_what_gave_nothing_to_compare(error: EdgetoolError, outcome: str) -> None:
    check = stopped(NAMED, error, precision="float32")
    assert check.outcome == outcome
    assert error.message in check.message
    assert check.fix


def test_bfloat16_where_there_is_none() -> None:
    error = DeviceError("precision-not-honoured", "CPU computes in float32", hint="another precision")
    assert 'inference_precision = "f32"' in str(stopped(SWEPT, error, precision="bfloat16").fix)
    assert stopped(SWEPT, error, precision="float32").fix == "another precision"


def test_what_was_not_run() -> None:
    cell = replace(NAMED, way=NotShown("qemu-aarch64 is not installed", "apt-get install qemu-user"))
    check = not_shown(cell, NotShown("qemu-aarch64 is not installed", "apt-get install qemu-user"))
    assert (check.outcome, check.fix) == ("not-run", "apt-get install qemu-user")


def test_a_headline_counts_what_was_not_run() -> None:
    cell = replace(NAMED, way=NotShown("no qemu", None))
    agreed = judged(SWEPT, Ran((agreement(),), 1, 2.5), ALONE, precision="float32")
    report = Report(
        model="net", version="1.0.0", target="ci", checks=(agreed, not_shown(cell, NotShown("no qemu", None)))
    )
    assert (report.outcome, report.headline) == ("passed", "1 check passed, 1 not run here")


def test_what_is_measured_again_keeps_what_was_emulated() -> None:
    agreed = judged(SWEPT, Ran((agreement(),), 1, 2.5), ALONE, precision="float32")
    own = replace(agreed, id="budget/latency_p99")
    before = Report(model="net", version="1.0.0", target="ci", checks=(own, agreed))
    again = carried_over(replace(before, checks=(own,)), before)
    assert [check.id for check in again.checks] == ["budget/latency_p99", "isa/avx2"]
