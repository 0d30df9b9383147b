"""One line of a diagnosis."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warn", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        what: what was looked at.
        status: `ok`; `warn` for what may bite; `missing` for what can be installed; `broken` for what fails.
        detail: what was found.
        fix: the exact command or setting that would help.
    """

    what: str
    status: Status
    detail: str
    fix: str | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)
