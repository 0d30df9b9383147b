"""The validation and the measurement of an engine, as tasks: the reference here, the engine in its own process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.config.schema import BudgetTable
from edgetool.disk import scratch_folder
from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.held import HeldEngine
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.reference import open_reference
from edgetool.engine.remote import RemoteRunner
from edgetool.engine.requests import DataRequest, EngineFile, ModelFile, request_json
from edgetool.engine.samples import open_data
from edgetool.errors import BudgetError, UnprovenError
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature

if TYPE_CHECKING:
    import numpy as np

    from edgetool.validate.data import Dataset


_RUNS_ELSEWHERE = 100
"""Inferences that a device is timed over in its self-test: one request to it costs seconds, a run little."""


@dataclass(frozen=True, slots=True)
class ValidateTask:
    """Compare an engine with the reference.

    Attributes:
        engine: what was built.
        reference: the float model.
        directory: where the golden inputs and outputs go.
        evaluation: the user's samples, if any.
        metric: name or `module:function`, if any.
        root: folder that the metric's module is found from.
        budget: declared limits by name, in plain numbers; with accuracy budgets no default tolerance applies.
        fixed_inputs: values of inputs that the engine no longer has, for the reference.
        log: of the engine's process.
        seconds: limit for one request to it.
        latency_time: seconds to measure for, while both are open anyway.
    """

    engine: EngineFile
    reference: ModelFile
    directory: Path
    evaluation: DataRequest | None
    metric: str | None
    root: Path
    budget: dict[str, float]
    log: Path
    seconds: float
    latency_time: float
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    python: str | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """Time an engine against the reference, on the golden inputs in `feeds`."""

    engine: EngineFile
    reference: ModelFile
    feeds: Path
    log: Path
    seconds: float
    latency_time: float
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    python: str | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class GoldenTask:
    """Golden inputs and outputs for an engine that cannot run here: the outputs are the reference's.

    Attributes:
        signature: of the engine, at whose shape to tune for the inputs are made.
        precision: of the engine; how far a device may be from the reference follows from it.
        min_cosine: the declared budget, which takes the place of that.
    """

    reference: ModelFile
    signature: Signature
    precision: str
    directory: Path
    threads: int
    evaluation: DataRequest | None
    min_cosine: float | None
    fixed_inputs: dict[str, Any] = field(default_factory=dict)


class CompletedRunner(Runner):
    """The reference of a specialised engine: it still has the inputs that were fixed, and gets their values here."""

    def __init__(self, inner: Runner, fixed: Mapping[str, Any]) -> None:
        import numpy as np

        dtypes = {spec.name: spec.dtype for spec in inner.signature.inputs}
        self._inner = inner
        self._fixed = {name: np.asarray(value, dtypes[name]) for name, value in fixed.items() if name in dtypes}
        self.signature = replace(
            inner.signature,
            inputs=tuple(spec for spec in inner.signature.inputs if spec.name not in self._fixed),
        )

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        return self._inner.infer({**feeds, **self._fixed})

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """Seconds of each of `runs` inferences."""
        return self._inner.time({**feeds, **self._fixed}, runs)

    def close(self) -> None:
        self._inner.close()


@contextmanager
def open_pair(
    task: ValidateTask | MeasureTask, held: HeldEngine | None = None, *, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[tuple[RemoteRunner, CompletedRunner]]:
    """The engine in a child, where it is not held open already, and the reference in this process.

    Args:
        task: what names them.
        held: where the engine may be open.
        meanwhile: what this process has to do anyway, done while the child opens the engine.
    """
    if held is not None and (opened_before := held.get(task.engine)):
        with (
            closing(held),
            open_reference(task.reference.path, task.engine.threads) as opened,
            CompletedRunner(opened, task.fixed_inputs) as reference,
        ):
            yield opened_before, reference
        return
    group = Children()
    limits = Limits(task.seconds, task.memory)
    with (
        scratch_folder("edgetool-pair") as folder,
        # Started first: while it imports its runtime, the reference is loaded here.
        group.start(log=task.log, limits=limits, python=task.python) as child,
        open_reference(task.reference.path, task.engine.threads) as opened,
        CompletedRunner(opened, task.fixed_inputs) as reference,
        RemoteRunner(child, task.engine, folder, meanwhile=meanwhile) as engine,
    ):
        yield engine, reference


def run_validate(task: ValidateTask, talk: Talk) -> Result:
    """Compare, keep golden inputs and outputs for the device's self-test, and measure while both are open."""
    from edgetool.bundle.golden import write_golden
    from edgetool.validate.compare import compare
    from edgetool.validate.metrics import open_metric

    signature = task.engine.signature

    def samples() -> Dataset | None:
        if task.evaluation is None:
            return None
        return open_data(task.evaluation, signature, talk.desk, fixed=task.fixed_inputs)

    with open_pair(task, meanwhile=samples) as (engine, reference):
        data = samples()  # they stay open
        metric = open_metric(task.metric, root=task.root) if task.metric and data is not None else None
        found = compare(
            reference,
            engine,
            signature=signature,
            precision=task.engine.precision,
            data=data,
            metric=metric,
            budget=BudgetTable.model_construct(None, **task.budget),
            progress=talk.progress,
        )
        golden = golden_feeds(signature, data)
        write_golden(task.directory, golden, engine.infer(golden))
        measurement = None
        if found.status != "failed" and not engine.emulated:
            measurement = _measure(engine, reference, golden, task.latency_time)
        reference.close()  # room for the engine, which a backend may open once more to see how it executes
        evidence = engine.evidence()
    return {
        "comparison": request_json(found),
        "measurement": measurement,
        "emulator": engine.elsewhere if engine.emulated else None,
        "evidence": {"precisions": evidence.precision_counts(), "unfused": list(evidence.unfused)},
        "files": [] if metric is None else [str(path) for path in metric.files],
    }


