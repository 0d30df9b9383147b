"""Everything that a user sees during a build, as data. Renderers turn events into text; library code never prints."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edgetool.artifact import JsonValue


@dataclass(frozen=True, slots=True)
class BuildStarted:
    """A target's build begins; `steps` are the names of its steps in order."""

    target: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step that is not in the cache begins to run."""

    target: str
    step: str


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A running step has done `done` of `total` `what` (samples, nodes, ...)."""

    target: str
    step: str
    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class StepNote:
    """A running step says one sentence that the user should know."""

    target: str
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step is done: run just now in `seconds`, or taken from the cache."""

    target: str
    step: str
    seconds: float
    cached: bool
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that does not stop the build and that nobody should overlook."""

    target: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """A target's build ended with an error."""

    target: str
    code: str
    message: str
    where: str | None
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class BuildFinished:
    """A target's bundle is in place.

    Attributes:
        exit_code: 0, 4 (a budget or the validation failed) or 9 (something is unproven).
        summary: the one line for people.
        remarks: lines below it: what was missed, what is unverified and what would prove it.
        bundle: its folder.
        content_digest: of everything in it but the measurements.
        result: the figures, for machines.
    """

    target: str
    exit_code: int
    summary: str
    remarks: tuple[str, ...]
    bundle: str
    content_digest: str
    result: dict[str, JsonValue]


Event: TypeAlias = (
    BuildStarted | StepStarted | StepProgress | StepNote | StepFinished | Warned | BuildFailed | BuildFinished
)
Listener: TypeAlias = Callable[[Event], None]


def to_json(event: Event) -> dict[str, object]:
    """`{"event": "step-started", ...}`: the class name in kebab-case, then its fields."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()
    return {"event": kind, **dataclasses.asdict(event)}
