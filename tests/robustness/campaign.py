"""Many mutants, one after the other or side by side; interrupted runs go on where they were."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.robustness.forked import fork
from tests.robustness.kinds import kind_of, write_mutant
from tests.robustness.seeds import Seeds
from tests.robustness.trial import Bounds, Ground, import_everything, judge, summary_of

_STARTED_EVERY = 50
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


def run_campaign(indices: range, *, seed: int, folder: Path, seeds: Seeds, jobs: int, bounds: Bounds) -> list[Row]:
    """Try the mutants that `folder` knows nothing good of yet, and return all rows in these indices."""
    import_everything()
    done = {row.index for row in read_rows(folder) if not row.defect}
    begun = time.time_ns()
    left = [index for index in indices if index not in done]
    workers = [
        fork(lambda mine=left[at::jobs], at=at: _work(mine, seed, folder, seeds, bounds, name=f"{begun}-{at}"))
        for at in range(jobs)
    ]
    try:
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    except BaseException:
        for pid in workers:
            os.killpg(pid, signal.SIGKILL)
        raise
    if any(codes):
        raise RuntimeError(f"a worker of the campaign itself ended with {codes}")
    return [row for row in read_rows(folder) if row.index in indices]


def _work(indices: Iterable[int], seed: int, folder: Path, seeds: Seeds, bounds: Bounds, *, name: str) -> int:
    ground = Ground(folder / f"ground-{name}")
    with (folder / f"rows-{name}.jsonl").open("a") as rows:
        for index in indices:
            kind = kind_of(index)
            arguments: Mapping[str, Any] = {
                "seed": seed, "index": index, "seeds": seeds, "ground": ground, "bounds": bounds,
            }  # fmt: skip
            row = try_one(kind, **arguments, started=index % _STARTED_EVERY == 0)
            if row.defect and not row.confirmed:
                again = try_one(kind, **arguments, started=True)
                row = again if again.defect else row
            rows.write(json.dumps(asdict(row)) + "\n")
            rows.flush()
    return 0


def read_rows(folder: Path) -> list[Row]:
    """What earlier runs found out, the last word on each mutant; a line that was cut short does not count."""
    rows = {}
    for path in sorted(folder.glob("rows-*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                data = json.loads(line)
            except ValueError:
                continue
            rows[data["index"]] = Row(**{**data, "output": tuple(data["output"])})
    return [rows[index] for index in sorted(rows)]


def summarise(rows: list[Row], *, seed: int) -> dict[str, Any]:
    """Counts by kind and outcome, and each defect with how to see it again."""
    kinds = dict(sorted(Counter(row.kind for row in rows).items()))
    return {
        "seed": seed,
        "mutants": len(rows),
        "kinds": {
            kind: {"mutants": count, "outcomes": _counted(row.outcome for row in rows if row.kind == kind)}
            for kind, count in kinds.items()
        },
        "started_as_a_program": sum(row.confirmed for row in rows),
        "slowest_seconds": max((row.seconds for row in rows), default=0.0),
        "largest_mib": max((row.resident for row in rows), default=0) >> 20,
        "defects": [
            {
                "defect": row.defect,
                "confirmed": row.confirmed,
                "command": row.command,
                "again": f"python -m tests.robustness --seed {seed} --kind {row.kind} --index {row.index}",
            }
            for row in rows
            if row.defect
        ],
    }


def _counted(outcomes: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(outcomes).items(), key=lambda row: (-row[1], row[0])))
