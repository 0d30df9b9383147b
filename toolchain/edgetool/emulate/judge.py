"""What came out on another processor, as a check of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgetool.emulate.processors import Processor
from edgetool.emulate.ways import CrossTested, Emulated, Masked, NotShown, Way
from edgetool.errors import BudgetError, DeviceError, EdgetoolError, ModelError
from edgetool.report.document import Check
from edgetool.validate.difference import Difference
from edgetool.validate.tolerance import golden_agrees

_INT8 = frozenset({"int8", "uint8"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine on one processor.

    Attributes:
        way: how it is shown.
        sweep: it is a level of the sweep, and not a processor that somebody named.
    """

    processor: Processor
    way: Way
    sweep: bool

    @property
    def id(self) -> str:
        return f"isa/{self.processor.level}" if self.sweep else f"emulation/{self.processor.name}"

    @property
    def title(self) -> str:
        if self.sweep:
            return f"instruction sets up to {self.processor.level}"
        return f"on {self.processor.name}"

    @property
    def how(self) -> str:
        """In words, with what it proves."""
        match self.way:
            case Masked(variable, value):
                masked = f"this machine's own processor with {variable}={value}"
                return f"{masked}: kernels and numerics, neither default precision nor time"
            case Emulated(_, cpu) | CrossTested(_, cpu):
                return f"{cpu} as qemu emulates it: instructions and numerics, not time"
            case NotShown(why):
                return why


def not_shown(cell: Cell, way: NotShown) -> Check:
    return Check(cell.id, cell.title, "not-run", way.why, way.fix)


def judged(cell: Cell, differences: Sequence[Difference], min_cosine: float, *, precision: str) -> Check:
    """Held to the rule of the self-test."""
    bad = [row for row in differences if not golden_agrees(row, min_cosine)]
    shown = "; ".join(map(str, bad or differences[:3]))
    if not bad:
        return Check(cell.id, cell.title, "passed", f"the golden outputs agree ({shown}); {cell.how}")
    message = f"the golden outputs do not agree ({shown}, asked for is {min_cosine:g}); {cell.how}"
    return Check(cell.id, cell.title, "failed", message, _cure(cell, precision))


def stopped(cell: Cell, error: EdgetoolError, *, precision: str) -> Check:
    """The engine gave nothing to compare: what refuses to run there fails, what did not end proves nothing."""
    reason = error.message.splitlines()[0]
    illegal = error.code == "step-crashed" and "SIGILL" in error.message
    if not illegal and not isinstance(error, DeviceError | ModelError | BudgetError):
        fix = "run edgetool validate BUNDLE on such a machine"
        return Check(cell.id, cell.title, "unverified", f"{reason}; {cell.how}", fix)
    message = f"the engine does not hold: {reason}; {cell.how}"
    return Check(cell.id, cell.title, "failed", message, _way_out(cell, error, precision))


def _way_out(cell: Cell, error: EdgetoolError, precision: str) -> str:
    if precision == "bfloat16" and not {"avx512_bf16", "amx_bf16", "bf16"} & {*cell.processor.isa}:
        return 'this processor has no bfloat16: set inference_precision = "f32" in [targets.NAME.openvino]'
    return error.hint or "use a runtime that is built for this processor, or another precision"


def _cure(cell: Cell, precision: str) -> str:
    if precision in _INT8 and not {"avx512_vnni", "avx_vnni", "asimddp"} & {*cell.processor.isa}:
        return (
            "this processor has no VNNI, where products of 8-bit weights saturate: "
            "set weight_bits = 7 in [targets.NAME.facts] and build again"
        )
    return "the runtime takes other kernels or another precision there: pin the precision, or build for this processor"
