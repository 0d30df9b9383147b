"""Compares two bundles by what they recorded; nothing is built, and nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgetool.diff.accuracy import accuracy
from edgetool.diff.contract import contract
from edgetool.diff.cost import placement, size, speed
from edgetool.diff.made_by import inputs, signing, verdicts
from edgetool.diff.rows import BundleDifference, Section
from edgetool.diff.side import Side, read_side
from edgetool.errors import IntegrityError


def compare_bundles(old: Path, new: Path) -> BundleDifference:
    """All that changed from one bundle to the other.

    Raises:
        ConfigError: one of them is not there.
        IntegrityError: one of them is damaged.
    """
    before, after = read_side(old), read_side(new)
    try:
        sections = _sections(before, after)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        # No hash covers the measurements, and whoever writes a manifest may write anything: both are text to be read.
        raise IntegrityError(
            "report-invalid",
            f"their reports cannot be read: {type(error).__name__}: {error}",
            where=f"{old}, {new}",
            hint="build them again with this edgetool",
        ) from error
    return BundleDifference(
        old=before.identity, new=after.identity, warnings=tuple(_warnings(before, after)), sections=sections
    )


def _sections(before: Side, after: Side) -> tuple[Section, ...]:
    made = inputs(before, after)
    return (
        Section("accuracy", tuple(accuracy(before, after))),
        Section("speed", tuple(speed(before, after))),
        Section("size", tuple(size(before, after))),
        Section("placement", tuple(placement(before, after))),
        Section("signature", tuple(contract(before, after))),
        Section("budgets", tuple(verdicts(before, after))),
        *(Section(title, rows) for title, rows in made.items()),
        Section("signing", tuple(signing(before, after))),
    )


def _warnings(old: Side, new: Side) -> Iterator[str]:
    before, after = old.manifest, new.manifest
    if before.name != after.name:
        yield f"these are bundles of different models: {before.name} and {after.name}"
    if before.target.name != after.target.name:
        yield f"these are bundles for different targets: {before.target.name} and {after.target.name}"
    if old.samples != new.samples:
        yield "they were judged by different evaluation data, so accuracies do not compare"
    for side, name in ((old, "old"), (new, "new")):
        if stand_in := side.validation.get("stand_in"):
            yield f"the {name} one ran on {stand_in}, which only stands in for its target"
        if why_not := side.manifest.validation.get("why_not"):
            yield f"the {name} one did not run where it was built: {why_not}"
