"""An engine in an emulated or masked process of its own, on one feed after the other, for a limited time."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.emulate.agreement import Agreement, Ran
from edgetool.emulate.interpreter import write_interpreter
from edgetool.emulate.ways import Emulated, Masked
from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.remote import RemoteRunner
from edgetool.engine.requests import EngineFile, request_json
from edgetool.errors import HostError, InterruptedByUserError

if TYPE_CHECKING:
    from edgetool.bundle.golden import GoldenCase
    from edgetool.runner import Feeds


@dataclass(frozen=True, slots=True)
class EmulateTask:
    """Run an engine's feeds elsewhere and compare with what it gives here.

    Attributes:
        feeds: golden data.
        needed: feeds without which the processor proved nothing.
        seconds: for all of it.
    """

    engine: EngineFile
    feeds: Path
    way: Masked | Emulated
    needed: int
    log: Path
    seconds: float


def run_emulated(task: EmulateTask, talk: Talk) -> Result:
    """As many feeds as the time allows.

    Raises:
        HostError: `step-timed-out`: not even those that are needed.
    """
    from edgetool.bundle.golden import read_golden, read_min_cosine

    cases, min_cosine = read_golden(task.feeds), read_min_cosine(task.feeds)
    rows: list[Agreement] = []
    done = 0
    began = time.monotonic()
    try:
        with _opened(task) as engine:
            for case in cases:
                rows += compared(done, case, engine.infer(case.inputs), min_cosine)
                done += 1
                talk.progress(done, len(cases), "feeds")
    except InterruptedByUserError as error:  # by the alarm: this process has no user
        require(done, task.needed, task.seconds, error)
    return request_json(Ran(tuple(rows), done, round(time.monotonic() - began, 1)))


def require(done: int, needed: int, seconds: float, cause: Exception) -> None:
    """Raise HostError where time was up too soon."""
    if done < needed:
        raise HostError(
            "step-timed-out",
            f"it did not come through the golden inputs within {seconds:g} s",
            hint="run edgetool validate BUNDLE on such a machine, or try again when this one has less to do",
        ) from cause


@contextmanager
def _opened(task: EmulateTask) -> Iterator[RemoteRunner]:
    """The engine over there; when time is up, its process ends in the middle of whatever it does."""
    group = Children()
    alarm = threading.Timer(task.seconds, group.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="edgetool-emulate-") as name,
            group.start(
                log=task.log,
                limits=Limits(2 * task.seconds),
                python=str(write_interpreter(Path(name), task.way)),
            ) as child,
            RemoteRunner(child, task.engine, Path(name)) as engine,
        ):
            yield engine
    finally:
        alarm.cancel()


def compared(number: int, case: GoldenCase, outputs: Feeds, min_cosine: float) -> Iterator[Agreement]:
    """One feed's outputs against those of this machine, by the rule of the self-test."""
    from edgetool.validate.difference import difference
    from edgetool.validate.tolerance import golden_agrees

    for name, wanted in case.outputs.items():
        found = outputs[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            kinds = [f"{array.dtype}{list(array.shape)}" for array in (found, wanted)]
            yield Agreement(case=number, output=name, agrees=False, shown=f"it is {kinds[0]}, and should be {kinds[1]}")
            continue
        row = difference(name, wanted, found)
        yield Agreement(
            case=number,
            output=name,
            agrees=golden_agrees(row, min_cosine),
            shown=str(row).removeprefix(f"{name}: "),
            cosine=None if row.integral else row.cosine,
            max_abs=None if row.integral else row.max_abs,
        )


TASKS: Mapping[str, Handler] = {
    "emulate": handler(EmulateTask, run_emulated),
}
