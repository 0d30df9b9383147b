"""Everything that a user sees during a build, as data. Renderers turn events into text; library code never prints."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from edgetool.artifact import JsonValue


@dataclass(frozen=True, slots=True)
class _OfModel:
    """What every event says.

    Attributes:
        model: name of the model that is built; targets of several models may have one name.
    """

    model: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class BuildStarted(_OfModel):
    """A target's build begins.

    Attributes:
        target: its name in targets.toml.
        steps: the names of its steps in order.
    """

    target: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CandidateStarted(_OfModel):
    """With `precision = "auto"`: the steps that follow are this candidate's.

    Attributes:
        target: whose build it is.
        candidate: name of the recipe, or of the precision.
        steps: the names of its steps in order.
    """

    target: str
    candidate: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStarted(_OfModel):
    """A step that is not in the cache begins to run.

    Attributes:
        target: whose build it is.
        step: its name: `import`, a pass, `supports`, `build`, `validate`, `bundle`, or data that is read.
    """

    target: str
    step: str


@dataclass(frozen=True, slots=True)
class StepProgress(_OfModel):
    """A running step has done a part of its work.

    Attributes:
        target: whose build it is.
        step: its name.
        done: how many are done.
        total: of how many.
        what: samples, nodes, ...
    """

    target: str
    step: str
    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class StepNote(_OfModel):
    """A running step says something that the user should know.

    Attributes:
        target: whose build it is.
        step: its name.
        text: one sentence.
    """

    target: str
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished(_OfModel):
    """A step is done.

    Attributes:
        target: whose build it is.
        step: its name.
        seconds: how long it took when it ran.
        cached: it did not run just now; the result is from the cache.
        summary: what came of it, where there is something to say.
    """

    target: str
    step: str
    seconds: float
    cached: bool
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Warned(_OfModel):
    """Something that does not stop the build and that nobody should overlook.

    Attributes:
        target: whose build it is.
        text: one sentence.
    """

    target: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildFailed(_OfModel):
    """A target's build ended with an error.

    Attributes:
        target: whose build it was.
        code: what `edgetool explain` knows.
        message: what happened.
        where: the file, table, key or node, or null.
        hint: what to do next, or null.
        exit_code: what the command ends with if nothing worse happens.
    """

    target: str
    code: str
    message: str
    where: str | None
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class BuildFinished(_OfModel):
    """A target's bundle is in place.

    Attributes:
        target: whose build it was.
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
    BuildStarted
    | CandidateStarted
    | StepStarted
    | StepProgress
    | StepNote
    | StepFinished
    | Warned
    | BuildFailed
    | BuildFinished
)
Listener: TypeAlias = Callable[[Event], None]


def of_model(name: str, listen: Listener) -> Listener:
    """A listener that says of every event which model it is about."""
    return lambda event: listen(replace(event, model=name))


def to_json(event: Event) -> dict[str, object]:
    """`{"event": "step-started", ...}`: what kind of event it is, then its fields."""
    return {"event": kind_of(type(event)), **dataclasses.asdict(event)}


def kind_of(event: type[Event]) -> str:
    """The class name in kebab-case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", event.__name__).lower()
