"""What `edgetool inspect` says of a file that a plugin recognised."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgetool.artifact import Facts
from edgetool.errors import EdgetoolError


@dataclass(frozen=True, slots=True)
class Description:
    """A file as a plugin describes it.

    Attributes:
        kind: what it is, with no article, e.g. `TensorRT engine`.
        rows: title and value, one line each.
        facts: the same for `--json`.
        warnings: what its reader should know, a sentence each.
        problem: why it cannot be used although it was recognised; raised after the description was shown.
    """

    kind: str
    rows: tuple[tuple[str, str], ...] = ()
    facts: Facts = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    problem: EdgetoolError | None = None
