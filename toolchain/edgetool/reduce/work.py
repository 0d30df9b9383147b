"""One reduction from a target's plan to the files for the bug report."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shlex import quote

from edgetool.artifact import Model
from edgetool.config.result import Config
from edgetool.disk import host_errors, replace_file
from edgetool.engine.backend import accept_or_legalize
from edgetool.engine.isolate import Answer, Child, Limits
from edgetool.engine.plan import plan as plan_build
from edgetool.engine.plan import plan_preparation
from edgetool.engine.planned import BuildPlan, PlannedBackend
from edgetool.engine.prepare import ModelState, apply_passes
from edgetool.engine.requests import ModelFile, Plug, request_json
from edgetool.engine.services import Services
from edgetool.engine.stepper import Stepper
from edgetool.errors import ConfigError, EdgetoolError, InterruptedByUserError
from edgetool.graph import load
from edgetool.plugin.manager import Plugins
from edgetool.reduce.oracle import Asked, BackendOracle, CommandOracle, Oracle
from edgetool.reduce.parts import Seams
from edgetool.reduce.reduction import Attempt, Reduction, Wishes, reduce_model
from edgetool.reduce.report import Suspect, backend_command, report, targets_file
from edgetool.reduce.seams import SeamsTask, read_seams


def planned(
    config: Config, target: str | None, plugins: Plugins, *, source: str | None, as_is: bool, check: str | None
) -> BuildPlan:
    """What to prepare, and which backend to ask; none where a command is asked instead.

    Raises:
        ConfigError: `no-one-recipe` for a target that chooses it by itself; as `edgetool.engine.plan.plan`.
        UnavailableError: likewise.
    """
    if check is not None or target is None:
        plan = plan_preparation(config, target, plugins, source=source)
    else:
        plan = plan_build(config, target, plugins, source=source)
    if as_is:
        return replace(plan, passes=(), candidates=())
    if plan.candidates:
        raise ConfigError(
            "no-one-recipe",
            f'target {plan.target.name!r} says precision = "auto", and one model is reduced at a time',
            where=f"{config.path} [targets.{plan.target.name}] precision",
            hint=f"name the recipe that fails: --set targets.{plan.target.name}.recipe=NAME; or --as-is for none",
        )
    return plan


class Work:
    """The services that a reduction needs, and what they come to.

    Args:
        plan: of the target; its first backend is the one to ask.
        services: of this command.
        stepper: for import and passes.
        threads: for everything that runs.
        check: a command to ask instead of the backend.
    """

    def __init__(
        self, plan: BuildPlan, services: Services, stepper: Stepper, *, threads: int, check: str | None
    ) -> None:
        self._plan = plan
        self._services = services
        self._stepper = stepper
        self._threads = threads
        self._check = check
        self._backend = plan.backends[0] if plan.backends and check is None else None
        if self._backend and self._backend.failure:
            raise self._backend.failure

    def reduce(self, destination: Path, wishes: Wishes, *, tell: Callable[[Attempt], None]) -> Reduction:
        """Prepare the model, and write its smallest failing part to `destination`.

        Raises:
            EdgetoolError: the source cannot be imported, a pass fails; else as `reduce_model`.
        """
        state = self._prepared()
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgetool-reduce-")))
            with host_errors(destination):
                destination.parent.mkdir(parents=True, exist_ok=True)
            return reduce_model(
                Model(state.path, state.signature),
                self._oracle(stack),
                destination,
                wishes,
                scratch=scratch,
                find_seams=lambda model: self._seams(model, scratch),
                tell=tell,
            )

    def write_report(self, found: Reduction) -> list[Path]:
        """Write the text and, where a backend failed, the targets file beside the model. Returns all files."""
        path = found.model.path
        operators = Counter(node.op_type for node in load(path, weights=False).graph.node)
        files = [path, *path.parent.glob(f"{path.name}.data")]
        if self._backend is None:
            command, suspect = _with_model(str(self._check), path), None
        else:
            suspect = self._suspect(self._backend)
            targets = path.with_suffix(".toml")
            replace_file(targets, targets_file(suspect, found.model.signature).encode())
            command = backend_command(found, targets)
            files.append(targets)
        text = path.with_suffix(".txt")
        replace_file(text, report(found, operators, command, suspect=suspect).encode())
        return [*files, text]

    def _prepared(self) -> ModelState:
        """The model as its backend gets it, after the pass that this may ask for."""
        prepared = apply_passes(self._plan, self._stepper, threads=self._threads)
        if self._backend is None:
            return prepared.model
        try:
            ready, _ = accept_or_legalize(
                self._plan, self._backend, prepared, self._stepper, self._services.plugins, threads=self._threads
            )
        except InterruptedByUserError:
            raise
        except EdgetoolError:
            return prepared.model  # it fails already here: the oracle will say how
        return ready.model

    def _oracle(self, stack: ExitStack) -> Oracle:
        limits = Limits(self._plan.target.builder.timeout, self._plan.target.builder.memory)
        if self._backend is None:
            return CommandOracle(str(self._check), seconds=limits.seconds)
        backend = self._backend
        asked = Asked(
            name=backend.name,
            plug=Plug(backend.loader, dict(backend.options), backend.site),
            threads=self._threads,
            runs=backend.availability is not None and backend.availability.can_run,
            limits=limits,
            python=self._plan.target.builder.python,
            log=self._stepper.log_path("reduce"),
        )
        return stack.enter_context(BackendOracle(asked, self._services.children))

    def _seams(self, model: Model, scratch: Path) -> Seams:
        """Where the model can be cut: what a run of the reference shows, else what inference knows, else nothing."""
        for look in (True, False):
            try:
                with self._child() as child:
                    task = SeamsTask(ModelFile(model.path, model.signature), scratch, self._threads, look)
                    child.call("seams", request_json(task), step="seams", answer=Answer(_silent, _silent))
                return read_seams(scratch)
            except InterruptedByUserError:
                raise
            except EdgetoolError:
                continue
        return Seams()

    def _child(self) -> Child:
        builder = self._plan.target.builder
        return self._services.children.start(
            log=self._stepper.log_path("seams"), limits=Limits(builder.timeout, builder.memory), python=None
        )

    def _suspect(self, backend: PlannedBackend) -> Suspect:
        availability = backend.availability
        return Suspect(
            name=backend.name,
            version=availability.version if availability else None,
            options=dict(self._plan.target.options_of(backend.name)),
            facts=dict(self._plan.target.facts),
            builder=availability.builder if availability else None,
        )


def _with_model(command: str, path: Path) -> str:
    return command.replace("{}", quote(path.name)) if "{}" in command else f"{command} {quote(path.name)}"


def _silent(*_: object) -> None:
    """Nobody needs to hear of it."""
