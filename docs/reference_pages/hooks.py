"""docs/reference/hooks.md: the hooks that a plugin implements, and the records that they return."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Iterator

from edgetool.plugin import hookspecs, records
from reference_pages import NOTICE
from reference_pages.tables import attributes_of, summary_of

_INTRO = """\
A plugin is a module, named in the entry-point group `edgetool` of its distribution, with functions that are marked by
`edgetool.plugin.records.hookimpl`. They return records: names and loader strings, so that listing plugins imports
nothing heavy. [The tutorial](../tutorial/your-first-backend-plugin.md) builds one.

A module that cannot be imported, or a hook that fails, is one broken row in `edgetool plugins`; others go on. Two
plugins that offer one name are a conflict, which ends the build of targets that need it.
"""


def page() -> str:
    """Hooks first, then records."""
    lines = ["# Hooks", "", NOTICE, "", _INTRO]
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("edgetool_"):
            lines += _hook(name, hook)
    for kind in (records.BackendInfo, records.PassInfo, records.ImporterInfo, records.FileInfo):
        lines += _record(kind)
    return "\n".join(lines)


def _hook(name: str, hook: object) -> Iterator[str]:
    yield from [f"## `{name}()`", "", summary_of(hook), ""]
    _, _, example = inspect.cleandoc(hook.__doc__ or "").partition("Example:\n")
    if example:
        yield from ["```python", textwrap.dedent(example).rstrip(), "```", ""]


def _record(kind: type[records.Info]) -> Iterator[str]:
    yield from [f"## `{kind.__name__}`", "", summary_of(kind), ""]
    yield from ["| field | type | default | meaning |", "|---|---|---|---|"]
    meanings = attributes_of(kind)
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING
        default = "**required**" if required else f"`{field.default!r}`"
        kind_of_value = str(field.type).replace("|", "or")
        yield f"| `{field.name}` | `{kind_of_value}` | {default} | {meanings.get(field.name, '')} |"
    yield ""
