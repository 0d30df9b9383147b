"""What loading gives: one Config, with every target resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgetool.artifact import Facts, JsonValue
from edgetool.config.mistakes import Mistake
from edgetool.config.precision import CandidateRecipe
from edgetool.config.schema import BudgetTable, BuilderTable, DataTable, ModelTable, PackageTable, PassTable
from edgetool.config.tree import DEFAULT, Origin, Tree
from edgetool.errors import ConfigError
from edgetool.nearest import one_of


@dataclass(frozen=True)
class ResolvedTarget:
    """A target after `extends` and `--set`, with its recipe looked up.

    Attributes:
        name: as in `[targets.NAME]`.
        description: one line, or None.
        extends: boards and targets that it was built upon, nearest first.
        backend: name of the backend; whether it is installed is not known here.
        fallback: backends to try next.
        options: raw option table of every backend that the target says something about.
        recipe: name of the recipe, or None for the model as imported.
        passes: what the recipe lists.
        candidates: what `precision = "auto"` chooses from; empty where it is not said.
        facts: what is known of the hardware, by name.
        budget: limits that fail the build.
        builder: where and within which limits it is built.
        stands_in_for: targets that it is built in place of.
        unverified: whether exit 9 becomes 0.
        threads: of the engine, or None for what the host allows.
        package: formats to wrap the bundle in; the tables of exporters are raw.
        written: what was written for it anywhere, as it was written, with origins; the rest are defaults.
    """

    name: str
    backend: str
    description: str | None = None
    extends: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    recipe: str | None = None
    passes: tuple[PassTable, ...] = ()
    candidates: tuple[CandidateRecipe, ...] = ()
    facts: Facts = field(default_factory=dict)
    budget: BudgetTable = field(default_factory=BudgetTable)
    builder: BuilderTable = field(default_factory=BuilderTable)
    stands_in_for: tuple[str, ...] = ()
    unverified: Literal["fail", "allow"] = "fail"
    threads: int | None = None
    package: PackageTable = field(default_factory=PackageTable)
    written: Tree = field(default_factory=Tree, repr=False)

    @property
    def backend_options(self) -> Mapping[str, JsonValue]:
        """Raw table of the target's own backend; the backend's schema checks it."""
        return self.options_of(self.backend)

    def options_of(self, backend: str) -> Mapping[str, JsonValue]:
        """Raw table of a backend, empty where the target says nothing about it."""
        return self.options.get(backend, {})

    def package_below(self, root: Path) -> PackageTable:
        """`package` with its files as paths that hold from anywhere."""
        table, files = self.package, {}
        if table.certificate is not None:
            files["certificate"] = str(root / table.certificate)
        if table.key is not None and not table.key.startswith(("env:", "pkcs11:")):
            files["key"] = str(root / table.key)
        return table.model_copy(update=files)

    def origin(self, *path: str | int) -> Origin:
        """Where a value comes from, e.g. `target.origin("budget", "size")`."""
        return self.written.origins.get(path, DEFAULT)

    def to_json(self) -> dict[str, JsonValue]:
        """All values as the file would say them, defaults included."""
        return {
            "name": self.name,
            "description": self.description,
            "extends": list(self.extends),
            "backend": self.backend,
            "fallback": list(self.fallback),
            "recipe": self.recipe,
            "precision": "auto" if self.candidates else None,
            "candidates": [entry.name for entry in self.candidates],
            "passes": [{"use": entry.use, **entry.options} for entry in self.passes],
            "stands_in_for": list(self.stands_in_for),
            "unverified": self.unverified,
            "threads": self.threads,
            "facts": dict(self.facts),
            "budget": self.budget.model_dump(mode="json"),
            "builder": self.builder.model_dump(mode="json"),
            "package": self.package.model_dump(mode="json"),
            **{name: dict(table) for name, table in self.options.items()},
        }


@dataclass(frozen=True)
class Config:
    """A targets file that holds no mistakes.

    Attributes:
        path: the file, as the user named it.
        root: absolute folder that relative paths and the user's modules are found from.
        model: `[model]`, or None when the command line must name a source.
        data: `[data]`.
        recipes: passes by recipe.
        targets: everything that can be built, in the order of the file.
        bases: targets without a backend, that only others extend.
        warnings: what is allowed but looks unintended.
        written: the merged file as it was written, with origins.
    """

    path: Path
    root: Path
    model: ModelTable | None
    data: DataTable
    recipes: Mapping[str, tuple[PassTable, ...]]
    targets: Mapping[str, ResolvedTarget]
    bases: tuple[str, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    written: Tree = field(default_factory=Tree, repr=False)

    def target(self, name: str) -> ResolvedTarget:
        """The target of that name. Raises ConfigError with the nearest name, or all of them."""
        if name in self.targets:
            return self.targets[name]
        if name in self.bases:
            raise ConfigError(
                "target-without-backend",
                f"target {name!r} only serves others as a base: it has no backend",
                where=str(self.path),
                hint=f'give it one: backend = "onnxruntime" in [targets.{name}]',
            )
        raise ConfigError(
            "unknown-target",
            f"there is no target {name!r}",
            where=str(self.path),
            hint=one_of(name, self.targets, what="targets"),
        )
