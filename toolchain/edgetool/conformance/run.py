"""All cases through one backend, in child processes side by side: a crash or a hang is a finding about one case."""

from __future__ import annotations

import concurrent.futures
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetool.artifact import JsonValue
from edgetool.backends.base import Backend
from edgetool.conformance.trial import CaseTask, Fate
from edgetool.engine.isolate import Answer, Child, Children, Limits
from edgetool.engine.requests import Plug, request_json
from edgetool.errors import EdgetoolError, InterruptedByUserError, UnavailableError
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import Plugins

SECONDS = 60.0
"""After which a case hangs. The first of a process also waits for all cases to be made."""

DEFECTS: frozenset[Fate] = frozenset({"mismatch", "crash", "hang", "bug"})
_FATES: dict[str, Fate] = {"step-timed-out": "hang", "step-killed": "crash", "step-crashed": "crash"}
_SILENT = Answer(progress=lambda done, total, what: None, note=lambda text: None)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one case.

    Attributes:
        stage: where it ended: import, supports, build, run or validate.
        reason: why it is not `validated`.
    """

    name: str
    operator: str
    fate: Fate
    stage: str
    reason: str

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "operator": self.operator,
            "fate": self.fate,
            "stage": self.stage,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Conformance:
    """All rows of one backend.

    Attributes:
        backend: its name; `version` is its runtime's.
        onnx: version of the package that the cases come from.
    """

    backend: str
    version: str
    onnx: str
    rows: tuple[Row, ...]

    @property
    def defects(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.fate in DEFECTS)

    def count(self, fate: Fate) -> int:
        return sum(row.fate == fate for row in self.rows)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "schema_version": 1,
            "backend": self.backend,
            "version": self.version,
            "onnx": self.onnx,
            "counts": {fate: self.count(fate) for fate in dict.fromkeys(row.fate for row in self.rows)},
            "cases": [row.to_json() for row in self.rows],
        }


def run_conformance(
    name: str,
    cases: Sequence[str],
    plugins: Plugins,
    children: Children,
    *,
    jobs: int,
    logs: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Conformance:
    """Take every case through a backend with its default options.

    Raises:
        ConfigError: there is no such backend.
        UnavailableError: it cannot build here.
        InterruptedByUserError: Ctrl-C.
    """
    import onnx

    info = plugins.backend(name, where="--backend")
    kind = load_class(info, Backend)
    availability = kind(kind.Options()).probe()
    if not availability.can_build:
        raise UnavailableError(
            "backend-unusable",
            f"{name} cannot build here: {availability.why_not}",
            where="--backend",
            hint=availability.fix,
        )
    plan = _Plan(
        importer=Plug(plugins.importer("onnx", where="conformance").loader, {}),
        backend=Plug(info.loader, kind.Options().model_dump(mode="json")),
        can_run=availability.can_run,
        logs=logs,
    )
    workers = _Workers(plan, children)
    done = 0
    rows: dict[str, Row] = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for row in pool.map(workers.run, cases):
                rows[row.name] = row
                done += 1
                progress(done, len(cases))
        finally:
            workers.close()
    ordered = tuple(rows[case] for case in sorted(rows))
    return Conformance(name, availability.version or "unknown", str(onnx.__version__), ordered)


@dataclass(frozen=True, slots=True)
class _Plan:
    importer: Plug
    backend: Plug
    can_run: bool
    logs: Path


class _Workers:
    """One child a thread, kept as long as it answers."""

    def __init__(self, plan: _Plan, children: Children) -> None:
        self._plan = plan
        self._children = children
        self._local = threading.local()
        self._all: list[Child] = []

    def run(self, name: str) -> Row:
        plan = self._plan
        with tempfile.TemporaryDirectory(prefix="edgetool-conformance-") as folder:
            task = CaseTask(name, plan.importer, plan.backend, plan.can_run, 1, Path(folder))
            try:
                return Row(**self._child().call("conformance", request_json(task), step=name, answer=_SILENT))
            except InterruptedByUserError:
                raise
            except EdgetoolError as error:
                self._end()
                return Row(
                    name, "unknown", _FATES.get(error.code, "bug"), "run", f"{error.code}: {error.message}"[:500]
                )

    def close(self) -> None:
        for child in self._all:
            child.close()

    def _child(self) -> Child:
        child: Child | None = getattr(self._local, "child", None)
        if child is None:
            log = self._plan.logs / f"conformance-{threading.get_ident()}-{len(self._all)}.log"
            child = self._children.start(log=log, limits=Limits(SECONDS), python=None)
            self._all.append(child)
            self._local.child = child
        return child

    def _end(self) -> None:
        self._child().close()
        self._local.child = None
