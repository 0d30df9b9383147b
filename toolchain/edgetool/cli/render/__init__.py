"""Turns build events into what is seen: a live display, plain lines, or JSON lines."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from edgetool.cli.output import Output
from edgetool.engine.events import Event, Listener


@contextmanager
def listener(output: Output, *, name_models: bool = False) -> Iterator[Listener]:
    """The renderer that fits: JSON on request, a live display on a terminal, plain lines in CI and pipes.

    Args:
        output: how the command speaks.
        name_models: there are several, whose targets may have the same names: lines begin with `MODEL/TARGET`.
    """
    if output.json:
        from edgetool.engine.events import to_json

        yield _one_at_a_time(lambda event: output.event(to_json(event)))
    elif output.quiet:
        yield _ignore
    elif sys.stderr.isatty() and not os.environ.get("CI"):
        from edgetool.cli.render.rich import live

        with live(name_models=name_models) as listen:
            yield _one_at_a_time(listen)
    else:
        from edgetool.cli.render.plain import lines

        yield _one_at_a_time(lines(sys.stderr, name_models=name_models))


def _one_at_a_time(listen: Listener) -> Listener:
    """Targets that are built side by side speak from threads of their own; lines must not run into each other."""
    lock = threading.Lock()

    def guarded(event: Event) -> None:
        with lock:
            listen(event)

    return guarded


def _ignore(event: Event) -> None:
    """For --quiet: errors and results are printed by the command itself."""
