"""All cases through one backend, in child processes side by side: a crash or a hang is a finding about one case."""

from __future__ import annotations

import concurrent.futures
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgetool.artifact import JsonValue
from edgetool.config.result import ResolvedTarget
from edgetool.conformance.cases import case_of, save
from edgetool.conformance.journal import Journal
from edgetool.conformance.trial import CaseTask, Fate
from edgetool.engine.cache import make_key
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.isolate import Answer, Child, Children, Limits
from edgetool.engine.keys import backend_parts
from edgetool.engine.plan import plan_backend
from edgetool.engine.planned import PlannedBackend
from edgetool.engine.requests import Plug, request_json
from edgetool.errors import EdgetoolError, InterruptedByUserError
from edgetool.plugin.manager import Plugins

SECONDS = 60.0
"""After which a case hangs."""

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

    @property
    def counts(self) -> Mapping[Fate, int]:
        """Cases by fate, in the order in which the fates turn up."""
        return Counter(row.fate for row in self.rows)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "schema_version": 1,
            "backend": self.backend,
            "version": self.version,
            "onnx": self.onnx,
            "counts": {str(fate): count for fate, count in self.counts.items()},
            "cases": [row.to_json() for row in self.rows],
        }


def run_conformance(
    target: ResolvedTarget,
    cases: Sequence[str],
    plugins: Plugins,
    children: Children,
    *,
    where: str,
    jobs: int,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Conformance:
    """Take every case through a target's backend, with its options and for its device.

    Args:
        target: its recipe and its budgets have no part in this; nor have its fallbacks.
        where: what named the target, for errors.
        cache: root of the cache. What became of a case is kept there, unless it is a defect, for as long as the code
            and the versions stay the same.

    Raises:
        ConfigError: there is no such backend, or its options are wrong.
        UnavailableError: it cannot build here.
        InterruptedByUserError: Ctrl-C.
    """
    import onnx

    backend = plan_backend(target, target.backend, plugins, where=where)
    if backend.failure is not None:
        raise backend.failure
    plan = _Plan(
        importer=Plug(plugins.importer("onnx", where="conformance").loader, {}),
        backend=Plug(backend.loader, dict(backend.options), backend.site),
        can_run=backend.availability is not None and backend.availability.can_run,
        logs=cache / "logs",
    )
    version = (backend.availability and backend.availability.version) or "unknown"
    journal = Journal(cache / "conformance" / f"{_key(plan, backend, version)}.jsonl")
    rows = {name: Row(**row) for name, row in journal.read().items() if name in cases}
    workers = _Workers(plan, children)
    left = [case for case in cases if case not in rows]
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for row in pool.map(workers.run, left):
                rows[row.name] = row
                if row.fate not in DEFECTS:
                    journal.add(row.to_json())
                progress(len(rows), len(cases))
        finally:
            workers.close()
    ordered = tuple(rows[case] for case in sorted(rows))
    return Conformance(backend.name, version, str(onnx.__version__), ordered)


def _key(plan: _Plan, backend: PlannedBackend, version: str) -> str:
    """What decides a fate, besides the case."""
    import onnx

    parts = {
        "onnx": str(onnx.__version__),
        "importer": asdict(plan.importer),
        "backend": backend_parts(backend),
        "version": version,
        "code": [code_digest(loader) for loader in ("edgetool", plan.importer.loader)],
    }
    return make_key("conformance", parts).digest[:32]


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
        plan, case = self._plan, case_of(name)
        with tempfile.TemporaryDirectory(prefix="edgetool-conformance-") as folder:
            save(case, Path(folder))
            task = CaseTask(plan.importer, plan.backend, plan.can_run, 1, Path(folder))
            try:
                return Row(**self._child().call("conformance", request_json(task), step=name, answer=_SILENT))
            except InterruptedByUserError:
                raise
            except EdgetoolError as error:
                self._end()
                fate = _FATES.get(error.code, "bug")
                return Row(name, case.operator, fate, "run", f"{error.code}: {error.message}"[:500])

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
