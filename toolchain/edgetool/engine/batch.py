"""Several targets of one command: one after the other, or side by side; one that fails does not stop the others."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass

from edgetool.engine.events import BuildFailed, BuildFinished
from edgetool.engine.execute import build
from edgetool.engine.outcome import BuildOptions
from edgetool.engine.planned import BuildPlan
from edgetool.engine.services import Services
from edgetool.errors import EdgetoolError, InterruptedByUserError


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one target ended: with a bundle, or with an error."""

    target: str
    finished: BuildFinished | None
    error: EdgetoolError | None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        return self.finished.exit_code if self.finished else 0


def build_all(plans: Sequence[BuildPlan], services: Services, options: BuildOptions, *, jobs: int) -> list[Outcome]:
    """Build every plan; outcomes come in the plans' order.

    Raises:
        InterruptedByUserError: Ctrl-C or SIGTERM; all children are gone when it is raised.
    """
    try:
        if jobs <= 1 or len(plans) == 1:
            return [_outcome(plan, services, options) for plan in plans]
        with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
            try:
                return list(pool.map(lambda plan: _outcome(plan, services, options), plans))
            except KeyboardInterrupt:
                services.children.interrupt()  # inside the pool, or it would wait for the children
                raise
    except KeyboardInterrupt as error:
        services.children.interrupt()
        raise InterruptedByUserError("interrupted-by-user", "interrupted; nothing half-written was kept") from error


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """The command's exit code: the first error, else 4 before 9 before 0."""
    codes = [outcome.exit_code for outcome in outcomes]
    errors = [code for code in codes if code not in (0, 4, 9)]
    if errors:
        return errors[0]
    return 4 if 4 in codes else max(codes, default=0)


def _outcome(plan: BuildPlan, services: Services, options: BuildOptions) -> Outcome:
    target = plan.target.name
    try:
        return Outcome(target, build(plan, services, options), None)
    except InterruptedByUserError:
        raise
    except EdgetoolError as error:
        failed = BuildFailed(target, error.code, error.message, error.where, error.hint, error.exit_code)
        services.listener_of(plan)(failed)
        return Outcome(target, None, error)
