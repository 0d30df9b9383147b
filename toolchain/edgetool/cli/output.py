"""Where results and errors go: results on stdout, talk on stderr, JSON lines on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from edgetool.errors import EdgetoolError


@dataclass(frozen=True, slots=True)
class Output:
    """How one command speaks. Commands never call `print` themselves.

    Attributes:
        json: events as JSON lines on stdout instead of text.
        quiet: no talk, only results and errors.
    """

    json: bool = False
    quiet: bool = False

    def result(self, data: Mapping[str, object], text: str) -> None:
        """The command's answer: one `{"event": "result", ...}` line, or the text."""
        if self.json:
            self.event({"event": "result", **data})
        elif text:
            print(text)

    def talk(self, text: str) -> None:
        """Something on the way, for people only."""
        if not self.json and not self.quiet:
            print(text, file=sys.stderr)

    def event(self, data: Mapping[str, object]) -> None:
        """One JSON line in ASCII, so that any encoding carries it; flushed, so that a reader sees it at once."""
        print(json.dumps(data), flush=True)

    def error(self, error: EdgetoolError) -> None:
        """One line that says what and where, one that says what to do."""
        if self.json:
            self.event(error_event(error))
            return
        print(f"error[{error.code}]: {error}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)


def error_event(error: EdgetoolError) -> dict[str, object]:
    return {
        "event": "error",
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
