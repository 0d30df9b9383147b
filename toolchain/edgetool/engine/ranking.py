"""The best of several engines of one model: what the budgets allow, then what is proven, then speed, then size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgetool.engine.assess import Attempt, blame, footprint
from edgetool.engine.cache import Key
from edgetool.engine.standing import Choice, Moment, Reason, Standing, Status
from edgetool.errors import EdgetoolError, HostError
from edgetool.validate.budgets import OF_THE_MOMENT
from edgetool.validate.findings import Finding
from edgetool.validate.latency import AGREE_WITHIN, Latency

_BUSIER = 0.1
"""From so much of a difference in the reference's own times it is worth a remark."""

_QUANTIZED = ("int", "uint", "float8", "float4")
"""How the names of precisions begin that give up more than digits."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate that was tried, or not.

    Attributes:
        name: of its recipe or precision.
        passes: in order.
        attempt: its engine, judged.
        error: why there is no engine.
        left_out: why it was not tried.
        keys: of the steps that led to its engine.
    """

    name: str
    passes: tuple[str, ...]
    attempt: Attempt | None = None
    error: EdgetoolError | None = None
    left_out: str | None = None
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """A contender with an engine, and the figures that it is ranked by."""

    contender: Contender
    attempt: Attempt

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def digest(self) -> str:
        return self.attempt.candidate.engine.digest

    @property
    def is_quantized(self) -> bool:
        return self.attempt.candidate.engine.precision.startswith(_QUANTIZED)

    @property
    def latency(self) -> Latency | None:
        """Of the target's own device: a stand-in's says nothing about which engine is the fastest there."""
        availability = self.attempt.candidate.engine.backend.availability
        measurement = self.attempt.proof.measurement
        return None if measurement is None or (availability and availability.stand_in) else measurement.latency

    @property
    def size_then_loss(self) -> tuple[float, float, float]:
        """A microcontroller's engine is as large as the flash that it takes, not as its source."""
        size = footprint(self.attempt.candidate, "flash") or self.attempt.assessment.size
        comparison = self.attempt.proof.comparison
        score = comparison.score if comparison else None
        cosine = comparison.cosine if comparison else None
        return (size, score.drop if score else 0.0, 0.0 if cosine is None else -cosine)

    @property
    def faults(self) -> tuple[int, int]:
        """How far from sound: failures of the validation weigh more than missed budgets."""
        return len(self.attempt.assessment.failures), len(self.attempt.assessment.missed)


def rank(contenders: Sequence[Contender]) -> tuple[Contender, Choice]:
    """The one to deliver, and how all came off. At least one contender must have an engine.

    Engines that fail the validation or miss a budget are out, unless all do: then the one with the fewest faults
    stands for the failed build. Of the others, those with nothing unverified come first, if there are any. Among them
    the fastest wins. Engines whose speeds the measurement cannot tell apart count as equally fast: then the smaller
    wins, and else the more accurate one. But a quantized engine, which costs accuracy, has to pay for it: it wins over
    a float one only if it is faster beyond doubt. Where nothing could be measured the smallest wins.
    """
    ranked = {row.name: Ranked(row, row.attempt) for row in contenders if row.attempt}
    best, by = _best(list(ranked.values()))
    sound = [row for row in ranked.values() if not any(row.faults)]
    standings = tuple(_standing(row, ranked.get(row.name), best, by) for row in contenders)
    return best.contender, Choice(
        name=best.name,
        by=by,
        standings=standings,
        unproven=tuple(_open(contenders, best, by)),
        moments={name: Moment(row.attempt.proof.measurement, _remark(row, best)) for name, row in ranked.items()},
        headline=_headline(sound, best),
        undecided=any(_is_level(row, best) for row in sound),
        drifted=any(_has_drifted(row, best) for row in sound),
    )


def _best(built: list[Ranked]) -> tuple[Ranked, Reason]:
    fewest = min(row.faults for row in built)
    sound = [row for row in built if row.faults == fewest]
    proven = [row for row in sound if not row.attempt.assessment.is_unverified]
    field = proven or sound
    timed = [row for row in field if row.latency]
    best = _winner(timed) if timed else min(field, key=lambda row: row.size_then_loss)
    if any(fewest):
        return best, "fewest faults"
    if len(field) == 1:
        return best, "only one left" if len(sound) == 1 else "only one proven"
    return best, "speed" if timed else "size"


def _winner(timed: list[Ranked]) -> Ranked:
    """The best float engine, unless the best quantized one is faster than it beyond doubt."""
    floats = [row for row in timed if not row.is_quantized]
    quantized = [row for row in timed if row.is_quantized]
    if not floats or not quantized:
        return _leader(timed)
    plain, small = _leader(floats), _leader(quantized)
    return small if _is_slower(plain, small) else plain


def _leader(rows: list[Ranked]) -> Ranked:
    """The smallest of those that are not slower than the fastest."""
    first = rows[0]
    for row in rows[1:]:
        if _speed(row, first)[0] > 1:
            first = row
    return min([row for row in rows if not _is_slower(row, first)], key=lambda row: row.size_then_loss)


def _speed(row: Ranked, other: Ranked) -> tuple[float, float]:
    assert row.latency is not None
    assert other.latency is not None
    return ratio(row.latency, other.latency)


def _is_slower(row: Ranked, other: Ranked) -> bool:
    value, spread = _speed(row, other)
    return value * (1 + spread) < 1


