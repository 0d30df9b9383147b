"""A recipe on trial: passes with options, and what to call it."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgetool.config.schema import PassTable


@dataclass(frozen=True, slots=True)
class Step:
    """One pass with the options that differ from its defaults."""

    use: str
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"use": self.use, **self.options}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A list of passes.

    Attributes:
        steps: in order.
        main: place of the pass that compresses; None where nothing is compressed.
        note: what is added to the name, because the options alone would be too long to read.
    """

    steps: tuple[Step, ...]
    main: int | None
    note: str = ""

    @property
    def compresses(self) -> Step | None:
        """The pass that the recipe is about."""
        return None if self.main is None else self.steps[self.main]

    @property
    def key(self) -> str:
        """The same for recipes that do the same."""
        return json.dumps([step.to_json() for step in self.steps], sort_keys=True)

    @property
    def name(self) -> str:
        """`quantize-static, calibrator = "mse", 4 layers float`."""
        if self.compresses is None:
            return "float"
        shown = [
            f"{key} = {json.dumps(value)}"
            for key, value in self.compresses.options.items()
            if not isinstance(value, (list, tuple))
        ]
        return ", ".join([self.compresses.use, *shown, *([self.note] if self.note else [])])

    def with_options(self, options: Mapping[str, Any]) -> Recipe:
        """The same, with these options of its main pass set besides those it has."""
        if self.main is None:
            return self
        step = self.steps[self.main]
        changed = Step(step.use, {**step.options, **options})
        return replace(self, steps=(*self.steps[: self.main], changed, *self.steps[self.main + 1 :]))

    def sparing(self, layers: Sequence[str]) -> Recipe:
        """The same, with these nodes left as they are, besides those that it excludes anyway."""
        given = self.compresses.options.get("exclude", ()) if self.compresses else ()
        patterns = dict.fromkeys([*given, *(glob.escape(name) for name in layers)])
        count = len(patterns)
        recipe = self.with_options({"exclude": list(patterns)})
        return replace(recipe, note=f"{count} layer{'s' if count > 1 else ''} float")

    def to_json(self) -> list[dict[str, Any]]:
        return [step.to_json() for step in self.steps]


def from_tables(passes: Sequence[PassTable], *, main: int | None, note: str = "") -> Recipe:
    """A recipe as targets.toml writes it."""
    return Recipe(tuple(Step(row.use, row.options) for row in passes), main, note)