def run_golden(task: GoldenTask, talk: Talk) -> Result:
    """Write what a device checks itself with, as far as that can be known without it."""
    from edgetool.bundle.golden import write_golden
    from edgetool.validate.tolerance import golden_cosine

    data: Dataset | None = None
    if task.evaluation is not None:
        data = open_data(task.evaluation, task.signature, talk.desk, fixed=task.fixed_inputs)
    feeds = golden_feeds(task.signature, data)
    with (
        open_reference(task.reference.path, task.threads) as opened,
        CompletedRunner(opened, task.fixed_inputs) as reference,
    ):
        outputs = reference.infer(feeds)
    wanted = golden_cosine(task.precision) if task.min_cosine is None else task.min_cosine
    write_golden(task.directory, feeds, outputs, made_by="reference", min_cosine=wanted)
    return {"made_by": "reference", "min_cosine": wanted}


def run_measure(task: MeasureTask, talk: Talk) -> Result:
    """Time both on the golden inputs."""
    from edgetool.bundle.golden import read_golden_inputs

    with open_pair(task, talk.desk.held) as (engine, reference):
        _refuse_emulated(engine)
        return _measure(engine, reference, read_golden_inputs(task.feeds), task.latency_time)


def _measure(engine: RemoteRunner, reference: CompletedRunner, feeds: Feeds, seconds: float) -> Result:
    """In turns with the reference, unless the engine runs on a device where the reference does not."""
    from edgetool.validate.latency import measure, measure_on_device

    if engine.elsewhere is None:
        latency = measure(engine, reference, feeds, seconds=seconds)
    else:
        latency = measure_on_device(engine, feeds, seconds=seconds)
    return {
        "latency": request_json(latency),
        "peak_memory": engine.peak_memory(),
        "measured_at": time.time(),
        "device": engine.elsewhere,
        "conditions": dict(engine.conditions()),
    }


def _refuse_emulated(engine: RemoteRunner) -> None:
    if engine.emulated:
        raise UnprovenError(
            "time-emulated",
            f"times on {engine.elsewhere} are not the device's",
            hint="measure on the device itself",
        )


