"""What is wrong in a targets file, one row a mistake, and the one error that carries them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgetool.config.positions import KeyPath
from edgetool.config.tree import Origin, dotted
from edgetool.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to correct, or to look at when it is a warning.

    Attributes:
        code: what `edgetool explain` knows it by.
        origin: where it was written.
        path: the key concerned, from the root of the merged file.
        message: what is wrong.
        hint: what to write instead.
        of_table: the path is a table, and it is wrong as a whole.
    """

    code: str
    origin: Origin
    path: KeyPath
    message: str
    hint: str | None = None
    of_table: bool = False

    @property
    def where(self) -> str:
        """`targets.toml:12 [targets.jetson.budget] max_dorp`; `--set` names the key itself."""
        if self.origin.kind == "override" and self.origin.label.endswith(dotted(self.path)):
            return str(self.origin)
        parents, key = (self.path, "") if self.of_table else self._table_and_key()
        return " ".join(part for part in (str(self.origin), f"[{dotted(parents)}]" if parents else "", key) if part)

    def _table_and_key(self) -> tuple[KeyPath, str]:
        """Positions in lists are written behind the key that holds the list: `passes[1].use`."""
        first_index = next((at for at, part in enumerate(self.path) if isinstance(part, int)), len(self.path))
        cut = max(0, min(len(self.path), first_index) - 1)
        table, rest = self.path[:cut], self.path[cut:]
        key = ""
        for part in rest:
            key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
        return table, key

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" + (f", {self.hint}" if self.hint else "")

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "file": self.origin.label,
            "line": self.origin.line,
            "key": dotted(self.path),
            "message": self.message,
            "hint": self.hint,
        }


def in_reading_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    return tuple(sorted(mistakes, key=lambda mistake: (mistake.origin.label, mistake.origin.line or 0)))


def error_from(mistakes: Sequence[Mistake], *, file: str) -> ConfigError:
    """A single mistake keeps its own code; several are listed under one."""
    if len(mistakes) == 1:
        (only,) = mistakes
        return ConfigError(only.code, only.message, where=only.where, hint=only.hint)
    lines = "\n".join(f"  {mistake}" for mistake in mistakes)
    return ConfigError(
        "invalid-targets-file",
        f"{len(mistakes)} mistakes\n{lines}",
        where=file,
        hint=f"correct them, then check with: edgetool targets validate --file {file}",
    )
