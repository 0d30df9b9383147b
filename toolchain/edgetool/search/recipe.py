"""A recipe on trial: passes with options, and what to call it."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgetool.config.schema import PassTable
from edgetool.plain_text import counted

PREPARING = frozenset({"simplify", "specialize", "convert-opset", "repair-qdq", "fuse", "fold-bn"})
"""Passes that compress nothing, so that names leave them out, and what a target's recipe begins with can be kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """One pass with the options that differ from its defaults."""

    use: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        """`quantize-static, calibrator = "mse", 4 layers float`."""
        plain = {key: value for key, value in self.options.items() if not isinstance(value, (list, tuple, dict))}
        spared = len(self.options.get("exclude", ()))
        layers = [f"{counted(spared, 'layer')} float"] if spared else []
        return ", ".join([self.use, *(f"{key} = {json.dumps(value)}" for key, value in plain.items()), *layers])

    def to_json(self) -> dict[str, Any]:
        return {"use": self.use, **self.options}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A list of passes.

    Attributes:
        steps: in order.
        main: place of the last pass that compresses, whose options are varied; None where nothing is compressed.
    """

    steps: tuple[Step, ...]
    main: int | None

    @property
    def compresses(self) -> Step | None:
        """The pass whose options are varied."""
        return None if self.main is None else self.steps[self.main]

    @property
    def key(self) -> str:
        """The same for recipes that do the same."""
        return json.dumps([step.to_json() for step in self.steps], sort_keys=True)

    @property
    def name(self) -> str:
        """What compresses, in order: `prune-channels, amount = 0.2 + quantize-static`."""
        return " + ".join(str(step) for step in self.steps if step.use not in PREPARING) or "float"

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
        return self.with_options({"exclude": list(patterns)})

    def after(self, step: Step) -> Recipe:
        """The same, with another step right before its main pass."""
        if self.main is None:
            return replace(self, steps=(*self.steps, step), main=len(self.steps))
        return Recipe((*self.steps[: self.main], step, *self.steps[self.main :]), self.main + 1)

    def to_json(self) -> list[dict[str, Any]]:
        return [step.to_json() for step in self.steps]


def from_tables(passes: Sequence[PassTable]) -> Recipe:
    """A recipe as targets.toml writes it."""
    steps = tuple(Step(row.use, row.options) for row in passes)
    compressing = [place for place, step in enumerate(steps) if step.use not in PREPARING]
    return Recipe(steps, compressing[-1] if compressing else None)
