"""How long one inference takes: engine and reference in turns, or the engine alone on its device."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.validate.difference import rounded

if TYPE_CHECKING:
    from edgetool.runner import Feeds

WINDOWS = 20
"""Windows each that the time is meant for; a window is a few runs in a row."""

MIN_WINDOWS = 3
"""Windows each that are taken even when the time is up."""

AGREE_WINDOWS = 5
AGREE_WITHIN = 0.02
"""It is enough when the medians of this many latest windows, of both sides, lie this close together."""

QUANTILES = 20
"""Steps in which the distribution of the runs is kept."""

DEVICE_WINDOWS = 5
"""Windows at most on another machine: there each costs a connection and a start of the runtime, too."""

Pays: TypeAlias = Literal["faster", "slower", "no difference"]


class Timed(Protocol):
    """Something that can be timed from close by: in its own process, without the cost of getting there."""

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """Seconds that each of so many inferences took, from feeds in to outputs out."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """One side's figures, in seconds.

    Attributes:
        runs: how many inferences they come from.
        p50, p90, p99: percentiles, interpolated.
        longest: the slowest run.
        spread: how far the windows' medians lie from `p50`, as a share of it, without the most distant fifth.
        quantiles: `QUANTILES + 1` at equal steps from the fastest run to the slowest, for drawing; () if unknown.
    """

    runs: int
    p50: float
    p90: float
    p99: float
    longest: float
    spread: float
    quantiles: tuple[float, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "runs": self.runs,
            "p50_s": rounded(self.p50),
            "p90_s": rounded(self.p90),
            "p99_s": rounded(self.p99),
            "longest_s": rounded(self.longest),
            "spread": rounded(self.spread),
            "quantiles_s": [rounded(value) for value in self.quantiles],
        }


@dataclass(frozen=True, slots=True)
class Latency:
    """Engine and reference, measured in turns; or the engine alone, where it runs on another machine.

    Attributes:
        engine: its timing.
        reference: the float model's timing on the same feeds. None where the engine runs on a device and the
            reference cannot: the times of two machines say nothing about the two models.
        speedup: reference over engine: the median over pairs of neighbouring windows. None without a reference.
        speedup_spread: as `Timing.spread`, of the pairs' ratios.
        settled: the windows agreed before the time was up.
        seconds: how long the measurement took.
    """

    engine: Timing
    reference: Timing | None
    speedup: float | None
    speedup_spread: float | None
    settled: bool
    seconds: float

    @property
    def verdict(self) -> Pays | None:
        """Whether the engine pays here, beyond what the measurement scatters; None without a reference."""
        if self.speedup is None or self.speedup_spread is None:
            return None
        if self.speedup * (1 + self.speedup_spread) < 1:
            return "slower"
        return "faster" if self.speedup * (1 - self.speedup_spread) > 1 else "no difference"

    @property
    def longer(self) -> int:
        """Seconds for another measurement that is to settle: on a busy machine this one took longer than it was to."""
        return max(5, math.ceil(2 * self.seconds))

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "engine": self.engine.to_json(),
            "reference": self.reference.to_json() if self.reference else None,
            "speedup": rounded(self.speedup),
            "speedup_spread": rounded(self.speedup_spread),
            "verdict": self.verdict,
            "settled": self.settled,
            "seconds": rounded(self.seconds),
        }


def measure(
    engine: Timed,
    reference: Timed,
    feeds: Feeds,
    *,
    seconds: float = 0.5,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time both in turns: a window of engine runs, a window of reference runs, and again.

    Taking turns lets a busy machine slow both alike. After a warm-up (a tenth of the time, two runs at least),
    it ends when the last five windows of each side agree within 2 %, or when the time is up; then the spread
    says how far they are apart.

    Args:
        engine: what was built.
        reference: the float model.
        feeds: the inputs, the same for both.
        seconds: when to stop at the latest; a very slow model takes three windows each all the same.
        clock: seconds from any start.
    """
    start = clock()
    runs = [_runs_a_window(side, feeds, seconds / 2, clock) for side in (engine, reference)]
    engine_windows: list[list[float]] = []
    reference_windows: list[list[float]] = []
    settled = False
    while len(engine_windows) < MIN_WINDOWS or not (settled or clock() - start >= seconds):
        engine_windows.append(engine.time(feeds, runs[0]))
        reference_windows.append(reference.time(feeds, runs[1]))
        settled = _agree(engine_windows) and _agree(reference_windows)
    return _latency(engine_windows, reference_windows, settled=settled, seconds=clock() - start)


