"""Counts by kind and outcome, and each defect with how to see it again."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from tests.robustness.campaign import History, Row

_PACKAGES = (
    "edgetool", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "protobuf", "pydantic", "typer",
)  # fmt: skip
_FOLDER = re.compile(r"(?:/[\w.-]+)+/(?=(?:plugins|toolchain)/)")
"""Where the code lay is no part of a defect."""


def summarise(history: History, *, seed: int) -> dict[str, Any]:
    """What `summary.json` holds."""
    rows = history.rows
    kinds = sorted({row.kind for row in rows})
    return {
        "seed": seed,
        "mutants": len(rows),
        "started_as_a_program": sum(row.confirmed for row in rows),
        **_most(rows),
        "kinds": {kind: _of_kind([row for row in rows if row.kind == kind]) for kind in kinds},
        "open_defects": [_defect(row, seed) for row in rows if row.defect],
        "fixed_defects": [_defect(row, seed) for row in history.fixed],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _of_kind(rows: Sequence[Row]) -> dict[str, Any]:
    mean = sum(row.seconds for row in rows) / len(rows)
    outcomes = _counted(row.outcome for row in rows)
    return {"mutants": len(rows), "mean_seconds": round(mean, 3), **_most(rows), "outcomes": outcomes}


def _most(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "slowest_seconds": max((row.seconds for row in rows), default=0.0),
        "largest_mib": max((row.resident for row in rows), default=0) >> 20,
    }


def _defect(row: Row, seed: int) -> dict[str, Any]:
    return {
        "defect": _FOLDER.sub("", row.defect or ""),
        "confirmed": row.confirmed,
        "command": row.command,
        "again": f"python -m tests.robustness --seed {seed} --kind {row.kind} --index {row.index}",
    }


def _counted(outcomes: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(outcomes).items(), key=lambda row: (-row[1], row[0])))