def golden_feeds(signature: Signature, data: Dataset | None) -> Feeds:
    """The first real sample, stretched to the shape to tune for; random where there is none."""
    from edgetool.validate.shapes import Shape, random_feeds, stretched

    shape = Shape("opt", {name: found.opt for name, found in signature.dims.items()})
    if data is None:
        return random_feeds(signature, shape, seed=0)
    return stretched([next(iter(data))], signature, shape, seed=0)


@dataclass(frozen=True, slots=True)
class SelfTestTask:
    """Run an engine on the golden inputs of its bundle and compare with the golden outputs.

    Attributes:
        seconds: limit for one request to the engine.
    """

    engine: EngineFile
    golden: Path
    log: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class BenchTask:
    """Time an engine against another one, or against itself, on the golden inputs of the first."""

    engine: EngineFile
    against: EngineFile
    golden: Path
    logs: tuple[Path, Path]
    seconds: float
    latency_time: float


def run_self_test(task: SelfTestTask, talk: Talk) -> Result:
    """The same test that a device does, with the same tolerance; what a device elsewhere measures comes along."""
    from edgetool.bundle.golden import read_golden
    from edgetool.validate.difference import difference
    from edgetool.validate.latency import timing

    rows = []
    with open_engine(task.engine, task.log, task.seconds) as engine:
        for case in read_golden(task.golden):
            outputs = engine.infer(case.inputs)
            for name, wanted in case.outputs.items():
                _require_same_kind(name, wanted, outputs[name], task.golden)
                rows.append(request_json(difference(name, wanted, outputs[name])))
        found: dict[str, Any] = {"differences": rows, "elsewhere": engine.elsewhere}
        if engine.elsewhere is not None and not engine.emulated:
            seconds = engine.time(case.inputs, _RUNS_ELSEWHERE)
            found |= {"latency": request_json(timing([seconds])), "conditions": dict(engine.conditions())}
    return found


def _require_same_kind(name: str, wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any], golden: Path) -> None:
    """Arrays of different shapes or dtypes cannot be compared element by element. Raises BudgetError."""
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise BudgetError(
            "self-test-failed",
            f"{name}: it is {found.dtype}{list(found.shape)} here, and should be {wanted.dtype}{list(wanted.shape)}",
            where=str(golden),
            hint="the runtime or the device differs from the one that the bundle was built with",
        )


def run_bench(task: BenchTask, talk: Talk) -> Result:
    """Both in turns, each in a process of its own."""
    from edgetool.bundle.golden import read_golden_inputs
    from edgetool.validate.latency import measure, measure_on_device

    feeds = read_golden_inputs(task.golden)
    with (
        open_engine(task.engine, task.logs[0], task.seconds) as engine,
        open_engine(task.against, task.logs[1], task.seconds) as against,
    ):
        _refuse_emulated(engine)
        if engine.elsewhere is None and against.elsewhere is None:
            latency = measure(engine, against, feeds, seconds=task.latency_time)
        else:
            latency = measure_on_device(engine, feeds, against=against, seconds=task.latency_time)
        return {
            "latency": request_json(latency),
            "peak_memory": engine.peak_memory(),
            "device": engine.elsewhere,
            "conditions": dict(engine.conditions()),
        }


@contextmanager
def open_engine(
    file: EngineFile, log: Path, seconds: float, *, memory: int | None = None, python: str | None = None
) -> Iterator[RemoteRunner]:
    """An engine alone, in a child."""
    group = Children()
    with (
        scratch_folder("edgetool-engine") as folder,
        group.start(log=log, limits=Limits(seconds, memory), python=python) as child,
        RemoteRunner(child, file, folder) as runner,
    ):
        yield runner


TASKS: Mapping[str, Handler] = {
    "validate": handler(ValidateTask, run_validate),
    "golden": handler(GoldenTask, run_golden),
    "measure": handler(MeasureTask, run_measure),
    "self-test": handler(SelfTestTask, run_self_test),
    "bench": handler(BenchTask, run_bench),
}
