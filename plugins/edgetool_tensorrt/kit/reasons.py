"""`kit/reasons`: what trtexec prints when it fails, and what that means, in a form that grep and a shell can use."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

from edgetool.errors import error_classes

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": "[:space:]"}
_TOKEN = re.compile(r"\\.|\(\?P<\w+>|\(\?[a-z]*:|\[\^?|\]|\s|[*+]\?|.", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\w+\}")


def reason_lines() -> str:
    """The table of trtexec's failures: exit code, code, when it counts, pattern, message, fix; tabs between them.

    When: `failed`, or `always` where trtexec goes on with a result that must not be used.
    """
    table = tomllib.loads(files("edgetool_tensorrt.trtexec").joinpath("reasons.toml").read_text(encoding="utf-8"))
    rows = (
        (
            str(error_classes()[row["error"]].exit_code),
            row["code"],
            "always" if row.get("even_if_passed", False) else "failed",
            extended(row["pattern"]),
            _PLACEHOLDER.sub("…", row["message"]),
            row["fix"],
        )
        for row in table["reason"]
    )
    return "".join("\t".join(row) + "\n" for row in rows)


def extended(pattern: str) -> str:
    """A regular expression of Python as one that `grep -E` takes, for the few constructs that the table uses.

    Groups lose their names, lazy repeats their laziness, and word boundaries fall away: what it finds in a line can
    only be more.
    """
    verbose = pattern.startswith("(?x)")
    found: list[str] = []
    inside = False
    for token in _TOKEN.findall(pattern.removeprefix("(?x)")):
        if token.startswith("(?"):
            found.append("(")
        elif token.startswith("["):
            inside = True
            found.append(token)
        elif token == "]":
            inside = False
            found.append(token)
        elif token.startswith("\\"):
            found.append(_escape(token[1], inside=inside))
        elif token in ("*?", "+?"):
            found.append(token[0])
        elif not (verbose and token.isspace() and not inside):
            found.append(token)
    return "".join(found)


def _escape(character: str, *, inside: bool) -> str:
    if character == "b":
        return ""
    if character == "S":
        return "[^[:space:]]"
    if character in _CLASSES:
        return _CLASSES[character] if inside else f"[{_CLASSES[character]}]"
    if inside or character.isspace() or character.isalnum():
        return character
    return f"\\{character}"
