"""What came out on another processor becomes a check that says what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgetool.cli.emulated import carried_over
from edgetool.emulate.judge import Cell, judged, not_shown, stopped
from edgetool.emulate.processors import named
from edgetool.emulate.ways import Emulated, Masked, NotShown
from edgetool.errors import DeviceError, EdgetoolError, HostError, UnavailableError
from edgetool.report.document import Report
from edgetool.validate.difference import difference

SWEPT = Cell(named(["haswell"])[0], Masked("ONEDNN_MAX_CPU_ISA", "AVX2"), True)
NAMED = Cell(named(["cortex-a76"])[0], Emulated("qemu-aarch64", "cortex-a76"), False)
WANTED = np.linspace(-1, 1, 64, dtype=np.float32)


def test_what_agrees() -> None:
    check = judged(SWEPT, [difference("y", WANTED, WANTED + 1e-7)], 0.999, precision="int8")
    assert (check.id, check.outcome, check.fix) == ("isa/avx2", "passed", None)
    assert "neither default precision nor time" in check.message


def test_what_saturates_says_weight_bits_where_that_is_the_cause() -> None:
    rows = [difference("y", WANTED, WANTED), difference("z", WANTED, np.minimum(WANTED, 0.1))]
    check = judged(SWEPT, rows, 0.999, precision="int8")
    assert check.outcome == "failed"
    assert "z: cosine" in check.message
    assert "y: cosine" not in check.message
    assert "weight_bits = 7" in str(check.fix)
    assert "weight_bits" not in str(judged(SWEPT, rows, 0.999, precision="float32").fix)
    # This processor has dot products of its own.
    found = judged(NAMED, rows, 0.999, precision="int8")
    assert (found.id, found.outcome) == ("emulation/cortex-a76", "failed")
    assert "weight_bits" not in str(found.fix)


def test_nan_on_one_side_only_never_agrees() -> None:
    broken = WANTED.copy()
    broken[3] = np.nan
    assert judged(SWEPT, [difference("y", WANTED, broken)], 0.5, precision="float32").outcome == "failed"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeviceError("precision-not-honoured", "CPU computes in float32", hint="another precision"), "failed"),
        (UnavailableError("step-crashed", "the process crashed: SIGILL"), "failed"),
        (UnavailableError("step-crashed", "the process crashed: SIGSEGV"), "unverified"),
        (HostError("step-timed-out", "it did not finish within 120 s"), "unverified"),
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
    agreed = judged(SWEPT, [difference("y", WANTED, WANTED)], 0.999, precision="float32")
    report = Report(
        model="net", version="1.0.0", target="ci", checks=(agreed, not_shown(cell, NotShown("no qemu", None)))
    )
    assert (report.outcome, report.headline) == ("passed", "1 checks passed, 1 not run here")


def test_what_is_measured_again_keeps_what_was_emulated() -> None:
    agreed = judged(SWEPT, [difference("y", WANTED, WANTED)], 0.999, precision="float32")
    own = replace(agreed, id="budget/latency_p99")
    before = Report(model="net", version="1.0.0", target="ci", checks=(own, agreed))
    again = carried_over(replace(before, checks=(own,)), before)
    assert [check.id for check in again.checks] == ["budget/latency_p99", "isa/avx2"]
