"""Rows about engines: recipes built by edgetool, beside float and beside peers, on the same samples and in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.compression.accuracy import Interval, Outputs, Task, lost, mean
from benchmarks.compression.findings import Check, Finding
from benchmarks.compression.peers import Infer, Peer, make, open_onnx_file, row_by_row
from benchmarks.compression.project import Built, Entry, archive, build, float_model, write_project
from benchmarks.timing import Ratio
from edgetool.runner import Feeds

FLOAT = "float on ONNX Runtime"
_ROUNDS, _SECONDS = 40, 60.0
_WARM = 2
_TURN, _CALLS = 0.01, 3
"""Seconds of a turn, and calls that count in it, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a recipe has to reach; None is not asked for. Ratios are against the float32 ONNX file and its speed."""

    lost: float | None = None
    agreement: float | None = None
    smaller: float | None = None
    archived: float | None = None
    faster: float | None = None
    fewer_macs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One network and the recipes to compare.

    Attributes:
        example: makes its folder ready and returns it.
        task: how its outputs are judged.
        entries: recipes, and what is wanted of each.
        peers: other tools, for comparison.
        timed: the feeds that speed is measured on, out of those of the evaluation.
        one_row: NNCF's engines are compiled for the shapes of `timed`, as entries that fix theirs are.
    """

    example: Callable[[], Path]
    task: Callable[[Path], Task]
    entries: tuple[tuple[Entry, Wanted], ...]
    timed: Callable[[Sequence[Feeds]], Feeds]
    peers: tuple[Peer, ...] = ()
    one_row: bool = False


@dataclass
class _Engine:
    name: str
    infer: Infer
    size: int
    archived: int | None = None
    facts: tuple[Mapping[str, Any], ...] = ()
    wanted: Wanted = field(default_factory=Wanted)
    outputs: list[Outputs] = field(default_factory=list)
    extra: list[Outputs] = field(default_factory=list)


def contest(plan: Contest, folder: Path) -> list[Finding]:
    """Build, judge and time everything; what fails becomes a finding that says why."""
    example = plan.example()
    task = plan.task(example)
    entries = [entry for entry, _ in plan.entries]
    project = write_project(example, folder / "project", entries)
    onnx = float_model(project)
    base = _Engine(FLOAT, open_onnx_file(onnx), onnx.stat().st_size)
    engines, failures = [base], []
    built = build(project, entries)
    for entry, wanted in plan.entries:
        made = built[entry.name]
        if made.bundle is None:
            failures.append(Finding(str(entry), failure=made.failure))
        else:
            engines.append(_opened(entry, made, wanted))
    samples = list(task.data.calibration()) if plan.peers else []
    feeds, labels = task.samples()
    timed = plan.timed(feeds)
    fixed = {name: values.shape for name, values in timed.items()} if plan.one_row else None
    for peer in plan.peers:
        try:
            infer, size = make(peer, onnx, samples, folder, fixed=fixed)
        except (RuntimeError, ValueError, OSError) as error:
            failures.append(Finding(f"peer {peer}", failure=str(error), data={"peer": True}))
            continue
        engines.append(_Engine(f"peer {peer}", infer, size))
    extra = list(task.extra()) if task.extra else []
    for engine in engines:
        engine.outputs = [_copied(engine.infer(feed)) for feed in feeds]
        engine.extra = [_copied(engine.infer(feed)) for feed in extra]
    times = _take_turns(engines, timed)
    return [*(_finding(engine, base, task, labels, times) for engine in engines), *failures]


def _opened(entry: Entry, made: Built, wanted: Wanted) -> _Engine:
    from edgetool.cli.bundled import open_runnable
    from edgetool.engine.bundled import bundled_engine

    assert made.bundle is not None  # the caller asked
    file = bundled_engine(*open_runnable(made.bundle), threads=1)
    runner = file.plugin().open(file.engine(), file.context())
    takes_one = all(spec.shape[:1] == (1,) for spec in runner.signature.inputs)
    infer = row_by_row(runner.infer) if takes_one else runner.infer
    return _Engine(str(entry), infer, made.engine_bytes, archive(made.bundle), made.facts, wanted)


def _copied(outputs: Mapping[str, Any]) -> Outputs:
    return {name: np.array(values) for name, values in outputs.items()}


