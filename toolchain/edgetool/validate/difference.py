"""How far an engine's output is from the reference's, added up over any number of feeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgetool.artifact import JsonValue
from edgetool.validate.samples import Array

TOP_K = 5

CHUNK = 1 << 20
"""Elements that are widened to float64 at a time: large outputs need not fit into memory eight-fold."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One output, over all feeds of a group. Sums run over all elements of all feeds, in float64.

    Attributes:
        output: its name.
        max_abs: largest absolute difference.
        relative: `max_abs` over the largest absolute value of the reference.
        cosine: of the two outputs, each taken as one long vector.
        cosine_worst: smallest cosine of a single feed.
        gain: length of the engine's vector over the reference's: what a cosine is blind to.
        sqnr_db: 10 log10 of the reference's energy over the error's; infinite when nothing differs.
        top1: share of rows (all axes but the last) with the same largest entry; None where there are no scores.
        top5: share of rows whose largest entry in the reference is among the engine's five largest.
        equal: share of elements that are equal, bit for bit or both NaN.
        integral: the output holds integers, truth values or strings, for which `equal` is what counts.
        strays: elements that are NaN or infinite on one side, and not the same on the other.
    """

    output: str
    max_abs: float
    relative: float
    cosine: float
    cosine_worst: float
    gain: float
    sqnr_db: float
    top1: float | None
    top5: float | None
    equal: float
    integral: bool
    strays: int = 0

    def __str__(self) -> str:
        if self.strays:
            return f"{self.output}: {self.strays} values are NaN or infinite on one side only"
        if self.integral:
            return f"{self.output}: {self.equal:.2%} of the values are equal"
        return f"{self.output}: cosine {self.cosine:.6f}, gain {self.gain:.4f}, largest error {self.max_abs:.3g}"

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "output": self.output,
            "max_abs": rounded(self.max_abs),
            "relative": rounded(self.relative),
            "cosine": rounded(self.cosine),
            "cosine_worst": rounded(self.cosine_worst),
            "gain": rounded(self.gain),
            "sqnr_db": rounded(self.sqnr_db),
            "top1": rounded(self.top1),
            "top5": rounded(self.top5),
            "equal": rounded(self.equal),
            "integral": self.integral,
        }


def rounded(value: float | None) -> float | None:
    """Six significant digits, so that reports are equal byte for byte; None for what JSON cannot say."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


@dataclass(slots=True)
class _Energies:
    """Sums of squares of the reference, the engine and the error, and the product of the first two."""

    reference: float = 0.0
    engine: float = 0.0
    error: float = 0.0
    dot: float = 0.0

    def add(self, other: _Energies) -> None:
        self.reference += other.reference
        self.engine += other.engine
        self.error += other.error
        self.dot += other.dot

    @property
    def cosine(self) -> float:
        if self.reference == 0 and self.engine == 0:
            return 1.0
        scale = math.sqrt(self.reference) * math.sqrt(self.engine)
        return max(-1.0, min(1.0, self.dot / scale)) if scale else 0.0

    @property
    def gain(self) -> float:
        return math.sqrt(_ratio(self.engine, self.reference)) if self.engine or self.reference else 1.0


class DifferenceSum:
    """Takes pairs of equally shaped arrays of one output, then sums up."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._all = _Energies()
        self._max_abs = self._max_reference = 0.0
        self._cosine_worst = 1.0
        self._elements = self._equal = self._strays = 0
        self._rows = self._top1 = self._top5 = 0
        self._integral = False

    def add(self, reference: Array, engine: Array) -> None:
        """Elements that are not finite on either side count for `equal` and `strays` only."""
        self._elements += reference.size
        if reference.dtype == object or reference.dtype.kind in "US":
            self._integral = True
            self._equal += int((reference == engine).sum())
            return
        self._integral = reference.dtype.kind not in "fV"
        ranked = not self._integral and reference.ndim >= 2 and reference.shape[-1] >= 2
        width = reference.shape[-1] if ranked else 1
        rows = max(1, CHUNK // width)
        reference, engine = reference.reshape(-1, width), engine.reshape(-1, width)
        feed = _Energies()
        for start in range(0, len(reference), rows):
            self._add_rows(reference[start : start + rows], engine[start : start + rows], feed, ranked=ranked)
        self._all.add(feed)
        self._cosine_worst = min(self._cosine_worst, feed.cosine)

    def _add_rows(self, reference: Array, engine: Array, feed: _Energies, *, ranked: bool) -> None:
        import numpy as np

        # Before they are widened: integers beyond 2^53 are not what they were in float64.
        same = reference == engine if self._integral else None
        reference, engine = reference.astype(np.float64), engine.astype(np.float64)
        if same is None:
            same = (reference == engine) | (np.isnan(reference) & np.isnan(engine))
        self._equal += int(same.sum())
        if ranked:
            self._count_tops(reference, engine)
        finite = np.isfinite(reference) & np.isfinite(engine)
        self._strays += int((~finite & ~same).sum())
        reference, engine = reference[finite], engine[finite]
        if not reference.size:
            return
        error = engine - reference
        feed.add(
            _Energies(
                float(reference @ reference), float(engine @ engine), float(error @ error), float(reference @ engine)
            )
        )
        self._max_abs = max(self._max_abs, float(np.abs(error).max()))
        self._max_reference = max(self._max_reference, float(np.abs(reference).max()))

    def include(self, other: DifferenceSum) -> None:
        """Add what another sum of the same output was given."""
        self._all.add(other._all)
        self._max_abs = max(self._max_abs, other._max_abs)
        self._max_reference = max(self._max_reference, other._max_reference)
        self._cosine_worst = min(self._cosine_worst, other._cosine_worst)
        self._elements += other._elements
        self._equal += other._equal
        self._strays += other._strays
        self._rows += other._rows
        self._top1 += other._top1
        self._top5 += other._top5
        self._integral = self._integral or other._integral

    def result(self) -> Difference:
        rows = self._rows
        return Difference(
            output=self._output,
            max_abs=self._max_abs,
            relative=_ratio(self._max_abs, self._max_reference),
            cosine=self._all.cosine,
            cosine_worst=self._cosine_worst,
            gain=self._all.gain,
            sqnr_db=_decibel(self._all.reference, self._all.error),
            top1=self._top1 / rows if rows else None,
            top5=self._top5 / rows if rows else None,
            equal=self._equal / self._elements if self._elements else 1.0,
            integral=self._integral,
            strays=self._strays,
        )

    def _count_tops(self, reference: Array, engine: Array) -> None:
        import numpy as np

        best = reference.argmax(axis=1)
        self._rows += len(best)
        self._top1 += int((engine.argmax(axis=1) == best).sum())
        k = min(TOP_K, engine.shape[1])
        five = np.argpartition(-engine, k - 1, axis=1)[:, :k]
        self._top5 += int((five == best[:, None]).any(axis=1).sum())


def difference(output: str, reference: Array, engine: Array) -> Difference:
    """Of one pair of arrays."""
    total = DifferenceSum(output)
    total.add(reference, engine)
    return total.result()


def _ratio(value: float, base: float) -> float:
    if value == 0:
        return 0.0
    return value / base if base else math.inf


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
