"""Writes docs/reference/matrix.md from reports of the examples' matrix in JSON: `make matrix` calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "matrix.md"
EMULATORS = ("qemu-x86_64", "qemu-aarch64")

HEAD = """# The matrix of example networks

<!-- Written by docs/matrix.py; do not edit. -->

Every example network in int8, on both CPU runtimes, and on two processors that the machine did not have.
`make matrix` prepares the networks and runs

    edgetool validate --file examples/*/targets.toml --target ort-int8 --target openvino-int8 \\
        --set targets.openvino-int8.facts.weight_bits=7 \\
        --emulate openvino-int8=denverton --emulate ort-int8=cortex-a53 \\
        -O html -O markdown -O json -O junit -O sarif -O github -O gitlab --output build/matrix

which writes all seven formats, and then this page. An interrupted run goes on where it was, and where nothing changed
nothing is emulated again. [Validate for another CPU](../how-to/validate-for-another-cpu.md) is about the emulated
columns.

It is int8 because that is what ships to such processors, and where they differ: float kernels add in another order,
int8 kernels may saturate. That is why OpenVINO's engines get weights of 7 bits here. The last columns are those that
showed it: two networks with weights of 8 bits, without `--set`. They are right on a PC, and an Atom has no VNNI.
"""

KEY = """A cell says the verdict; the smallest cosine of an output over one feed; the largest error of an element in the
output's own unit; the time. For a runtime that is the int8 engine against the float network over all evaluation
samples, and the median of one inference. For an emulated processor it is the same engine against what it computes
here, over the golden inputs and so many of eight evaluation samples as 120 s allowed, and what the cell took here,
which says nothing about the time there.
"""


@dataclass(frozen=True)
class Column:
    """A target, and the processor that it was tried on besides; `check` is None for the machine itself."""

    target: str
    weight_bits: int | None
    check: str | None

    def __str__(self) -> str:
        if self.check is not None:
            return f"on {self.check.partition('/')[2]}"
        return self.target + (f", {self.weight_bits}-bit weights" if self.weight_bits else "")


def main(files: Sequence[str]) -> None:
    documents = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
    PAGE.write_text(page([report for document in documents for report in document["reports"]]), encoding="utf-8")
    print(f"wrote {PAGE}")


def page(reports: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    return "\n".join([HEAD, _made_with(reports), "", *_table(reports), "", KEY, *_open(reports), ""])


def _made_with(reports: Sequence[Mapping[str, Any]]) -> str:
    runtimes = {report["backend"]: report["runtime"] for report in reports if report["runtime"]}
    days = sorted(report["measured"]["measured_at"][:10] for report in reports if "measured_at" in report["measured"])
    processors = sorted({report["measured"]["cpu"] for report in reports if report["measured"].get("cpu")})
    tools = {name: version for report in reports for name, version in report["environment"].items()}
    versions = [f"{name} {version}" for name, version in sorted({**tools, **runtimes}.items())]
    return f"Made on {days[-1]} on {', '.join(processors)} with {', '.join([*versions, *_emulators()])}."


def _emulators() -> Iterator[str]:
    for name in EMULATORS:
        said = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
        yield said.partition("\n")[0].replace(" version", "")


def _table(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One row a network."""
    cells = {(report["model"], column): cell for report in reports for column, cell in _cells(report)}
    columns = dict.fromkeys(column for _, column in cells)
    yield f"| network | {' | '.join(map(str, columns))} |"
    yield f"|{'---|' * (len(columns) + 1)}"
    for model in dict.fromkeys(model for model, _ in cells):
        yield f"| {model} | {' | '.join(cells.get((model, column), '') for column in columns)} |"


def _cells(report: Mapping[str, Any]) -> Iterator[tuple[Column, str]]:
    bits = report["facts"].get("weight_bits")
    yield Column(report["target"], bits, None), "<br>".join(_here(report))
    for check in report["checks"]:
        if _is_elsewhere(check):
            yield Column(report["target"], bits, check["id"]), "<br>".join(_there(check))


def _here(report: Mapping[str, Any]) -> Iterator[str]:
    outcomes = {check["outcome"] for check in report["checks"] if not _is_elsewhere(check)}
    yield next((word for word in ("failed", "unverified", "known") if word in outcomes), "passed")
    trials = report["comparison"]["trials"] if report["comparison"] else []
    rows = [row for trial in trials if trial["origin"] == "evaluation" for row in trial["outputs"]]
    if rows:
        yield f"{min(row['cosine_worst'] for row in rows):.6f}"
        yield f"{max(row['max_abs'] for row in rows):.3g}"
    if report["latency"]:
        yield f"{1e3 * report['latency']['engine']['p50_s']:.3g} ms"


def _there(check: Mapping[str, Any]) -> Iterator[str]:
    figures = check["figures"]
    fed = f", {figures['samples']:g} sample{'s' * (figures['samples'] != 1)}" if "samples" in figures else ""
    yield _verdict(check["outcome"]) + fed
    if "cosine" in figures:
        yield f"{figures['cosine']:.6f}"
        yield f"{figures['max_abs']:.3g}"
    if "seconds" in figures:
        yield f"{figures['seconds']:.0f} s"


def _open(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What did not pass, with its reason."""
    yield "## What did not pass"
    yield ""
    rows = [
        f"- {report['model']}, {Column(report['target'], report['facts'].get('weight_bits'), None)}, {check['title']}: "
        f"**{_verdict(check['outcome'])}**: {check['message']}."
        + (f" What helps: {check['fix']}." if check["fix"] else "")
        for report in reports
        for check in report["checks"]
        if check["outcome"] != "passed"
    ]
    yield from dict.fromkeys(rows) or ["Nothing."]


def _verdict(outcome: str) -> str:
    return {"not-run": "NOT RUN"}.get(outcome, outcome)


def _is_elsewhere(check: Mapping[str, Any]) -> bool:
    return str(check["id"]).startswith(("emulation/", "isa/"))


if __name__ == "__main__":
    main(sys.argv[1:])
