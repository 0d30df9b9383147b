"""What the framework lends to a plugin's class while it works: threads, data, and an ear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgetool.runner import Feeds, Runner


class CalibrationSet(Protocol):
    """Real samples. Iterating twice gives the same feeds in the same order."""

    @property
    def count(self) -> int:
        """How many feeds iteration will give."""
        ...

    @property
    def digest(self) -> str:
        """sha256 over names, dtypes, shapes and bytes of all samples."""
        ...

    def __iter__(self) -> Iterator[Feeds]: ...


def _no_progress(done: int, total: int, what: str) -> None:
    """Default: nobody watches."""


def _no_note(text: str) -> None:
    """Default: nobody listens."""


@dataclass(frozen=True, kw_only=True)
class WorkContext:
    """Common to all contexts.

    Attributes:
        threads: how many threads to use (from affinity and cgroup limits, or the target's `threads`).
        progress: tell how far the work is: done, total, what is being counted.
        note: one sentence for the user, shown and kept in the report.
    """

    threads: int
    progress: Callable[[int, int, str], None] = _no_progress
    note: Callable[[str], None] = _no_note


@dataclass(frozen=True, kw_only=True)
class PassContext(WorkContext):
    """For a pass.

    Attributes:
        open_reference: opens any ONNX file in the reference runtime, for calibration and overflow checks.
            The file may have extra outputs; feeds and results are name -> array.
        calibration: the user's samples, or None when there are none.
        kept: where a pass may leave what it learnt for the next one in the same process, by a name that says what it
            follows from; None where nobody will come.
    """

    open_reference: Callable[[Path], Runner]
    calibration: CalibrationSet | None = None
    kept: MutableMapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ImportContext(WorkContext):
    """For an importer.

    Attributes:
        open_reference: as in `PassContext`.
        samples: the user's calibration feeds, the best inputs to prove a conversion with; or None.
    """

    open_reference: Callable[[Path], Runner]
    samples: CalibrationSet | None = None


@dataclass(frozen=True, kw_only=True)
class BuildContext(WorkContext):
    """For a backend; what it knows of its target is in `Backend.site`."""
