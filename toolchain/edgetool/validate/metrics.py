"""Task metrics: one number for a list of outputs and their labels, higher is better."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgetool.errors import ConfigError
from edgetool.validate.samples import Array
from edgetool.validate.usercode import UserFunction, is_function_spec

MetricFunction: TypeAlias = Callable[[Sequence[Mapping[str, Array]], Sequence[object]], float]
"""(outputs, labels) -> number: one dict of outputs and one label a feed."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A named metric.

    Attributes:
        name: as the user wrote it.
        evaluate: the function; may raise ConfigError when labels and outputs do not go together.
        needs_labels: False for a user's function, which may know the truth from elsewhere.
        user: the user's function, where it is one.
    """

    name: str
    evaluate: MetricFunction
    needs_labels: bool
    user: UserFunction | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Source files that the metric depends on: the user's module and what it imported so far."""
        return self.user.files if self.user else ()


def open_metric(spec: str, *, root: Path) -> Metric:
    """A built-in metric by name, or the user's `module:function`. Raises ConfigError."""
    built_in = _built_in()
    if spec in built_in:
        return Metric(spec, built_in[spec], needs_labels=True)
    if is_function_spec(spec):
        function = UserFunction(spec, root=root)
        return Metric(spec, _of_user(function), needs_labels=False, user=function)
    close = difflib.get_close_matches(spec, built_in, n=1)
    raise ConfigError(
        "unknown-metric",
        f"there is no metric {spec!r}",
        where="[data] metric",
        hint=f"did you mean {close[0]!r}?" if close else f"choose {', '.join(built_in)}, or write module:function",
    )


def top1(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
    """Share of rows of the first output whose largest entry on the last axis is the label's class."""
    return _top(1, outputs, labels)


def top5(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
    """Share of rows of the first output whose label is among the five largest entries of the last axis."""
    return _top(5, outputs, labels)


def pearson(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
    """Pearson's correlation between all numbers of the first output and all numbers of the labels."""
    import numpy as np

    predicted, true = _paired(outputs, labels)
    if predicted.size < 2 or predicted.std() == 0 or true.std() == 0:
        raise ConfigError(
            "bad-metric-data",
            "a correlation needs at least two numbers that differ, among the outputs and among the labels",
            where="[data] metric",
            hint="evaluate on more samples",
        )
    return float(np.corrcoef(predicted, true)[0, 1])


def neg_mae(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
    """Minus the mean absolute error between the first output and the labels."""
    import numpy as np

    predicted, true = _paired(outputs, labels)
    return -float(np.abs(predicted - true).mean())


def _built_in() -> dict[str, MetricFunction]:
    return {"top1": top1, "top5": top5, "pearson": pearson, "neg_mae": neg_mae}


def _first(row: Mapping[str, Array]) -> Array:
    return next(iter(row.values()))


def _top(k: int, outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
    import numpy as np

    hits = total = 0
    for index, (row, label) in enumerate(zip(outputs, labels, strict=True)):
        scores = np.asarray(_first(row))
        scores = scores.reshape(-1, scores.shape[-1]) if scores.ndim else scores.reshape(1, 1)
        classes = np.asarray(label).reshape(-1)
        if len(classes) != len(scores) or classes.dtype.kind not in "iuf":
            raise ConfigError(
                "bad-metric-data",
                f"the label has {classes.size} entries of type {classes.dtype}, the output {len(scores)} rows",
                where=f"[data] evaluation, sample {index}",
                hint="give one class number for each row of the first output",
            )
        if classes.max(initial=0) >= scores.shape[1] or classes.min(initial=0) < 0:
            raise ConfigError(
                "bad-metric-data",
                f"the label says class {classes.max()}, the output has {scores.shape[1]} classes",
                where=f"[data] evaluation, sample {index}",
                hint="count classes from 0, as the network does",
            )
        best = _largest(k, scores)
        hits += int((best == classes[:, None]).any(axis=1).sum())
        total += len(classes)
    return hits / total


def _largest(k: int, scores: Array) -> Array:
    """Columns of the k largest entries of each row, in any order."""
    import numpy as np

    if k == 1:
        best: Array = np.argmax(scores, axis=1, keepdims=True)
        return best
    k = min(k, scores.shape[1])
    return np.argpartition(-scores.astype(np.float32), k - 1, axis=1)[:, :k]


def _paired(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> tuple[Array, Array]:
    import numpy as np

    predicted = np.concatenate([np.asarray(_first(row), dtype=np.float64).reshape(-1) for row in outputs])
    true = np.concatenate([np.asarray(label, dtype=np.float64).reshape(-1) for label in labels])
    if predicted.size != true.size:
        raise ConfigError(
            "bad-metric-data",
            f"the outputs hold {predicted.size} numbers, the labels {true.size}",
            where="[data] metric",
            hint="give one number for each entry of the first output",
        )
    return predicted, true


def _of_user(function: UserFunction) -> MetricFunction:
    def evaluate(outputs: Sequence[Mapping[str, Array]], labels: Sequence[object]) -> float:
        value = function.call(list(outputs), list(labels))
        try:
            number = float(value)  # type: ignore[arg-type] # whatever the user returned
        except (TypeError, ValueError) as error:
            raise ConfigError(
                "bad-metric",
                f"{function.spec} returned {type(value).__name__}, not a number",
                where="[data] metric",
                hint="return one float, higher is better",
            ) from error
        if number != number:  # NaN
            raise ConfigError(
                "bad-metric",
                f"{function.spec} returned NaN",
                where="[data] metric",
                hint="look for a division by zero, or for labels that are missing",
            )
        return number

    return evaluate
