"""The text view says what a person must not miss."""

from __future__ import annotations

import math

from edgetool.report.text import comparison_text, latency_text, verdicts_text
from edgetool.validate.budgets import Verdict
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.difference import Difference
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency, Timing


def row(**changes: object) -> Difference:
    values = {
        "output": "y", "max_abs": 0.25, "relative": 0.1, "cosine": 0.99512345, "cosine_worst": 0.9, "gain": 1.0,
        "sqnr_db": 21.5, "top1": 0.75, "top5": 1.0, "equal": 0.5, "integral": False,
    }  # fmt: skip
    return Difference(**{**values, **changes})  # type: ignore[arg-type]


def test_a_comparison() -> None:
    text = comparison_text(
        Comparison(
            precision="int8",
            trials=(
                Trial("evaluation", "as given", 20, (row(), row(output="ids", integral=True))),
                Trial("stretched", "max (batch=8), seed 0", 1, (row(sqnr_db=math.inf),)),
            ),
            score=Score("top1", 0.9, 0.88),
            repeat_difference=1e-7,
            samples=(20, "ab"),
            findings=(Finding("unproven", "shape-not-proven", "no such luck", "random feed at min"),),
        )
    )
    lines = text.splitlines()
    assert lines[1].split() == ["20", "samples", "y", "0.995123", "0.900000", "21.5", "dB", "0.25", "0.7500"]
    assert "50.00% equal" in lines[2]
    assert "same" in lines[3]
    assert "top1: 0.88, reference 0.9, drop 2 %" in text
    assert "differ by up to 1e-07" in text
    assert "unverified: random feed at min: no such luck" in text
    assert lines[-1] == "validation: unverified"
    assert not any(line.endswith(" ") for line in lines)


def test_a_latency_that_does_not_pay() -> None:
    side = Timing(30, 0.0042, 0.005, 0.006, 0.007, 0.03)
    text = latency_text(Latency(side, side, 0.8, 0.05, settled=False, seconds=0.5))
    assert "slower than float here: 0.80x (±5%)" in text
    assert "did not agree" in text
    assert text.splitlines()[1].split() == ["engine", "4.2", "ms", "5", "ms", "6", "ms", "30", "±3%"]


def test_verdicts() -> None:
    text = verdicts_text(
        [
            Verdict("max_drop", "held", 0.01, 0.004, "share"),
            Verdict("latency_p99", "unverified", 0.012, None, "seconds", "not measured"),
        ]
    )
    assert text.splitlines()[1].split() == ["max_drop", "1", "%", "0.4", "%", "held"]
    assert text.endswith("12 ms  -         unverified (not measured)")
    assert verdicts_text([]) == "no budgets declared"


def test_a_latency_measured_on_a_device_has_one_side() -> None:
    side = Timing(300, 0.0042, 0.005, 0.006, 0.007, 0.03)
    text = latency_text(Latency(side, None, None, None, settled=True, seconds=9.0))
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["engine", "measured"]