def _take_turns(engines: Sequence[_Engine], feeds: Feeds) -> dict[str, list[float]]:
    """Seconds of processor time of a call, in turns, after two rounds that do not count.

    The first call of a turn does not count either: it finds another's weights in the processor's caches, which a
    device that runs one network never does. That costs a small engine behind a large one a tenth of its speed.
    """
    found: dict[str, list[float]] = {engine.name: [] for engine in engines}
    calls = dict.fromkeys(found, _CALLS)
    ends = time.monotonic() + _SECONDS
    for number in range(_ROUNDS + _WARM):
        for engine in engines:
            engine.infer(feeds)
            began = time.process_time()
            for _ in range(calls[engine.name]):
                engine.infer(feeds)
            spent = (time.process_time() - began) / calls[engine.name]
            if number >= _WARM:
                found[engine.name].append(spent)
            else:
                calls[engine.name] = max(_CALLS, math.ceil(_TURN / max(spent, 1e-6)))
        if time.monotonic() > ends and number >= 2 * _WARM:
            break
    return found


def _finding(
    engine: _Engine, base: _Engine, task: Task, labels: Sequence[Any], times: Mapping[str, list[float]]
) -> Finding:
    floats, ours = task.scored(base.outputs, labels), task.scored(engine.outputs, labels)
    spent = times[engine.name]
    own = mean(ours)
    figures = [f"metric {own}, {ours.units} units; {engine.size / 1e6:.3f} MB; {median(spent) * 1e3:.2f} ms"]
    data: dict[str, Any] = {"metric": asdict(own), "units": ours.units, "bytes": engine.size, "seconds": median(spent)}
    if engine is base:
        return Finding(engine.name, tuple(figures), data)
    loss = lost(floats, ours)
    agreed = _agreement(engine, base, task)
    speed = Ratio.of(times[base.name], spent)
    word = "cosine" if task.likeness == "cosine" else "agreement"
    figures.append(f"lost {loss}; {word} with float {agreed}; {speed} float's speed")
    sizes = f"float {base.size / 1e6:.3f} MB -> engine {engine.size / 1e6:.3f} MB ({base.size / engine.size:.2f} x)"
    data |= {"lost": asdict(loss), "agreement": asdict(agreed), "speed": asdict(speed), "float_bytes": base.size}
    if engine.archived is not None:
        sizes += f" -> archived bundle {engine.archived / 1e6:.3f} MB ({base.size / engine.archived:.2f} x)"
        data["archived_bytes"] = engine.archived
    figures.append(sizes)
    if macs := macs_ratio(engine.facts):
        figures.append(f"{macs:.2f} x fewer multiply-accumulates")
        data["fewer_macs"] = macs
    checks = tuple(_checks(engine, base, loss, agreed, speed, macs))
    return Finding(engine.name, tuple(figures), data | {"peer": engine.archived is None}, checks)


def _agreement(engine: _Engine, base: _Engine, task: Task) -> Interval:
    if task.extra:
        return mean(task.agreement(base.extra, engine.extra))
    return mean(task.agreement(base.outputs, engine.outputs))


def macs_ratio(facts: Sequence[Mapping[str, Any]]) -> float | None:
    """How many times fewer multiply-accumulates the passes left, by what they say."""
    counted = [one["macs"] for one in facts if isinstance(one.get("macs"), Mapping) and "from" in one["macs"]]
    ratios = [macs["from"] / macs["to"] for macs in counted]
    return float(np.prod(ratios)) if ratios else None


def _checks(
    engine: _Engine, base: _Engine, loss: Interval, agreed: Interval, speed: Ratio, macs: float | None
) -> list[Check]:
    wanted = engine.wanted
    archived = base.size / engine.archived if engine.archived else 0.0
    rows = (
        ("times smaller engine", base.size / engine.size, wanted.smaller, True),
        ("times smaller archived", archived, wanted.archived, True),
        ("lost", loss.value, wanted.lost, False),
        ("agreement", agreed.value, wanted.agreement, True),
        ("times float ONNX Runtime's speed", speed.median, wanted.faster, True),
        ("times fewer multiply-accumulates", macs or 1.0, wanted.fewer_macs, True),
    )
    return [Check(what, reached, limit, at_least) for what, reached, limit, at_least in rows if limit is not None]
