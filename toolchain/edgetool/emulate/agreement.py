"""What an engine is fed on another processor, and output by output whether it gives what it gives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.engine.records import adapter


@dataclass(frozen=True, slots=True)
class Feeding:
    """Feeds, with what the engine gives for them here.

    Attributes:
        folder: golden data.
        golden: how many golden cases come first.
        samples: how many evaluation samples follow.
        min_cosine: what outputs are asked for.
    """

    folder: Path
    golden: int
    samples: int
    min_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One output of one feed.

    Attributes:
        case: position of the feed: golden inputs first, then evaluation samples.
        agrees: by the rule of the self-test.
        shown: what was found, in words, without the output's name.
        cosine, max_abs: None for outputs that are no floats, and where shapes or dtypes differ.
    """

    case: int
    output: str
    agrees: bool
    shown: str
    cosine: float | None = None
    max_abs: float | None = None

    def __str__(self) -> str:
        return f"{self.output}: {self.shown}"

    @property
    def error(self) -> float:
        """For finding the worst of many."""
        return self.max_abs if self.max_abs is not None else 0.0


@dataclass(frozen=True, slots=True)
class Ran:
    """All that one processor did.

    Attributes:
        rows: in the order of the feeds.
        done: feeds that it came through in time.
        seconds: that it took, the runtime's start included.
    """

    rows: tuple[Agreement, ...]
    done: int
    seconds: float


def ran_from(result: Mapping[str, Any]) -> Ran:
    """The inverse of what a task answers."""
    found: Ran = adapter(Ran).validate_python(result)
    return found