def _is_level(row: Ranked, best: Ranked) -> bool:
    """Another engine, and the measurement cannot tell which of the two is faster."""
    if row.latency is None or best.latency is None or row.digest == best.digest:
        return False
    return not _is_slower(row, best) and not _is_slower(best, row)


def _has_drifted(row: Ranked, best: Ranked) -> bool:
    """The machine was busier for one of them: their times as they are say little about which is faster."""
    if row.latency is None or best.latency is None:
        return False
    return _drift(row.latency, best.latency) > _BUSIER


def ratio(row: Latency, other: Latency) -> tuple[float, float]:
    """How many times as fast the first is, and how far that may be off, as a share of it.

    The two were measured one after the other, and the machine may have been busier for one of them. There are two ways
    to allow for that: to compare their speedups over the reference, which took turns with each of them; or to compare
    their times, and count what the reference's own time changed in between as doubt. The way with less doubt is taken.
    What a settled measurement may be off is the least that counts as a difference.
    """
    ways = [(other.engine.p50 / row.engine.p50, row.engine.spread + other.engine.spread + _drift(row, other))]
    if row.speedup and other.speedup and row.speedup_spread is not None and other.speedup_spread is not None:
        ways.append((row.speedup / other.speedup, row.speedup_spread + other.speedup_spread))
    value, doubt = min(ways, key=lambda way: way[1])
    return value, max(doubt, AGREE_WITHIN)


def _drift(row: Latency, other: Latency) -> float:
    """How far the reference's time is off between two measurements, as a share; 0 where it was not measured."""
    if row.reference is None or other.reference is None:
        return 0.0
    times = (row.reference.p50, other.reference.p50)
    return max(times) / min(times) - 1


def _standing(row: Contender, found: Ranked | None, best: Ranked, by: Reason) -> Standing:
    if found is None:
        status: Status = "left out" if row.left_out else "refused"
        return Standing(row.name, row.passes, status, row.left_out or (row.error.message if row.error else None))
    status, reason = _verdict(found, best, by)
    comparison = found.attempt.proof.comparison
    return Standing(
        name=row.name,
        passes=row.passes,
        status=status,
        reason=reason,
        precision=found.attempt.candidate.engine.precision,
        size=found.attempt.assessment.size,
        drop=comparison.score.drop if comparison and comparison.score else None,
        cosine=comparison.cosine if comparison else None,
    )


def _verdict(row: Ranked, best: Ranked, by: Reason) -> tuple[Status, str | None]:
    """In words that stay the same when it is measured again with the same outcome."""
    if any(row.faults):
        missed = [
            f"missed {verdict.name}" if verdict.name in OF_THE_MOMENT else f"missed {verdict}"
            for verdict in row.attempt.assessment.missed
        ]
        return "rejected", "; ".join([*map(str, row.attempt.assessment.failures), *missed])
    chosen, passed_over = {
        "speed": ("no other candidate is faster", f"no faster than {best.name}"),
        "size": ("the smallest; none could be measured", f"not smaller than {best.name}"),
        "only one left": ("the only one without faults", None),
        "only one proven": ("the only one that is proven here", f"unverified here, and {best.name} is not"),
        "fewest faults": (None, None),
    }[by]
    return ("chosen", chosen) if row is best else ("passed over", passed_over)


def _remark(row: Ranked, best: Ranked) -> str | None:
    """What the figures of the moment say of a contender."""
    if any(row.faults):
        missed = [f"missed {verdict}" for verdict in row.attempt.assessment.missed]
        first, *more = [*missed, *map(str, row.attempt.assessment.failures)]
        return f"{first}; and {len(more)} more" if more else first
    if row is best or row.latency is None or best.latency is None:
        return None
    if row.digest == best.digest:
        return f"the same engine as {best.name}"
    value, spread = _speed(row, best)
    if _is_slower(row, best):
        return f"{value:.2f}x {best.name}'s speed{blame(row.attempt.proof)}"
    if _is_slower(best, row):
        return f"{value:.2f}x {best.name}'s speed, but unverified here"
    larger = " and larger" if row.attempt.assessment.size > best.attempt.assessment.size else ""
    return f"no faster than {best.name}{larger}: {value:.2f}x (±{spread:.0%})"


def _headline(sound: list[Ranked], best: Ranked) -> str | None:
    """That quantization does not pay here, where it would do otherwise."""
    quantized = [row for row in sound if row.is_quantized and row.latency]
    if best.is_quantized or best.latency is None or not quantized:
        return None
    row = max(quantized, key=lambda row: _speed(row, best)[0])
    if _is_slower(best, row):
        return None
    value, spread = _speed(row, best)
    if _is_slower(row, best):
        return f"{row.name} is slower here: {value:.2f}x {best.name}'s speed"
    return f"{row.name} is no faster here, as far as was measured: {value:.2f}x (±{spread:.0%}) {best.name}'s speed"


def _open(contenders: Sequence[Contender], best: Ranked, by: Reason) -> Iterator[Finding]:
    """What the choice does not prove."""
    for row in contenders:
        if isinstance(row.error, HostError):  # a limit of this machine says nothing about the candidate
            text = f"{row.name} could not be tried: {row.error.message}; whether it would be better is open"
            yield Finding("unproven", "candidate-not-tried", text)
    if by == "size":
        text = f"{best.name} was chosen for its size: nothing could be measured for the target here"
        yield Finding("unproven", "chosen-by-size", text)
