"""Compares what two engines answered to the same golden inputs, as their builds recorded it."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.artifact import JsonValue
from edgetool.bundle.golden import read_golden, read_made_by, read_min_cosine
from edgetool.bundle.layout import IO_FOLDER
from edgetool.bundle.read import Bundle
from edgetool.validate.difference import Difference, difference

MOST_GAIN = 0.05
"""How much longer one output may be than the other, which a cosine is blind to."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two engines' outputs are apart.

    Attributes:
        outputs: one row an output of each golden case.
        min_cosine: what each of them should reach.
    """

    outputs: tuple[Difference, ...]
    min_cosine: float

    @property
    def holds(self) -> bool:
        return all(row.equal == 1 if row.integral else self._agrees(row) for row in self.outputs)

    @property
    def worst(self) -> float:
        return min((row.equal if row.integral else row.cosine for row in self.outputs), default=1.0)

    def _agrees(self, row: Difference) -> bool:
        return row.cosine >= self.min_cosine and abs(row.gain - 1) <= MOST_GAIN and not row.strays

    def to_json(self) -> dict[str, JsonValue]:
        return {"min_cosine": self.min_cosine, "outputs": [row.to_json() for row in self.outputs]}


def compare_outputs(then: Bundle, now: Bundle) -> Agreement | str:
    """Both bundles' recorded outputs, or why they cannot be compared. Nothing is run.

    Raises:
        IntegrityError: golden data cannot be read.
    """
    for bundle, name in ((then, "the bundle"), (now, "the rebuilt one")):
        folder = bundle.path / IO_FOLDER
        if not folder.is_dir():
            return f"{name} has no golden outputs"
        if read_made_by(folder) != "engine":
            return f"the golden outputs of {name} are those of the float reference: its engine did not run"
    pairs = list(zip(read_golden(then.path / IO_FOLDER), read_golden(now.path / IO_FOLDER), strict=False))
    rows = []
    for old, new in pairs:
        if old.inputs.keys() != new.inputs.keys() or any(
            old.inputs[name].tobytes() != new.inputs[name].tobytes() for name in old.inputs
        ):
            return "the golden inputs of the two are not equal"
        shapes = {name: array.shape for name, array in old.outputs.items()}
        if shapes != {name: array.shape for name, array in new.outputs.items()}:
            return "the outputs of the two have other names or shapes"
        rows += [difference(name, old.outputs[name], new.outputs[name]) for name in old.outputs]
    return Agreement(tuple(rows), read_min_cosine(then.path / IO_FOLDER))
