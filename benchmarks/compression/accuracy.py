"""Accuracy with its uncertainty: loss against float, agreement with float, and how far both would move with other data.

Intervals are percentile bootstraps (Efron, "Bootstrap Methods", 1979) over whole photos, documents, lines or files:
the ten views of a photo are drawn together, because they are right or wrong together.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np

from edgetool.runner import Feeds

Array = np.ndarray[Any, Any]
Outputs = dict[str, Array]
Likeness = Literal["winner", "text", "cosine"]

_DRAWS = 2000
_COVERED = (2.5, 97.5)


class Scored(Protocol):
    """A metric that can be taken again with other weights of the units."""

    @property
    def units(self) -> int: ...

    def score(self, weights: Array) -> float: ...


@dataclass(frozen=True)
class Shares:
    """A mean over rows.

    Attributes:
        values: of each row.
        unit: of each row, the photo, document, line or file that it belongs to.
        units: how many there are.
    """

    values: Array
    unit: Array
    units: int

    def score(self, weights: Array) -> float:
        of_rows = weights[self.unit]
        return float(of_rows @ self.values / of_rows.sum())


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation of cosines and human scores over all pairs of documents.

    Attributes:
        cosines, scores: of each pair.
        first, second: documents of each pair; a document that was drawn twice makes no pair with itself.
        units: documents.
    """

    cosines: Array
    scores: Array
    first: Array
    second: Array
    units: int

    def score(self, weights: Array) -> float:
        of_pairs = weights[self.first] * weights[self.second]
        return float(np.cov(self.cosines, self.scores, aweights=of_pairs, ddof=0)[0, 1]) / float(
            np.sqrt(np.cov(self.cosines, aweights=of_pairs, ddof=0) * np.cov(self.scores, aweights=of_pairs, ddof=0))
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, and where 95 of 100 draws of other units put it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} .. {self.high:.4f})"


@dataclass(frozen=True)
class Task:
    """How an example judges outputs.

    Attributes:
        data: its module.
        likeness: what agreement with float means.
        grouped: whether the rows of a feed are views of one thing.
        extra: feeds without labels; agreement is then taken on these alone.
    """

    data: ModuleType
    likeness: Likeness
    grouped: bool = False
    extra: Callable[[], Sequence[Feeds]] | None = None

    def samples(self) -> tuple[list[Feeds], list[Any]]:
        pairs = list(self.data.evaluation())
        return [feeds for feeds, _ in pairs], [label for _, label in pairs]

    def scored(self, outputs: Sequence[Outputs], labels: Sequence[Any]) -> Scored:
        """The example's own metric, taken apart into what can be drawn again."""
        if self.likeness == "cosine":
            return _correlation(outputs, labels)
        metric = getattr(self.data, "metric", _top1)
        values, units = [], []
        for number, (output, label) in enumerate(zip(outputs, labels, strict=True)):
            for row, (one, wanted) in enumerate(_rows(output, label)):
                if isinstance(wanted, np.ndarray) and np.all(wanted == -1):
                    continue  # no label
                values.append(metric([one], [wanted]))
                units.append(number if self.grouped else (number, row))
        return _shares(values, units)

    def agreement(self, wanted: Sequence[Outputs], found: Sequence[Outputs]) -> Shares:
        alike = {"winner": _same_winner, "text": _same_text, "cosine": _cosine}[self.likeness]
        values, units = [], []
        for number, (these, those) in enumerate(zip(wanted, found, strict=True)):
            a, b = next(iter(these.values())), next(iter(those.values()))
            values += [alike(one, other) for one, other in zip(a, b, strict=True)]
            units += [number if self.grouped else (number, row) for row in range(len(a))]
        return _shares(values, units)


def load_data(folder: Path) -> ModuleType:
    """The module `data.py` of an example."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_data", folder / "data.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / "data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mean(scored: Scored) -> Interval:
    """A metric with its interval."""
    draws = [scored.score(weights) for weights in _draws(scored.units)]
    return _interval(scored.score(np.ones(scored.units)), draws)


def lost(floats: Scored, ours: Scored) -> Interval:
    """What ours loses; both are taken on the same draws."""
    draws = [floats.score(weights) - ours.score(weights) for weights in _draws(floats.units)]
    even = np.ones(floats.units)
    return _interval(floats.score(even) - ours.score(even), draws)


def _draws(units: int) -> Iterator[Array]:
    generator = np.random.default_rng(0)
    for _ in range(_DRAWS):
        yield generator.multinomial(units, np.full(units, 1 / units)).astype(np.float64)


def _interval(value: float, draws: Sequence[float]) -> Interval:
    low, high = np.nanpercentile(draws, _COVERED)
    return Interval(value, float(low), float(high))


def _shares(values: Sequence[float], units: Sequence[Any]) -> Shares:
    places = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    return Shares(np.array(values, np.float64), np.array([places[unit] for unit in units]), len(places))


def _correlation(outputs: Sequence[Outputs], labels: Sequence[Array]) -> Correlation:
    embeddings = np.concatenate([next(iter(output.values())) for output in outputs]).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(embeddings), k=1)
    cosines = (embeddings @ embeddings.T)[first, second]
    return Correlation(cosines, np.stack(labels)[first, second], first, second, len(embeddings))


def _rows(output: Outputs, label: Any) -> Iterator[tuple[Outputs, Any]]:
    count = len(next(iter(output.values())))
    for row in range(count):
        wanted = label[row : row + 1] if isinstance(label, np.ndarray) else label
        yield {name: values[row : row + 1] for name, values in output.items()}, wanted


def _top1(outputs: Sequence[Outputs], labels: Sequence[Array]) -> float:
    predicted = np.concatenate([next(iter(output.values())).argmax(axis=-1) for output in outputs])
    return float((predicted == np.concatenate(labels)).mean())


def _same_winner(one: Array, other: Array) -> float:
    return float(one.argmax() == other.argmax())


def _same_text(one: Array, other: Array) -> float:
    return float(_read(one) == _read(other))


def _read(scores: Array) -> list[int]:
    """Classes of a line: of each run a single one, and none of the blank, which is class 0."""
    return [int(winner) for winner, _ in groupby(scores.argmax(axis=1)) if winner]


def _cosine(one: Array, other: Array) -> float:
    a, b = (values.reshape(-1).astype(np.float64) for values in (one, other))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
