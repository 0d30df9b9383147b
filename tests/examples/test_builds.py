"""Every example through the whole toolchain: prepared, built for both runtimes in float and int8, all budgets held."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.run import TARGETS, run

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_all_budgets_are_held(example: Path) -> None:
    rows = {row.target: row for row in run(example.name)}

    assert list(rows) == list(TARGETS)
    assert {row.target: (row.verdict, row.remarks) for row in rows.values() if not row.ok} == {}
    for runtime in ("ort", "openvino"):
        exact, quantized = rows[f"{runtime}-float"], rows[f"{runtime}-int8"]
        assert exact.metric == pytest.approx(exact.reference, abs=0.005)
        assert quantized.size is not None
        assert exact.size is not None
        assert quantized.size < exact.size * 1.02, "recurrent layers stay float; nothing grows by more than its scales"
