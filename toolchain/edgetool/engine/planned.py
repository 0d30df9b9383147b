"""What a build is going to do, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgetool.artifact import Facts
from edgetool.backends.base import HERE, Availability, Site
from edgetool.config.result import Config, ResolvedTarget
from edgetool.engine.order import PackageOrder
from edgetool.errors import EdgetoolError
from edgetool.importers.base import ImportRequest, Source


@dataclass(frozen=True, slots=True)
class Planned:
    """A plugin's class with validated options.

    Attributes:
        name: what targets.toml calls it.
        loader: `module:Class`.
        revision: the class's own.
        options: validated, defaults filled in, as JSON.
        provider: the plugin's distribution and version.
        tools: distribution name to version, of all that decide the result.
        isolated: it brings a framework of its own, so its process is not kept for the next steps.
    """

    name: str
    loader: str
    revision: int
    options: Mapping[str, Any]
    provider: str
    tools: Mapping[str, str]
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class PlannedPass(Planned):
    """A pass; whether it cannot do without the user's samples, or only does better with them."""

    wants_calibration: bool = False
    welcomes_calibration: bool = False


@dataclass(frozen=True, slots=True)
class PlannedBackend(Planned):
    """A backend with what its probe said; `failure` is set instead where it cannot build here."""

    availability: Availability | None = None
    failure: EdgetoolError | None = None
    deterministic: bool = True
    site: Site = HERE

    @property
    def device(self) -> Facts:
        """What its probe said of the device; empty where there is none, or nothing can be built."""
        return dict(self.availability.device) if self.availability else {}


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One of several recipes that `precision = "auto"` chooses from.

    Attributes:
        name: of the recipe, or of the precision.
        use: names of its passes.
        passes: resolved; empty where it is not tried.
        left_out: why it is not tried.
        failure: why it cannot be tried here.
    """

    name: str
    use: tuple[str, ...]
    passes: tuple[PlannedPass, ...] = ()
    left_out: str | None = None
    failure: EdgetoolError | None = None

    @property
    def why_not(self) -> str | None:
        """Why nothing comes of it; None where it is tried."""
        return self.left_out or (self.failure.message if self.failure else None)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One target's build.

    Attributes:
        config: the file it comes from.
        target: resolved.
        name, version: of the bundle.
        importer: what reads the source.
        request: what the user declared about the model.
        passes: in order.
        backends: the target's own, then its fallbacks in order.
        covered_by: targets that stand in for this one, for hints.
        candidates: with `precision = "auto"` the recipes to choose from, and then there are no `passes`.
        packages: what the bundle is wrapped into; None for nothing.
    """

    config: Config
    target: ResolvedTarget
    name: str
    version: str
    source: Source
    importer: Planned
    request: ImportRequest
    passes: tuple[PlannedPass, ...]
    backends: tuple[PlannedBackend, ...]
    covered_by: tuple[str, ...]
    candidates: tuple[PlannedCandidate, ...] = ()
    packages: PackageOrder | None = None

    def with_passes_of(self, candidate: PlannedCandidate) -> BuildPlan:
        """The plan of one candidate alone."""
        return replace(self, passes=candidate.passes, candidates=())

    @property
    def bundle_name(self) -> str:
        return f"{self.name}-{self.version}-{self.target.name}.edgebundle"

    @property
    def step_names(self) -> tuple[str, ...]:
        end = ("bundle", *(self.packages.exporters if self.packages else ()))
        if self.candidates:
            return ("import", *(row.name for row in self.candidates if row.why_not is None), *end)
        return ("import", *(row.name for row in self.passes), "supports", "build", "validate", *end)

    def to_json(self) -> dict[str, Any]:
        """For `--dry-run`."""

        def row(item: Planned) -> dict[str, Any]:
            return {"use": item.name, "options": dict(item.options), "from": item.provider, "tools": dict(item.tools)}

        return {
            "target": self.target.name,
            "bundle": self.bundle_name,
            "source": self.source.text,
            "import": row(self.importer),
            "passes": [row(item) for item in self.passes],
            "candidates": [
                {"name": item.name, "passes": [row(entry) for entry in item.passes], "why_not": item.why_not}
                for item in self.candidates
            ],
            "legalize": "if the backend refuses the model and names a pass that would cure it, that pass runs once",
            "build": [
                {
                    **row(item),
                    "available": item.failure is None,
                    "why_not": item.failure and item.failure.message,
                    "builder": item.availability and item.availability.builder,
                    "why_builder": item.availability and item.availability.why_builder,
                }
                for item in self.backends
            ],
            "budget": self.target.budget.model_dump(exclude_none=True),
            "stands_in_for": list(self.target.stands_in_for),
            "package": self.packages.to_json() if self.packages else [],
        }
