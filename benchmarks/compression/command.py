"""Runs the rows, each in a process group of its own and no longer than it may, and prints the table."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compression.findings import Finding, verdict
from benchmarks.compression.rows import ROWS, Row
from edgetool.host import read_host


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compression", description=__doc__)
    parser.add_argument("--rows", metavar="ROW,...", help=f"of {', '.join(row.key for row in ROWS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--minutes", type=float, metavar="N", help="give every row up after so many")
    options = parser.parse_args(arguments)
    keys = options.rows.split(",") if options.rows else [row.key for row in ROWS]
    if unknown := sorted(set(keys) - {row.key for row in ROWS}):
        parser.error(f"there is no row {', '.join(unknown)}")
    print(f"compression: one thread, processor time, against float32 on ONNX Runtime in turns; load {_load()}")
    print("intervals: where 95 of 100 draws of other photos, documents, lines or files put the number", flush=True)
    results: dict[str, Any] = {}
    for row in ROWS:
        if row.key in keys:
            results[row.key] = _measured(row, options.minutes or row.minutes)
            if options.json:
                _write(options.json, results)
    print("\nsummary")
    for row in ROWS:
        if row.key in results:
            print(f"  {row.key:16} {results[row.key]['verdict']:7} {row.wanted}")


def _measured(row: Row, minutes: float) -> dict[str, Any]:
    print(f"\n{row.key}: {row.title}\n  wanted: {row.wanted}", flush=True)
    began, load = time.monotonic(), _load()
    findings = _run(row, minutes)
    for finding in findings:
        _print(finding)
    end, seconds = verdict(findings), time.monotonic() - began
    print(f"  {end} after {seconds:.0f} s; load {load} before, {_load()} after", flush=True)
    return {
        "title": row.title,
        "wanted": row.wanted,
        "verdict": end,
        "seconds": round(seconds, 1),
        "load": load,
        "findings": [finding.to_json() for finding in findings],
    }


def _run(row: Row, minutes: float) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="edgetool-compression-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, "-m", "benchmarks.compression.one", row.key, str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1", "TMPDIR": folder}
        with log.open("wb") as sink:
            process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
            try:
                process.wait(minutes * 60)
            except subprocess.TimeoutExpired:
                return [Finding("this row", failure=f"given up after {minutes:g} minutes")]
            finally:
                _end(process)
        if not result.is_file():
            lines = log.read_text(errors="replace").strip().splitlines()
            return [Finding("this row", failure=lines[-1] if lines else f"exit code {process.returncode}")]
        return [Finding.from_json(one) for one in json.loads(result.read_text())]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever is left of the row's processes; also when this one is interrupted."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _print(finding: Finding) -> None:
    print(f"  {finding.name}")
    if finding.failure:
        print(f"    no figures: {finding.failure}")
    for line in finding.figures:
        print(f"    {line}")
    for check in finding.checks:
        print(f"    - {check}")


def _write(path: Path, results: dict[str, Any]) -> None:
    host = read_host()
    machine = {"cpu": host.cpu, "arch": host.arch, "threads": host.threads, "isa": list(host.isa)}
    path.write_text(json.dumps({"machine": machine, "rows": results}, indent=1) + "\n")


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())
