"""Prepares every example and builds it for four targets, then prints one table: `python -m examples.run [NAME ...]`.

Goes on after a failure; exits with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.parent.name for path in HERE.glob("*/targets.toml")))
VERDICTS = {0: "held", 4: "missed (4)", 9: "unverified (9)"}
TARGETS = ("ort-float", "ort-int8", "openvino-float", "openvino-int8")


@dataclass(frozen=True)
class Row:
    """What came of one target of one example; figures are None where the build did not get that far."""

    example: str
    target: str
    verdict: str
    ok: bool = False
    reference: float | None = None
    metric: float | None = None
    agreement: float | None = None
    cosine: float | None = None
    size: int | None = None
    speedup: float | None = None
    remarks: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.run", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which examples; all when left out: {', '.join(NAMES)}"
    )
    names = parser.parse_args(arguments).names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"there is no example {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    rows = [row for name in names for row in run(name)]
    print(table(rows))
    for row in rows:
        for remark in row.remarks:
            print(f"{row.example} {row.target}: {remark}")
    return 0 if all(row.ok for row in rows) else 1


def run(name: str) -> Iterator[Row]:
    """Prepare one example and build all its targets."""
    print(f"{name}: preparing", file=sys.stderr)
    prepared = _python("-m", f"examples.{name}.prepare")
    if prepared.returncode:
        reason = _last_line(prepared.stderr)
        yield from (Row(name, target, "not prepared", remarks=(reason,)) for target in TARGETS)
        return
    print(f"{name}: building {', '.join(TARGETS)}", file=sys.stderr)
    wanted = [argument for target in TARGETS for argument in ("--target", target)]
    file, output = HERE / name / "targets.toml", HERE / name / "dist"
    built = _python("-m", "edgetool", "build", "--file", file, "--output", output, "--json", *wanted)
    ends = _ends(built.stdout)
    for target in TARGETS:
        if target in ends:
            yield _row(name, ends[target])
        else:
            yield Row(name, target, f"failed ({built.returncode})", remarks=(_last_line(built.stderr),))


def table(rows: Sequence[Row]) -> str:
    """Columns for people."""
    titles = ("example", "target", "float", "here", "drop", "agree", "cosine", "size", "speed", "verdict")
    cells = [titles, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cells(row: Row) -> tuple[str, ...]:
    drop = None if row.metric is None or row.reference is None else row.reference - row.metric
    return (
        row.example,
        row.target,
        _shown(row.reference, "{:.4f}"),
        _shown(row.metric, "{:.4f}"),
        _shown(drop, "{:+.4f}"),
        _shown(row.agreement, "{:.3f}"),
        _shown(row.cosine, "{:.4f}"),
        _shown(None if row.size is None else row.size / 2**20, "{:.2f} MiB"),
        _shown(row.speedup, "{:.2f}x"),
        row.verdict,
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=HERE.parent, capture_output=True, text=True, check=False
    )


def _last_line(text: str) -> str:
    return (text.strip() or "no reason given").splitlines()[-1]


def _ends(events: str) -> dict[str, Mapping[str, Any]]:
    """The event that ended the build of each target, out of edgetool's JSON lines."""
    parsed = (json.loads(line) for line in events.splitlines())
    return {event["target"]: event for event in parsed if event.get("event") in ("build-finished", "build-failed")}


def _row(example: str, event: Mapping[str, Any]) -> Row:
    target, code = event["target"], event["exit_code"]
    if event["event"] == "build-failed":
        return Row(example, target, f"failed ({code})", remarks=(event["message"],))
    figures = event["result"]
    score = figures["comparison"]["score"]
    outputs = next(trial["outputs"] for trial in figures["comparison"]["trials"] if trial["origin"] == "evaluation")
    return Row(
        example,
        target,
        VERDICTS.get(code, f"failed ({code})"),
        ok=code == 0,
        reference=score["reference"],
        metric=score["engine"],
        agreement=outputs[0]["top1"],
        cosine=min(output["cosine"] for output in outputs),
        size=figures["size"],
        speedup=figures["latency"]["speedup"],
        remarks=tuple(event["remarks"]),
    )


if __name__ == "__main__":
    sys.exit(main())
