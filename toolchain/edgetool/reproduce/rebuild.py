"""Builds what is in a bundle once more, from the project as it is now."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgetool.bundle.layout import VALIDATION
from edgetool.bundle.read import Bundle, read_bundle
from edgetool.engine.execute import build
from edgetool.engine.outcome import BuildOptions
from edgetool.engine.planned import BuildPlan
from edgetool.engine.services import Services
from edgetool.engine.standing import Choice, choice_of_report
from edgetool.errors import DeviceError, IntegrityError, UnavailableError

_DATE = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The second bundle.

    Attributes:
        bundle: read and checked.
        deterministic: its backend promises equal bytes for equal inputs.
    """

    bundle: Bundle
    deterministic: bool


@dataclass(frozen=True, slots=True)
class NotRebuilt:
    """Why there is no second bundle: what builds it, or its device, is not here.

    Attributes:
        reason: one sentence.
        fix: what would help.
    """

    reason: str
    fix: str | None


def rebuild(bundle: Bundle, plan: BuildPlan, services: Services, *, output: Path) -> Rebuilt | NotRebuilt:
    """Build into `output`, as of the date that the bundle bears, and with the candidate that it holds.

    Raises:
        EdgetoolError: whatever else ends a build: a source that is gone, a pass that refuses.
    """
    options = BuildOptions(output=output, allow_unverified=True, repeat=_choice(bundle, plan))
    try:
        with _as_of(bundle.manifest.created):
            finished = build(replace(plan, packages=None), services, options)
    except (DeviceError, UnavailableError) as error:
        return NotRebuilt(str(error), error.hint)
    again = read_bundle(Path(finished.bundle))
    wanted, made_by = bundle.manifest.backend.name, again.manifest.backend.name
    if wanted != made_by and again.manifest.fallback:
        first = again.manifest.fallback[0]
        return NotRebuilt(f"{first.backend} gives no engine here: {first.reason}", None)
    deterministic = all(row.deterministic for row in plan.backends if row.name == made_by)
    return Rebuilt(again, deterministic)


def _choice(bundle: Bundle, plan: BuildPlan) -> Choice | None:
    """The choice between candidates is made by time, so it is taken over, as long as the target still has them."""
    where = bundle.path / VALIDATION
    try:
        choice = choice_of_report(json.loads(where.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            "bundle-damaged",
            "the report of the validation cannot be read",
            where=str(where),
            hint="get the bundle again from where it came",
        ) from error
    if choice is None or not any(row.name == choice.name and row.why_not is None for row in plan.candidates):
        return None
    return choice


@contextmanager
def _as_of(created: str | None) -> Iterator[None]:
    """The environment in which the bundle was built, as far as its date goes."""
    before = os.environ.pop(_DATE, None)
    if created is not None:
        os.environ[_DATE] = str(int(datetime.datetime.fromisoformat(created).timestamp()))
    try:
        yield
    finally:
        os.environ.pop(_DATE, None)
        if before is not None:
            os.environ[_DATE] = before
