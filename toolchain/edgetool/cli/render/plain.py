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


def lines(sink: TextIO) -> Listener:
    """A listener that writes lines to `sink`."""
    spoke: dict[tuple[str, str], float] = {}

    def listen(event: Event) -> None:
        if isinstance(event, StepStarted):
            spoke[event.target, event.step] = time.monotonic()
        if isinstance(event, StepProgress):
            key = event.target, event.step
            if time.monotonic() - spoke.get(key, 0.0) < _EVERY:
                return
            spoke[key] = time.monotonic()
        if text := line(event):
            print(text, file=sink, flush=True)

    return listen


def line(event: Event) -> str | None:
    """The event as a line, or None where a line would say nothing new."""
    match event:
        case BuildStarted(target, steps):
            return f"{target}: {' > '.join(steps)}"
        case CandidateStarted(target, candidate, steps):
            return f"{target}: candidate {candidate}: {' > '.join(steps)}"
        case StepProgress(target, step, done, total, what):
            return f"{target}: {step}: {done}{f' of {total}' if total else ''} {what}"
        case StepNote(target, step, text):
            return f"{target}: {step}: {text}"
        case StepFinished(target, step, seconds, cached, summary):
            took = "cached" if cached else format_seconds(seconds)
            return f"{target}: {step}: {took}" + (f", {summary}" if summary else "")
        case Warned(target, text):
            return f"{target}: warning: {text}"
    return None
