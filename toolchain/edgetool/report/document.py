"""What a report says about one model on one target, as data; every format is a view of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from edgetool.artifact import Facts, JsonValue
from edgetool.blame.findings import Blame
from edgetool.plain_text import counted
from edgetool.validate.budgets import Verdict
from edgetool.validate.comparison import Comparison
from edgetool.validate.latency import Latency

SCHEMA_VERSION = 1

Outcome: TypeAlias = Literal["passed", "failed", "unverified", "known", "not-run"]
"""`known` deviates as a baseline says; `not-run` is what this machine cannot show, for want of an emulator, say."""

_WORST_FIRST: tuple[Outcome, ...] = ("failed", "unverified", "known", "not-run", "passed")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: a test case of JUnit, a result of SARIF, an annotation.

    Attributes:
        id: stable over builds, fit for a baseline: `budget/size`, `accuracy/wrong-shape`, `emulation/denverton`.
        title: what was looked at, for people.
        outcome: what came of it.
        message: what was found, one sentence.
        fix: what would cure it, or prove it.
        nodes: of the graph, that are to blame.
        figures: numbers behind the message, for programs: of an emulated processor `golden` and `samples` (feeds),
            `cosine` (the smallest), `max_abs` (the largest error) and `seconds` (what it took here).
    """

    id: str
    title: str
    outcome: Outcome
    message: str
    fix: str | None = None
    nodes: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_elsewhere(self) -> bool:
        """It is about a processor that is not this machine's own."""
        return self.id.startswith(("emulation/", "isa/"))

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "id": self.id,
            "title": self.title,
            "outcome": self.outcome,
            "message": self.message,
            "fix": self.fix,
            "nodes": list(self.nodes),
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model needs.

    Attributes:
        weights: bytes of all constants.
        activations: bytes of the tensors that live at the same time at the worst moment, at the size to tune for;
            None where a shape is not known.
    """

    weights: int
    activations: int | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {"weights": self.weights, "activations": self.activations}


@dataclass(frozen=True, slots=True)
class PassRow:
    """One pass of the recipe.

    Attributes:
        before, after: None where the build did not tell.
        facts: what the pass said about its work.
    """

    name: str
    options: Facts
    changed: bool
    facts: Facts
    before: Footprint | None = None
    after: Footprint | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "options": dict(self.options),
            "changed": self.changed,
            "facts": dict(self.facts),
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
        }


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the nodes run.

    Attributes:
        accelerator: what they should run on.
        nodes: how many there are.
        elsewhere: how many run elsewhere.
        rows: name, operator, place and reason of those, the first 200.
    """

    accelerator: str
    nodes: int
    elsewhere: int
    rows: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "accelerator": self.accelerator,
            "nodes": self.nodes,
            "elsewhere": self.elsewhere,
            "rows": [dict(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class FitRow:
    """One memory of the target: what there is and what is needed at least, in bytes, and what that consists of."""

    name: str
    limit: int
    need: int
    parts: str
    fits: bool

    def to_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "limit": self.limit, "need": self.need, "parts": self.parts, "fits": self.fits}


@dataclass(frozen=True, slots=True)
class MemoryPeak:
    """The moment at which activations need the most: where, how much, and the largest tensors alive then."""

    node: str | None
    nbytes: int
    tensors: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {"node": self.node, "nbytes": self.nbytes, "tensors": [[name, size] for name, size in self.tensors]}


@dataclass(frozen=True, slots=True)
class Unproven:
    """Something that nobody may take for granted.

    Attributes:
        what: in one sentence.
        prove_by: a command where there is one, else what is needed.
    """

    what: str
    prove_by: str | None

    def to_json(self) -> dict[str, JsonValue]:
        return {"what": self.what, "prove_by": self.prove_by}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All about one model on one target.

    Attributes:
        model, version, target: as in the bundle's name.
        file: that declares the target, where annotations point; relative to the working directory if it is below.
        bundle: its folder's name; None where there is none, because the build ended before.
        content_digest: of the bundle.
        backend: what built and ran the engine; `runtime` is its version.
        precision: of the engine.
        size: bytes of the engine's files.
        peak_memory: bytes of the engine's process while it was measured.
        checks: everything that was looked at; `outcome` follows from them.
        budgets: the same as checks, with numbers.
        findings: what the comparison with the reference found, remarks included, as text.
        measured: where and when the latency was measured: device, cpu, isa, threads, measured_at.
        yardstick: digest of what the speed-up is measured by: the float network, its runtime and threads.
        fits: the target's memories, as far as its facts name them.
        memory_peak: of the model's activations, from the lifetimes of its tensors; None where sizes are not known.
        blame: error by layer; None where nobody asked for it.
        signature: inputs, outputs and dimensions as JSON.
        environment: tools and their versions, of everything that decided the bytes.
        source: file, digest, importer, licence.
        stands_in_for: targets for which this proves nothing.
        error: code, message, hint and exit code, where the build ended before there was a bundle.
    """

    model: str
    version: str
    target: str
    file: str = "targets.toml"
    bundle: str | None = None
    content_digest: str | None = None
    backend: str = ""
    runtime: str | None = None
    precision: str = ""
    size: int | None = None
    peak_memory: int | None = None
    checks: tuple[Check, ...] = ()
    budgets: tuple[Verdict, ...] = ()
    findings: tuple[str, ...] = ()
    comparison: Comparison | None = None
    latency: Latency | None = None
    measured: Facts = field(default_factory=dict)
    yardstick: str | None = None
    passes: tuple[PassRow, ...] = ()
    lowerings: tuple[str, ...] = ()
    placement: Placement | None = None
    fits: tuple[FitRow, ...] = ()
    memory_peak: MemoryPeak | None = None
    blame: Blame | None = None
    unproven: tuple[Unproven, ...] = ()
    signature: Facts = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    source: Facts = field(default_factory=dict)
    stands_in_for: tuple[str, ...] = ()
    error: Facts | None = None

    @property
    def title(self) -> str:
        return f"{self.model} {self.version} for {self.target}"

    @property
    def outcome(self) -> Outcome:
        """The worst of all checks. What this machine cannot show does not make a proven result unverified."""
        seen = {check.outcome for check in self.checks}
        decisive: tuple[Outcome, ...] = ("failed", "unverified", "known", "passed")
        return next((outcome for outcome in decisive if outcome in seen), "not-run")

    @property
    def headline(self) -> str:
        """Why, in one sentence."""
        ordered = sorted(self.checks, key=lambda check: _WORST_FIRST.index(check.outcome))
        bad = [check for check in ordered if check.outcome == self.outcome and check.outcome != "passed"]
        if not bad:
            return self._without_faults()
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{bad[0].title}: {bad[0].message}{more}"

    def _without_faults(self) -> str:
        if not self.checks:
            return "nothing was checked"
        absent = sum(check.outcome == "not-run" for check in self.checks)
        if not absent:
            return "its check passed" if len(self.checks) == 1 else f"all {len(self.checks)} checks passed"
        return f"{counted(len(self.checks) - absent, 'check')} passed, {absent} not run here"

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "model": self.model,
            "version": self.version,
            "target": self.target,
            "file": self.file,
            "outcome": self.outcome,
            "headline": self.headline,
            "bundle": self.bundle,
            "content_digest": self.content_digest,
            "backend": self.backend,
            "runtime": self.runtime,
            "precision": self.precision,
            "size": self.size,
            "peak_memory": self.peak_memory,
            "checks": [check.to_json() for check in self.checks],
            "budgets": [verdict.to_json() for verdict in self.budgets],
            "findings": list(self.findings),
            "comparison": self.comparison.to_json() if self.comparison else None,
            "latency": self.latency.to_json() if self.latency else None,
            "measured": dict(self.measured),
            "passes": [row.to_json() for row in self.passes],
            "lowerings": list(self.lowerings),
            "placement": self.placement.to_json() if self.placement else None,
            "fits": [row.to_json() for row in self.fits],
            "memory_peak": self.memory_peak.to_json() if self.memory_peak else None,
            "blame": self.blame.to_json() if self.blame else None,
            "unproven": [row.to_json() for row in self.unproven],
            "signature": dict(self.signature),
            "facts": dict(self.facts),
            "environment": dict(self.environment),
            "source": dict(self.source),
            "stands_in_for": list(self.stands_in_for),
            "error": dict(self.error) if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """One or more reports of one command: what `edgetool report` and the matrix of `edgetool validate` give.

    Attributes:
        reports: in the order of the command.
        baseline: what a baseline file says about them, as text; () without one.
    """

    reports: tuple[Report, ...]
    baseline: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst of all reports."""
        return min((row.outcome for row in self.reports), key=_WORST_FIRST.index, default="not-run")

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "schema_version": SCHEMA_VERSION,
            "outcome": self.outcome,
            "baseline": list(self.baseline),
            "reports": [row.to_json() for row in self.reports],
        }
