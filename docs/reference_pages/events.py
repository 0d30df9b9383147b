"""docs/reference/events.md: what `--json` prints, from the classes of the events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import get_args, get_type_hints

from edgetool.cli.output import error_event
from edgetool.engine import events
from edgetool.errors import ConfigError
from reference_pages import NOTICE
from reference_pages.tables import attributes_of, summary_of

_TYPES = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}

_INTRO = """\
With `--json`, a command prints one JSON object a line on stdout and nothing else. Each has a key `event` with its kind.
The last line is `result`, or `error`. Readers should pass over kinds and keys that they do not know: new ones may come,
and those listed here stay.
"""
_OUTCOME = """\
## `error`

What ended the command, or one target of several. `code` is what `edgetool explain` knows, `where` the file, table, key
or node, `hint` what to do next; both may be null.
"""
_MISTAKE = """\
## `mistake`

One line of `edgetool targets validate` for each mistake of the file, before the `error`: `code`, `file`, `line`, `key`,
`message`, `hint`.

## `result`

The command's answer; its keys depend on the command. That of `build` has `targets`: a list with `target`, `exit_code`,
`bundle`, `content_digest` and `error` of each.
"""


_EXAMPLE = events.StepFinished("ort", "simplify", seconds=0.25, cached=False)


def page() -> str:
    """Build events in the order in which they happen, then what every command says."""
    lines = ["# Events", "", NOTICE, "", _INTRO, *_example(events.to_json(_EXAMPLE))]
    for kind in get_args(events.Event):
        lines += _section(kind)
    error = ConfigError("unknown-target", "there is no target 'ci'", where="targets.toml", hint="known targets: ort")
    lines += [_OUTCOME, *_example(error_event(error)), _MISTAKE]
    return "\n".join(lines)


def _section(kind: type) -> Iterator[str]:
    yield from [f"## `{events.kind_of(kind)}`", "", summary_of(kind), ""]
    meanings = attributes_of(kind)
    yield from ["| key | value | meaning |", "|---|---|---|"]
    for name, annotation in get_type_hints(kind).items():
        yield f"| `{name}` | {_type_of(annotation)} | {meanings.get(name, '')} |"
    yield ""


def _type_of(annotation: object) -> str:
    name = getattr(annotation, "__name__", str(annotation))
    if name == "tuple":
        return "list of text"
    if str(annotation).endswith("| None"):
        return f"{_TYPES[get_args(annotation)[0].__name__]} or null"
    return _TYPES.get(name, "table")


def _example(event: Mapping[str, object]) -> Iterator[str]:
    yield from ["```json", json.dumps(event, ensure_ascii=False), "```", ""]
