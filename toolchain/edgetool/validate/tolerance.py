"""How much an engine may differ from the reference when the user declared no accuracy budget."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.validate.difference import Difference

NEGLIGIBLE = 1e-6
"""Absolute differences up to this are noise whatever the ratio to an output that is itself all but zero."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """An output is close enough when one of the stated limits holds, or nothing but noise differs.

    Attributes:
        min_sqnr_db: smallest signal to noise ratio.
        min_cosine: smallest cosine.
        max_gain_error: how far the lengths may be apart for the cosine to count.
        min_equal: for integers, truth values and strings: smallest share of equal elements.
    """

    min_sqnr_db: float | None
    min_cosine: float | None
    max_gain_error: float
    min_equal: float

    def accepts(self, difference: Difference) -> bool:
        if difference.integral:
            return difference.equal >= self.min_equal
        return (
            difference.max_abs <= NEGLIGIBLE
            or (self.min_sqnr_db is not None and difference.sqnr_db >= self.min_sqnr_db)
            or self._points_alike(difference)
        )

    def _points_alike(self, difference: Difference) -> bool:
        if self.min_cosine is None or abs(difference.gain - 1) > self.max_gain_error:
            return False
        return difference.cosine >= self.min_cosine

    def __str__(self) -> str:
        parts = []
        if self.min_sqnr_db is not None:
            parts.append(f"SQNR >= {self.min_sqnr_db:g} dB")
        if self.min_cosine is not None:
            parts.append(f"cosine >= {self.min_cosine:g} at a gain of 1 ± {self.max_gain_error:g}")
        return " or ".join(parts)


SAME = Tolerance(min_sqnr_db=60.0, min_cosine=0.99999, max_gain_error=0.005, min_equal=0.99)
"""Float arithmetic in another order, or with half the bits."""


def golden_cosine(precision: str) -> float:
    """What outputs of an engine of this precision reach at least against the float reference's golden ones."""
    return {"float32": 0.9999, "float16": 0.999}.get(precision, 0.99)


def golden_agrees(found: Difference, min_cosine: float) -> bool:
    """The rule of the self-test, the same here, in the C program of a bundle and in the script of a kit.

    What is NaN or infinite on one side must be the same on the other. Of integers and truth values, 99 % must be
    equal; 95 % where `min_cosine` is below 0.999. Floats must not differ by more than 1e-6 anywhere, or else reach
    `min_cosine` with a length that is within 10 % of the golden one.
    """
    if found.strays:
        return False
    if found.integral:
        return found.equal >= (0.99 if min_cosine >= 0.999 else 0.95)
    return found.max_abs <= NEGLIGIBLE or (found.cosine >= min_cosine and abs(found.gain - 1) < 0.1)


def tolerance_of(precision: str) -> Tolerance:
    """What a sound engine of this precision keeps, measured on networks of several kinds.

    float16 has its cosine beside the SQNR because long sums in half precision sit a little below 60 dB. Anything
    that is not a known float counts as quantized.
    """
    if precision in ("float32", "float16"):
        return SAME
    if precision == "bfloat16":
        return Tolerance(min_sqnr_db=20.0, min_cosine=None, max_gain_error=0.0, min_equal=0.98)
    return Tolerance(min_sqnr_db=None, min_cosine=0.99, max_gain_error=0.1, min_equal=0.95)
