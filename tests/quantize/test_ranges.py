"""Histograms that grow, and the ranges that calibrators choose from them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from edgetool_passes.quantization.calibrators import Calibrator, choose_range, new_watch
from edgetool_passes.quantization.histogram import BINS, ChannelExtents, ChannelMeans, Extent, Histogram

CALIBRATORS = get_args(Calibrator)


def test_extent_contains_zero() -> None:
    extent = Extent()
    extent.see(np.array([3.0, 5.0], np.float32))
    assert (extent.low, extent.high, extent.magnitude) == (0.0, 5.0, 5.0)


def test_histogram_counts_every_value_once_while_it_grows() -> None:
    chance = np.random.default_rng(0)
    histogram = Histogram()
    parts = [chance.normal(scale=scale, size=1000).astype(np.float32) for scale in (0.1, 1, 30, 2)]
    for part in parts:
        histogram.see(part)
    assert histogram.counts.sum() == 4000
    assert histogram.limit >= max(np.abs(part).max() for part in parts)
    everything = np.abs(np.concatenate(parts))
    edges = np.linspace(0, histogram.limit, BINS + 1)
    exact, _ = np.histogram(everything, edges)
    assert np.abs(np.cumsum(exact) - np.cumsum(histogram.counts)).max() <= 2, "only values on an edge may differ"


def test_histogram_of_zeros_only() -> None:
    for calibrator in CALIBRATORS:
        watch = new_watch(calibrator)
        watch.see(np.zeros(10, np.float32))
        found = choose_range(watch, calibrator, percentile=99.9)
        assert (found.low, found.high) == (0.0, 0.0)


def test_memory_does_not_grow_with_samples() -> None:
    histogram = Histogram()
    for seed in range(50):
        histogram.see(np.random.default_rng(seed).normal(size=5000).astype(np.float32))
    assert histogram.counts.nbytes == BINS * 8
    assert set(vars(histogram)) == {"extent", "counts", "limit"}


def _outliers() -> np.ndarray:
    """A hundred thousand normal values and three that are thirty times as large."""
    values = np.random.default_rng(3).normal(size=100_000).astype(np.float32)
    values[:3] = (90, -120, 100)
    return values


def test_of_large_arrays_every_nth_value_is_counted_and_all_are_spanned() -> None:
    values = np.random.default_rng(0).standard_normal((8, 96, 112, 112)).astype(np.float32)
    values[3, 1, 4, 1] = 50  # not among those that are counted
    histogram = Histogram()
    histogram.see(values)
    assert histogram.extent.high == 50
    assert histogram.limit >= 50
    counted = int(histogram.counts.sum())
    assert values.size / 10 < counted < values.size / 5
    wanted = np.histogram(np.abs(values), bins=BINS, range=(0, histogram.limit))[0] / values.size
    assert np.abs(histogram.counts / counted - wanted).max() < 0.001


def test_min_max_covers_everything() -> None:
    watch = new_watch("min-max")
    watch.see(_outliers())
    found = choose_range(watch, "min-max", percentile=99)
    assert (found.low, found.high) == (-120.0, 100.0)


@pytest.mark.parametrize("calibrator", ["entropy", "percentile"])
def test_others_cut_rare_outliers_off(calibrator: Calibrator) -> None:
    watch = new_watch(calibrator)
    watch.see(_outliers())
    found = choose_range(watch, calibrator, percentile=99.99)
    assert 2.5 < found.magnitude < 40, f"{calibrator} chose {found}"


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform"])
def test_least_squares_wins_at_what_it_minimizes(draw: str) -> None:
    values = getattr(np.random.default_rng(5), draw)(size=200_000).astype(np.float32)
    errors = {}
    for calibrator in CALIBRATORS:
        watch = new_watch(calibrator)
        watch.see(values)
        step = choose_range(watch, calibrator, percentile=99.9).magnitude / 127
        errors[calibrator] = float(((np.clip(np.rint(values / step), -127, 127) * step - values) ** 2).sum())
    assert errors["mse"] <= 1.01 * min(errors.values()), errors


def test_percentile_is_the_share_that_stays_inside() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    watch = new_watch("percentile")
    watch.see(values)
    assert choose_range(watch, "percentile", percentile=90).high == pytest.approx(0.9, abs=0.01)


def test_one_sided_tensors_stay_one_sided() -> None:
    watch = new_watch("mse")
    watch.see(np.abs(_outliers()))
    assert choose_range(watch, "mse", percentile=99).low == 0


def test_channel_watches() -> None:
    extents, means = ChannelExtents(2), ChannelMeans()
    for part in (np.array([[[1, -9], [2, 3]]], np.float32), np.array([[[-4, 1], [0, 0]]], np.float32)):
        extents.see(part)
    assert extents.magnitudes.tolist() == [4, 9]
    divided = extents.divided(np.array([2, 3], np.float32))
    assert (divided.low, divided.high) == (pytest.approx(-3), pytest.approx(1)), "of -4/2, -9/3, 2/2 and 3/3"
    image = np.zeros((2, 3, 4, 4), np.float32)
    image[:, 1] = 5
    means.see(image)
    means.see(np.zeros_like(image))
    assert means.values.tolist() == [0, 2.5, 0]
