"""Every error that a user can cause: what happened, where, what to do next, and one exit code a class."""

from __future__ import annotations

import re
from typing import ClassVar

_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


class EdgetoolError(Exception):
    """Root of all errors that edgetool raises on purpose.

    Args:
        code: kebab-case name that `edgetool explain CODE` knows, e.g. ``unknown-target``.
        message: one line: what happened.
        where: the file, table and key, the node, or the path concerned.
        hint: what to do next, as an imperative sentence or a command line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"error code {code!r} must be kebab-case with two words or more")
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.where, self.hint))


def _rebuild(kind: type[EdgetoolError], code: str, message: str, where: str | None, hint: str | None) -> EdgetoolError:
    return kind(code, message, where=where, hint=hint)


class ConfigError(EdgetoolError):
    """The command line or targets.toml is wrong."""

    exit_code = 2


class ModelError(EdgetoolError):
    """The model is invalid, unsupported or unsafe."""

    exit_code = 3


class BudgetError(EdgetoolError):
    """A budget was missed or the validation failed."""

    exit_code = 4


class UnavailableError(EdgetoolError):
    """A backend, tool or plugin is missing or broken."""

    exit_code = 5


class DeviceError(EdgetoolError):
    """The target device cannot be reached or is not as described."""

    exit_code = 6


class IntegrityError(EdgetoolError):
    """Bytes in a cache or bundle are not those that were recorded."""

    exit_code = 7


class DriftError(EdgetoolError):
    """`--locked` was asked for and something differs from edgetool.lock."""

    exit_code = 8


class UnprovenError(EdgetoolError):
    """Built, but the validation or a declared budget could not be proven here."""

    exit_code = 9


class HostError(EdgetoolError):
    """This machine gave out: disk full, permission, time or memory limit."""

    exit_code = 10


class InterruptedByUserError(EdgetoolError):
    """Ctrl-C, or SIGTERM from whoever started us."""

    exit_code = 130


def error_classes() -> dict[str, type[EdgetoolError]]:
    """Name to class, for errors that cross a process boundary as JSON."""
    classes = (
        EdgetoolError, ConfigError, ModelError, BudgetError, UnavailableError, DeviceError, IntegrityError,
        DriftError, UnprovenError, HostError, InterruptedByUserError,
    )  # fmt: skip
    return {kind.__name__: kind for kind in classes}
