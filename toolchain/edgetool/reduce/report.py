"""What goes beside a reduced model: a targets file that reproduces the failure, and a text for the bug report."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import edgetool
from edgetool.artifact import JsonValue
from edgetool.config.tree import dotted
from edgetool.config.write import toml_value
from edgetool.reduce.reduction import Reduction
from edgetool.signature import Signature

TARGET = "reduced"
_COMMANDS = {"supports": "check", "build": "build", "run": "build"}


@dataclass(frozen=True, slots=True)
class Suspect:
    """The backend that failed, as the target asks for it.

    Attributes:
        name: of the backend.
        version: of its runtime, if known.
        options: that the target sets; defaults are left out.
        facts: of the target.
        builder: which of the backend's builders served.
    """

    name: str
    version: str | None
    options: Mapping[str, JsonValue]
    facts: Mapping[str, JsonValue]
    builder: str | None


def targets_file(suspect: Suspect, signature: Signature) -> str:
    """A targets file with one target that has the backend, its options and no passes. Hosts stay out of it."""
    tables: dict[tuple[str, ...], Mapping[str, object]] = {
        ("targets", TARGET): {"backend": suspect.name},
        ("targets", TARGET, suspect.name): suspect.options,
        ("targets", TARGET, "facts"): suspect.facts,
        ("targets", TARGET, "builder"): {"kind": suspect.builder} if suspect.builder else {},
    }
    for name, found in signature.dims.items():
        tables["model", "dims", name] = {"min": found.min, "opt": found.opt, "max": found.max}
    lines = ["schema = 1"]
    for path, table in tables.items():
        if table:
            lines += [
                "",
                f"[{dotted(path)}]",
                *(f"{dotted((key,))} = {toml_value(value)}" for key, value in table.items()),
            ]
    return "\n".join(lines) + "\n"


def backend_command(reduction: Reduction, targets: Path) -> str:
    """What shows the failure again, run in the folder of the files."""
    verb = _COMMANDS[reduction.failure.stage]
    extra = " --allow-unverified" if verb == "build" else ""
    return f"edgetool {verb} {quote(reduction.model.path.name)} --file {quote(targets.name)} --target {TARGET}{extra}"


def report(reduction: Reduction, operators: Counter[str], command: str, *, suspect: Suspect | None) -> str:
    """The text for a bug report."""
    return "\n".join(_lines(reduction, operators, command, suspect)) + "\n"


def _lines(reduction: Reduction, operators: Counter[str], command: str, suspect: Suspect | None) -> Iterator[str]:
    before, after = reduction.nodes
    signature = reduction.model.signature
    yield f"{reduction.model.path.name}: {after} of {before} nodes are enough for this failure"
    yield ""
    yield f"failure     {reduction.failure}"
    if suspect:
        options = ", ".join(f"{name} = {toml_value(value)}" for name, value in suspect.options.items())
        yield f"backend     {suspect.name} {suspect.version or ''}".rstrip() + (f", {options}" if options else "")
    yield f"operators   {', '.join(f'{name} {count}' for name, count in sorted(operators.items()))}"
    for spec in signature.inputs:
        yield f"input       {spec}"
    for spec in signature.outputs:
        yield f"output      {spec}"
    if reduction.fixed:
        yield f"sizes       fixed, it fails without dynamic dimensions too ({', '.join(reduction.fixed)})"
    yield f"weights     {_weights(reduction)}"
    yield f"found by    edgetool {edgetool.__version__}, {reduction.calls} calls in {reduction.seconds:.0f} s"
    yield f"machine     {platform.machine()}, Python {platform.python_version()}"
    if not reduction.finished:
        yield "note        time ran out: it may be possible to reduce it further"
    if not reduction.confirmed:
        yield "note        in a new process it did not fail again: the failure depends on what was done before"
    yield ""
    yield "reproduce   " + command


def _weights(reduction: Reduction) -> str:
    if not reduction.blanked and not reduction.kept:
        return "none"
    parts = []
    if reduction.blanked:
        parts.append(f"{len(reduction.blanked)} replaced by constants")
    if reduction.kept:
        parts.append(f"{len(reduction.kept)} from the original: {', '.join(reduction.kept[:5])}"
                     + (" ..." if len(reduction.kept) > 5 else ""))  # fmt: skip
    return ", ".join(parts)