def measure_on_device(
    engine: Timed,
    feeds: Feeds,
    *,
    against: Timed | None = None,
    seconds: float = 0.5,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time an engine that runs on another machine, in few calls with many runs each.

    A first call warms up and tells how many runs fit into a window, a fifth of the time. Three windows at least,
    five at most: it ends as soon as the latest three agree within 2 %.

    Args:
        engine: what was built, with the device's own clock behind `time`.
        feeds: the inputs.
        against: another engine to take turns with, if any.
        seconds: how long the device is to infer, not counting the way there.
        clock: seconds from any start.
    """
    start = clock()
    sides = (engine,) if against is None else (engine, against)
    share = seconds / len(sides) / DEVICE_WINDOWS
    runs = [_runs_within(share, min(side.time(feeds, 2))) for side in sides]
    windows: list[list[list[float]]] = [[] for _ in sides]
    settled = False
    while len(windows[0]) < MIN_WINDOWS or (len(windows[0]) < DEVICE_WINDOWS and not settled):
        for side, count, found in zip(sides, runs, windows, strict=True):
            found.append(side.time(feeds, count))
        settled = all(_agree(found, latest=MIN_WINDOWS) for found in windows)
    return _latency(*windows, settled=settled, seconds=clock() - start)


def _latency(
    engine: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]] = (),
    *,
    settled: bool,
    seconds: float,
) -> Latency:
    if not reference:
        return Latency(timing(engine), None, None, None, settled, seconds)
    ratios = [statistics.median(slow) / statistics.median(fast) for slow, fast in zip(reference, engine, strict=True)]
    speedup = statistics.median(ratios)
    return Latency(timing(engine), timing(reference), speedup, _spread(ratios, speedup), settled, seconds)


def timing(windows: Sequence[Sequence[float]]) -> Timing:
    """Percentiles over all runs of all windows, and the spread between windows."""
    all_runs = sorted(run for window in windows for run in window)
    p50 = percentile(all_runs, 0.5)
    return Timing(
        runs=len(all_runs),
        p50=p50,
        p90=percentile(all_runs, 0.9),
        p99=percentile(all_runs, 0.99),
        longest=all_runs[-1],
        spread=_spread([statistics.median(window) for window in windows], p50),
        quantiles=tuple(percentile(all_runs, step / QUANTILES) for step in range(QUANTILES + 1)),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, interpolated between neighbours (numpy's `linear`)."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _runs_a_window(side: Timed, feeds: Feeds, seconds: float, clock: Callable[[], float]) -> int:
    """Warm up, and find out how many runs fit into one window."""
    start = clock()
    fastest = min(side.time(feeds, 2))
    while clock() - start < seconds / 10:
        fastest = min(fastest, *side.time(feeds, 1))
    return _runs_within(seconds / WINDOWS, fastest)


def _runs_within(seconds: float, fastest: float) -> int:
    return max(1, round(seconds / max(fastest, 1e-9)))


def _agree(windows: Sequence[Sequence[float]], *, latest: int = AGREE_WINDOWS) -> bool:
    if len(windows) < latest:
        return False
    medians = [statistics.median(window) for window in windows[-latest:]]
    return max(medians) - min(medians) <= AGREE_WITHIN * statistics.median(medians)


def _spread(values: Sequence[float], middle: float) -> float:
    """Largest distance from the middle as a share of it, leaving out the most distant fifth of the values."""
    distances = sorted(abs(value - middle) / middle for value in values)
    return distances[max(0, -(-len(distances) * 4 // 5) - 1)]
