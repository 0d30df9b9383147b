"""A report to render: of a bundle that was really written and read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgetool.bundle.read import read_bundle
from edgetool.bundle.write import Contents, write_bundle
from edgetool.report.collect import report_of
from edgetool.report.document import Report
from edgetool.validate.budgets import Verdict
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.difference import Difference
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency, timing
from tests.bundle.samples import MANIFEST

ROW = Difference("y", 0.5, 0.1, 0.99, 0.98, 1.01, 30.0, 0.9, 1.0, 0.25, False)
COMPARISON = Comparison(
    "int8", (Trial("evaluation", "as given", 3, (ROW,)),), Score("top1", 0.9, 0.875), 0.0, (3, "ab" * 32),
    (Finding("remark", "small-output", "an output is nearly constant", "y"),),
)  # fmt: skip
HELD = Verdict("max_drop", "held", 0.05, 0.025, "share")
MISSED = Verdict("size", "missed", 1000.0, 2000.0, "bytes")
OPEN = Verdict("latency_p99", "unverified", 0.01, None, "seconds", "no device", "build on the device")


def measured(*, seed: int = 0) -> Latency:
    """Of 200 runs each."""
    runs = np.random.default_rng(seed).uniform(0.001, 0.002, (5, 40)).tolist()
    return Latency(timing(runs), timing(runs), 1.0, 0.02, True, 0.4)


@pytest.fixture
def make_report(tmp_path: Path) -> Callable[..., Report]:
    """The report of a bundle with these contents; other arguments change its manifest."""

    def make(
        comparison: Comparison | None = COMPARISON, verdicts: tuple[Verdict, ...] = (HELD,), **changed: object
    ) -> Report:
        engine = tmp_path / "engine"
        engine.mkdir(exist_ok=True)
        (engine / "engine.onnx").write_bytes(b"engine")
        contents = Contents(
            manifest=replace(MANIFEST, **changed),  # type: ignore[arg-type]
            engine=engine,
            golden=None,
            validation={
                "reference": {"runtime": "onnxruntime", "model_sha256": "ef" * 32},
                "comparison": comparison.to_json() if comparison else None,
                "not_run": None if comparison else "no device",
                "verdicts": [row.to_json() for row in verdicts],
                "placement": {"accelerator": "CPU", "nodes": 7, "off_accelerator": [], "off_accelerator_nodes": 0},
            },
            measurements={"latency": measured().to_json(), "verdicts": [], "host": {"cpu": "a CPU"}},
        )
        write_bundle(tmp_path / "net-1.2.0-ort.edgebundle", contents)
        return report_of(read_bundle(tmp_path / "net-1.2.0-ort.edgebundle"))

    return make
