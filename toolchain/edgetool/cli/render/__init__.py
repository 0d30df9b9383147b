"""Turns build events into what is seen: a live display, plain lines, or JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgetool.cli.output import Output
from edgetool.engine.events import Event, Listener


@contextmanager
def listener(output: Output) -> Iterator[Listener]:
    """The renderer that fits: JSON on request, a live display on a terminal, plain lines in CI and pipes."""
    if output.json:
        from edgetool.engine.events import to_json

        yield lambda event: output.event(to_json(event))
    elif output.quiet:
        yield _ignore
    elif sys.stderr.isatty() and not os.environ.get("CI"):
        from edgetool.cli.render.rich import live

        with live() as listen:
            yield listen
    else:
        from edgetool.cli.render.plain import lines

        yield lines(sys.stderr)


def _ignore(event: Event) -> None:
    """For --quiet: errors and results are printed by the command itself."""
