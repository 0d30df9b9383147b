"""Percentiles against numpy; the measurement on a clock of its own, so that nothing depends on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetool.validate.latency import Latency, measure, measure_on_device, percentile, timing


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Fake:
    """Takes as long as it is told, on the fake clock."""

    def __init__(self, clock: Clock, log: list[str], name: str, seconds: Callable[[int], float]) -> None:
        self._clock, self._log, self._name, self._seconds = clock, log, name, seconds
        self._runs = itertools.count()

    def time(self, feeds: object, runs: int) -> list[float]:
        self._log.append(self._name)
        taken = [self._seconds(next(self._runs)) for _ in range(runs)]
        self._clock.now += sum(taken)
        return taken


def run(engine: Callable[[int], float], reference: Callable[[int], float], seconds: float = 0.5) -> tuple:
    clock, log = Clock(), []
    found = measure(
        Fake(clock, log, "engine", engine), Fake(clock, log, "reference", reference), {}, seconds=seconds, clock=clock
    )
    return found, log


def test_steady_sides_settle_early_and_take_turns() -> None:
    found, log = run(lambda i: 0.001, lambda i: 0.003)
    assert found.settled
    assert found.seconds < 0.5
    assert found.speedup == pytest.approx(3)
    assert (found.engine.p50, found.engine.spread, found.verdict) == (0.001, 0, "faster")
    turns = log[-10:]
    assert turns == ["engine", "reference"] * 5


def test_restless_sides_use_the_time_and_say_how_far_they_spread() -> None:
    found, _ = run(lambda i: 0.001 * (1 + i // 13 % 3), lambda i: 0.002)
    assert not found.settled
    assert 0.5 <= found.seconds < 0.6
    assert found.engine.spread > 0.3


def test_a_slow_model_still_gets_three_windows() -> None:
    found, log = run(lambda i: 2.0, lambda i: 1.0)
    assert found.engine.runs == 3
    assert found.verdict == "slower"
    assert log[-6:] == ["engine", "reference"] * 3


def test_a_slow_down_of_the_machine_halfway_leaves_the_speedup_right() -> None:
    clock, log = Clock(), []

    def busy(base: float) -> Callable[[int], float]:
        return lambda i: base * (3 if clock.now > 0.25 else 1)

    found = measure(Fake(clock, log, "e", busy(0.004)), Fake(clock, log, "r", busy(0.010)), {}, clock=clock)
    assert found.speedup == pytest.approx(2.5, rel=0.01)


def test_no_difference_when_the_ratio_scatters_around_one() -> None:
    generator = np.random.default_rng(0)
    found, _ = run(lambda i: 0.01 * generator.uniform(0.8, 1.2), lambda i: 0.01 * generator.uniform(0.8, 1.2))
    assert found.verdict == "no difference"


def test_warm_up_is_not_counted() -> None:
    found, _ = run(lambda i: 0.02 if i < 2 else 0.001, lambda i: 0.001)
    assert found.engine.longest == 0.001


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=60), st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    assert percentile(sorted(values), share) == pytest.approx(np.percentile(values, share * 100), rel=1e-9)


def test_spread_leaves_out_the_most_distant_fifth() -> None:
    windows = [[1.0], [1.0], [1.01], [0.99], [5.0]]
    assert timing(windows).spread == pytest.approx(0.01)
    assert timing(windows).longest == 5.0


def on_device(engine: Callable[[int], float], *more: Callable[[int], float]) -> tuple:
    """Calls that each cost five seconds besides their inferences."""
    clock, log = Clock(), []

    class Far(Fake):
        def time(self, feeds: object, runs: int) -> list[float]:
            clock.now += 5
            return super().time(feeds, runs)

    sides = [Far(clock, log, f"{index}", seconds) for index, seconds in enumerate((engine, *more))]
    return measure_on_device(sides[0], {}, against=sides[1] if more else None, seconds=0.5, clock=clock), log


def test_a_device_is_asked_few_times_for_many_runs_and_compared_with_nothing() -> None:
    found, log = on_device(lambda i: 0.001)
    assert len(log) == 4, "one call to warm up, three windows"
    assert found.engine.runs == 300
    assert found.settled
    assert (found.reference, found.speedup, found.speedup_spread, found.verdict) == (None, None, None, None)
    assert found.to_json()["reference"] is None


def test_a_restless_device_gets_two_windows_more() -> None:
    found, log = on_device(lambda i: 0.001 * (1 + (i - 2) // 100 % 2))
    assert len(log) == 6
    assert not found.settled
    assert found.engine.spread > 0.3


def test_a_model_slower_than_a_window_is_run_once_a_window() -> None:
    found, _ = on_device(lambda i: 2.0)
    assert found.engine.runs == 3


def test_two_engines_on_devices_take_turns() -> None:
    found, log = on_device(lambda i: 0.001, lambda i: 0.002)
    assert log == ["0", "1"] * 4
    assert found.speedup == pytest.approx(2)


@pytest.mark.parametrize(("took", "longer"), [(0.5, 5), (2.5, 5), (16.2, 33)])
def test_who_is_to_measure_longer_is_told_a_longer_time(took: float, longer: int) -> None:
    side = timing([[0.001] * 40] * 5)
    assert Latency(side, side, 1.0, 0.02, settled=False, seconds=took).longer == longer
