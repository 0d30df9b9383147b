"""One line an event, for CI logs and pipes; progress at most every few seconds."""

from __future__ import annotations

import time
from typing import TextIO

from edgetool.config.units import format_seconds
from edgetool.engine.events import (
    BuildStarted,
    CandidateStarted,
    Event,
    Listener,
    StepFinished,
    StepNote,
    StepProgress,
    StepStarted,
    Warned,
)

_EVERY = 5.0


def lines(sink: TextIO, *, name_models: bool) -> Listener:
    """A listener that writes lines to `sink`."""
    spoke: dict[tuple[str, str, str], float] = {}

    def listen(event: Event) -> None:
        if isinstance(event, StepStarted):
            spoke[event.model, event.target, event.step] = time.monotonic()
        if isinstance(event, StepProgress):
            key = event.model, event.target, event.step
            if time.monotonic() - spoke.get(key, 0.0) < _EVERY:
                return
            spoke[key] = time.monotonic()
        if text := line(event, name_models=name_models):
            print(text, file=sink, flush=True)

    return listen


def label(event: Event, *, name_models: bool) -> str:
    """Whose event it is."""
    return f"{event.model}/{event.target}" if name_models and event.model else event.target


def line(event: Event, *, name_models: bool) -> str | None:
    """The event as a line, or None where a line would say nothing new."""
    said = _said(event)
    return None if said is None else f"{label(event, name_models=name_models)}: {said}"


def _said(event: Event) -> str | None:
    match event:
        case BuildStarted(steps=steps):
            return " > ".join(steps)
        case CandidateStarted(candidate=candidate, steps=steps):
            return f"candidate {candidate}: {' > '.join(steps)}"
        case StepProgress(step=step, done=done, total=total, what=what):
            return f"{step}: {done}{f' of {total}' if total else ''} {what}"
        case StepNote(step=step, text=text):
            return f"{step}: {text}"
        case StepFinished(step=step, seconds=seconds, cached=cached, summary=summary):
            took = "cached" if cached else format_seconds(seconds)
            return f"{step}: {took}" + (f", {summary}" if summary else "")
        case Warned(text=text):
            return f"warning: {text}"
    return None
