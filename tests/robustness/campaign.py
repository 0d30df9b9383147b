"""Many mutants, one after the other or side by side; interrupted runs go on where they were."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.robustness.crew import Try, run_crew
from tests.robustness.kinds import KINDS, kind_of, write_mutant
from tests.robustness.seeds import Seeds
from tests.robustness.trial import Bounds, Ground, judge, summary_of
from tests.robustness.warm import warm_up

_STARTED_EVERY = 100
"""One in so many runs as a program of its own, as users run it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One mutant: what became of it.

    Attributes:
        defect: what it should never do; None for the sound ones.
        confirmed: whether a program that was started, not forked, did the same.
    """

    kind: str
    index: int
    command: str
    outcome: str
    seconds: float
    resident: int
    defect: str | None = None
    confirmed: bool = False
    output: tuple[str, ...] = ()


def try_one(kind: str, *, seed: int, index: int, seeds: Seeds, ground: Ground, bounds: Bounds, started: bool) -> Row:
    """Write the mutant and run its command; the mutant stays until the next one is tried."""
    ground.clear()
    command = write_mutant(kind, seed=seed, index=index, seeds=seeds, folder=ground.work)
    ended = ground.run(command, bounds, started=started)
    judged = judge(ended, bounds, outside=ground.changed())
    output = tuple(summary_of(ended.output)) if judged.defect else ()
    return Row(
        kind, index, " ".join(command), judged.outcome, round(ended.seconds, 3), ended.resident, judged.defect,
        started, output,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """Which mutants a run tries.

    Attributes:
        indices: each is one mutant, of the kind whose turn it is.
        kinds: the others miss their turns.
        again: also mutants that were sound before, because the code is another one now.
    """

    indices: range
    seed: int
    kinds: frozenset[str] = frozenset(KINDS)
    again: bool = False


def run_campaign(plan: Plan, *, folder: Path, seeds: Seeds, jobs: int, bounds: Bounds) -> History:
    """Try the mutants that `folder` knows nothing good of yet, and return what it knows in the end."""
    warm_up(seeds)
    begun = time.time_ns()
    done = frozenset() if plan.again else read_history(folder).sound
    turns = [(kind_of(index), index) for index in plan.indices]
    left = [index for kind, index in turns if kind in plan.kinds and (kind, index) not in done]

    def prepare() -> Try:
        name = f"{begun}-{os.getpid()}"
        ground = Ground(folder / f"ground-{name}")
        return lambda index: _write(
            folder / f"rows-{name}.jsonl", _surely(index, plan=plan, seeds=seeds, ground=ground, bounds=bounds)
        )

    def lost(index: int, how: str) -> None:
        row = Row(kind_of(index), index, "", "worker lost", 0.0, 0, f"took its worker along, which {how}")
        _write(folder / f"rows-{begun}-lost.jsonl", row)

    try:
        run_crew(left, jobs=jobs, prepare=prepare, lost=lost, patience=3 * bounds.seconds)
    finally:
        for ground in folder.glob("ground-*"):
            shutil.rmtree(ground, ignore_errors=True)
    return read_history(folder)


def _surely(index: int, *, plan: Plan, seeds: Seeds, ground: Ground, bounds: Bounds) -> Row:
    """A fork's defect is tried again as a program of its own, which has the last word if it shows one, too."""
    kind = kind_of(index)
    arguments: Mapping[str, Any] = {
        "seed": plan.seed, "index": index, "seeds": seeds, "ground": ground, "bounds": bounds,
    }  # fmt: skip
    row = try_one(kind, **arguments, started=index % _STARTED_EVERY == 0)
    if not row.defect or row.confirmed:
        return row
    again = try_one(kind, **arguments, started=True)
    return again if again.defect else row


def _write(path: Path, row: Row) -> None:
    with path.open("a") as rows:
        rows.write(json.dumps(asdict(row)) + "\n")


@dataclass(frozen=True, slots=True)
class History:
    """What all runs in a folder found out.

    Attributes:
        rows: the last word on each mutant.
        fixed: the defects of those that are sound now.
    """

    rows: tuple[Row, ...]
    fixed: tuple[Row, ...]

    @property
    def sound(self) -> frozenset[tuple[str, int]]:
        return frozenset((row.kind, row.index) for row in self.rows if not row.defect)


def read_history(folder: Path) -> History:
    """Rows in the order in which they were written; a line that was cut short does not count."""
    rows: dict[tuple[str, int], Row] = {}
    defects: dict[tuple[str, int], Row] = {}
    for path in sorted(folder.glob("rows-*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                data = json.loads(line)
            except ValueError:
                continue
            row = Row(**{**data, "output": tuple(data["output"])})
            rows[row.kind, row.index] = row
            if row.defect:
                defects[row.kind, row.index] = row
    fixed = tuple(defects[mutant] for mutant in sorted(defects) if not rows[mutant].defect)
    return History(tuple(rows[mutant] for mutant in sorted(rows)), fixed)
