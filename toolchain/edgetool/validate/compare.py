"""Engine against reference: on the user's samples, at the ends of the declared ranges, and twice on the same feed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edgetool.config.schema import BudgetTable
from edgetool.errors import ConfigError, ModelError
from edgetool.signature import Signature
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.data import Dataset
from edgetool.validate.difference import Difference, DifferenceSum
from edgetool.validate.findings import Finding
from edgetool.validate.metrics import Metric
from edgetool.validate.outputs import KeptOutputs, kept_outputs
from edgetool.validate.pair import Pair
from edgetool.validate.shapes import trial_feeds
from edgetool.validate.tolerance import Tolerance, tolerance_of

if TYPE_CHECKING:
    from edgetool.runner import Feeds, Runner

STRETCH_MODELS = 8
"""How many of the user's samples are stretched to other shapes."""

SLACK = 0.15
"""What a stretched sample's cosine may fall below the worst of the samples as they are."""

GAIN_SLACK = 0.25
"""How far a stretched sample's gain may be from that of the samples as they are."""

_ACCURACY_KEYS = ("max_drop", "min_metric", "min_cosine", "min_sqnr_db", "min_agreement", "max_abs")


def compare(
    reference: Runner,
    engine: Runner,
    *,
    signature: Signature,
    precision: str,
    data: Dataset | None = None,
    metric: Metric | None = None,
    budget: BudgetTable | None = None,
    seeds: int = 2,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Comparison:
    """Run both on the same feeds and judge the differences.

    On the user's samples an engine is judged by the accuracy budgets where any is declared (elsewhere, by
    `budgets.judge`), and by `tolerance_of(precision)` where none is. On stretched and random feeds, a float32
    or float16 engine is held to the same tolerance; one that is meant to differ is only asked not to fall far
    below what it keeps on real samples, and random feeds prove nothing about its numbers.

    Args:
        reference: the float model.
        engine: what was built.
        signature: what the engine promises: the shapes and dtypes it must take and give.
        precision: the engine's precision.
        data: the user's evaluation samples.
        metric: the task metric, computed for both.
        budget: which accuracy budgets are declared.
        seeds: random or stretched feeds at the shape to tune for.
        progress: told after each feed.

    Raises:
        ModelError: the reference itself fails on one of the user's samples.
        ConfigError: labels do not suit the metric.
    """
    declared = budget is not None and any(getattr(budget, key) is not None for key in _ACCURACY_KEYS)
    pair = Pair(reference, engine)
    trials: list[Trial] = []
    real: Trial | None = None
    score: Score | None = None
    models: list[Feeds] = []
    if data is None:
        message = "nothing was compared on real data: there are no evaluation samples"
        pair.findings.append(Finding("unproven", "no-real-data", message, "[data] evaluation"))
    else:
        real, score = _on_samples(pair, data, metric, progress)
        models = list(itertools.islice(data, STRETCH_MODELS))
        trials.append(real)
        if not declared:
            pair.findings += _drifted(real, tolerance_of(precision), precision)
    repeat = 0.0
    if pair.sound:
        trials += _at_shapes(pair, models, signature, precision, real, seeds=seeds)
        repeat = pair.repeat_difference(models[0] if models else None)
    return Comparison(
        precision=precision,
        trials=tuple(trials),
        score=score,
        repeat_difference=repeat,
        samples=None if data is None else (data.count, data.digest),
        findings=tuple(pair.findings),
    )


def _on_samples(
    pair: Pair, data: Dataset, metric: Metric | None, progress: Callable[[int, int, str], None]
) -> tuple[Trial, Score | None]:
    sums: dict[str, DifferenceSum] = {}
    labels: list[object] = []
    done = 0
    score = None
    with ExitStack() as stack:
        kept: tuple[KeptOutputs, KeptOutputs] | None = None
        if metric is not None:
            check_labels(metric, data)
            kept = stack.enter_context(kept_outputs()), stack.enter_context(kept_outputs())
        for sample in data.samples():
            expected = pair.run_reference(sample.feeds, sample.origin)
            found = pair.compare(sample.feeds, expected, sums, group="evaluation", where=sample.origin, values=True)
            if found is None or not pair.sound:
                break
            done += 1
            progress(done, data.count, "evaluation samples")
            if kept is not None:
                labels.append(sample.label)
                kept[0].append(expected)
                kept[1].append(found)
        if kept is not None and metric is not None and done == data.count:
            score = Score(metric.name, metric.evaluate(kept[0], labels), metric.evaluate(kept[1], labels))
    return Trial("evaluation", "as given", done, tuple(total.result() for total in sums.values())), score


def check_labels(metric: Metric, data: Dataset) -> None:
    """Raise ConfigError where the metric needs labels that the samples lack."""
    if metric.needs_labels and not data.labelled:
        raise ConfigError(
            "metric-needs-labels",
            f"the metric {metric.name!r} needs a label for every evaluation sample",
            where=f"[data] evaluation = {data.spec!r}",
            hint="store 'label' in the npz files, number files or sub-folders by class, or yield (feeds, label) pairs",
        )


def _at_shapes(
    pair: Pair, models: Sequence[Feeds], signature: Signature, precision: str, real: Trial | None, *, seeds: int
) -> Iterator[Trial]:
    exact = precision in ("float32", "float16")
    for shape, origin, seed, feeds in trial_feeds(models, signature, seeds=seeds):
        where = f"{origin} feed at {shape}"
        try:
            expected = pair.run_reference(feeds, where)
        except (ConfigError, ModelError) as error:
            message = f"not proven at this shape: {error.message}"
            pair.findings.append(Finding("unproven", "shape-not-proven", message, where))
            continue
        sums: dict[str, DifferenceSum] = {}
        judged = origin == "stretched" or precision == "float32"
        if pair.compare(feeds, expected, sums, group=where, where=where, values=judged) is None:
            continue
        trial = Trial(origin, f"{shape}, seed {seed}", 1, tuple(total.result() for total in sums.values()))
        if judged and exact:
            pair.findings += _drifted(trial, tolerance_of(precision), precision)
        elif judged and real is not None:
            pair.findings += _fallen(trial, real)
        yield trial


def _drifted(trial: Trial, tolerance: Tolerance, precision: str) -> Iterator[Finding]:
    for found in trial.differences:
        if not tolerance.accepts(found):
            yield Finding(
                "failure",
                "drifted",
                f"{_numbers(found)}; {precision} wants {tolerance}",
                f"{found.output} on {trial.origin} feeds, {trial.shape}",
            )


def _fallen(trial: Trial, real: Trial) -> Iterator[Finding]:
    """Outputs that are far worse at this shape than on the samples as they are."""
    usual = {found.output: found for found in real.differences}
    for found in trial.differences:
        as_given = usual.get(found.output)
        if as_given is None or found.integral:
            continue
        if found.cosine < as_given.cosine_worst - SLACK or abs(found.gain - as_given.gain) > GAIN_SLACK:
            yield Finding(
                "failure",
                "drifted",
                f"{_numbers(found)}; the samples as they are keep {_numbers(as_given)}",
                f"{found.output} on {trial.origin} feeds, {trial.shape}",
            )


def _numbers(found: Difference) -> str:
    if found.integral:
        return f"{found.equal:.2%} of the values are equal"
    vectors = f"cosine {found.cosine:.6g}, gain {found.gain:.4g}"
    return f"{vectors}, SQNR {found.sqnr_db:.1f} dB, largest error {found.max_abs:.3g}"
