"""Why trtexec failed: its texts, mapped to our own sentences, exit codes and fixes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from edgetool.errors import EdgetoolError, error_classes

_STAMP = re.compile(r"^\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] ")
_CHATTER = re.compile(r"\[[IV]\] |&&&& ")
_NODES = (
    re.compile(r"In node -?\d+ with name: (?P<name>[^\s,]+) and operator: (?P<op>\w+)"),
    re.compile(r'While parsing node number \d+ \[(?P<op>\w+)(?: -> "(?P<name>[^"]*)")?'),
    re.compile(r"any implementation for node (?P<name>.+?)(?:\.\)| due to|$)"),
    re.compile(r"No importer registered for op: (?P<op>\w+)"),
    re.compile(r"(?P<name>\S+)(?: \((?P<op>\w+)\))?:? [^:]*not supported on DLA"),
)


@dataclass(frozen=True, slots=True)
class TrtReason:
    """A failure of trtexec.

    Attributes:
        code: of the error; `edgetool explain` has a page on it.
        message: what happened, in our words.
        fix: what to do next.
        error: name of its class in `edgetool.errors`, which gives the exit code.
        nodes: the nodes concerned, as TensorRT names them, in the order of the log.
        line: the line of the log that says so, without time stamp.
    """

    code: str
    message: str
    fix: str
    error: str
    nodes: tuple[str, ...] = ()
    line: str = ""

    def as_error(self, where: str | None = None) -> EdgetoolError:
        """The error to raise.

        Args:
            where: the model, or the device.
        """
        named = f": {', '.join(self.nodes[:8])}{', …' if len(self.nodes) > 8 else ''}" if self.nodes else ""
        said = f" (trtexec: {self.line})" if self.line else ""
        return error_classes()[self.error](self.code, f"{self.message}{named}{said}", where=where, hint=self.fix)


@dataclass(frozen=True, slots=True)
class _Rule:
    code: str
    error: str
    pattern: re.Pattern[str]
    message: str
    fix: str
    even_if_passed: bool


def find_reason(text: str, *, passed: bool) -> TrtReason | None:
    """The cause of a failure in a log, or None.

    Args:
        text: the log, both streams.
        passed: trtexec says that it did what it was asked; only what it made up on the way is looked for then.
    """
    spoken = "\n".join(line for line in text.splitlines() if not _CHATTER.match(_STAMP.sub("", line)))
    for rule in _rules():
        searched = text if rule.even_if_passed else spoken
        if (rule.even_if_passed or not passed) and (found := rule.pattern.search(searched)):
            return _reason(rule, found, searched)
    return None if passed else _unknown(spoken, failed="&&&& FAILED" in text)


def codes() -> dict[str, str]:
    """Code to the name of the error's class, for every reason there is."""
    return {rule.code: rule.error for rule in _rules()} | {"trtexec-failed": "ModelError"}


def _reason(rule: _Rule, found: re.Match[str], text: str) -> TrtReason:
    values = {name: value for name, value in found.groupdict().items() if value is not None}
    return TrtReason(
        code=rule.code,
        message=rule.message.format_map(values),
        fix=rule.fix,
        error=rule.error,
        nodes=_nodes(text),
        line=_line_of(text, found.start()),
    )


def _unknown(text: str, *, failed: bool) -> TrtReason | None:
    """A failure that no rule knows: at least its first error line."""
    errors = [line for line in map(_bare, text.splitlines()) if line.startswith(("[E] ", "[F] "))]
    if not errors and not failed:
        return None
    return TrtReason(
        code="trtexec-failed",
        message="trtexec failed for a reason that edgetool does not know",
        fix="read the log; find the smallest model that shows it with `edgetool reduce`",
        error="ModelError",
        nodes=_nodes(text),
        line=errors[0] if errors else "",
    )


def _nodes(text: str) -> tuple[str, ...]:
    found = sorted((one for pattern in _NODES for one in pattern.finditer(text)), key=re.Match.start)
    return tuple(dict.fromkeys(_label(one.groupdict()) for one in found))


def _label(groups: dict[str, str | None]) -> str:
    name, op = groups.get("name"), groups.get("op")
    return f"{name} ({op})" if name and op else name or op or "?"


def _line_of(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return _bare(text[start : end if end >= 0 else len(text)])


def _bare(line: str) -> str:
    return _STAMP.sub("", line).strip()


@cache
def _rules() -> tuple[_Rule, ...]:
    data = tomllib.loads(files("edgetool_tensorrt.trtexec").joinpath("reasons.toml").read_text(encoding="utf-8"))
    return tuple(
        _Rule(
            code=row["code"],
            error=row["error"],
            pattern=re.compile(row["pattern"]),
            message=row["message"],
            fix=row["fix"],
            even_if_passed=row.get("even_if_passed", False),
        )
        for row in data["reason"]
    )
