"""What came out on another processor, as a check of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgetool.emulate.agreement import Agreement, Feeding, Ran
from edgetool.emulate.processors import Processor
from edgetool.emulate.ways import CrossTested, Emulated, Masked, NotShown, Way
from edgetool.errors import BudgetError, DeviceError, EdgetoolError, ModelError
from edgetool.report.document import Check

_INT8 = frozenset({"int8", "uint8"})
_NEVER_SATURATES = 7


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
    def name(self) -> str:
        return str(self.processor.level) if self.sweep else self.processor.name

    @property
    def id(self) -> str:
        return f"isa/{self.name}" if self.sweep else f"emulation/{self.name}"

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


def judged(cell: Cell, ran: Ran, feeding: Feeding, *, precision: str, weight_bits: object = None) -> Check:
    """What came through in time; every row was held to the rule of the self-test already.

    Args:
        weight_bits: what the target's facts say.
    """
    figures = _figures(ran, feeding)
    bad = [row for row in ran.rows if not row.agrees]
    if not bad:
        message = f"{_all(ran, feeding)} agree ({_worst(ran.rows)}); {cell.how}"
        return Check(cell.id, cell.title, "passed", message, figures=figures)
    golden = [row for row in bad if row.case < feeding.golden]
    which = "the golden outputs"
    if not golden:
        which += f" agree, those of {len({row.case for row in bad})} of {ran.done - feeding.golden} evaluation samples"
    message = f"{which} do not agree ({_worst(golden or bad)}, asked for is {feeding.min_cosine:g}); {cell.how}"
    return Check(cell.id, cell.title, "failed", message, _cure(cell, precision, weight_bits), figures=figures)


def _all(ran: Ran, feeding: Feeding) -> str:
    if not feeding.samples:
        return "the golden outputs"
    done = ran.done - feeding.golden
    if done == feeding.samples:
        return f"the golden outputs and those of {done} evaluation samples"
    if not done:
        return f"the golden outputs (time allowed none of {feeding.samples} evaluation samples)"
    return f"the golden outputs and those of {done} of {feeding.samples} evaluation samples, all that time allowed,"


def _worst(rows: Sequence[Agreement]) -> str:
    """Of each output, the first three of them."""
    worst: dict[str, Agreement] = {}
    for row in rows:
        if row.output not in worst or (row.agrees, -row.error) < (worst[row.output].agrees, -worst[row.output].error):
            worst[row.output] = row
    return "; ".join(map(str, list(worst.values())[:3]))


def _figures(ran: Ran, feeding: Feeding) -> dict[str, float]:
    cosines = [row.cosine for row in ran.rows if row.cosine is not None]
    errors = [row.max_abs for row in ran.rows if row.max_abs is not None]
    return {
        "golden": feeding.golden,
        "samples": ran.done - feeding.golden,
        "seconds": ran.seconds,
        **({"cosine": min(cosines)} if cosines else {}),
        **({"max_abs": max(errors)} if errors else {}),
    }


def stopped(cell: Cell, error: EdgetoolError, *, precision: str) -> Check:
    """The engine gave nothing to compare: what refuses to run there fails, what did not end proves nothing."""
    reason = error.message.splitlines()[0]
    if error.code == "cross-compiler-failed":
        return Check(cell.id, cell.title, "not-run", reason, error.hint)
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


def _cure(cell: Cell, precision: str, weight_bits: object) -> str:
    if precision in _INT8 and weight_bits != _NEVER_SATURATES and _saturates(cell.processor):
        return (
            "this processor has no VNNI, where products of 8-bit weights saturate: "
            "set weight_bits = 7 in [targets.NAME.facts] and build again"
        )
    if precision in _INT8:
        return (
            "its kernels round otherwise, and this int8 network is sensitive to that: "
            "quantize less of it (edgetool blame names the layers), and measure the accuracy on such a machine"
        )
    return "the runtime takes other kernels or another precision there: pin the precision, or build for this processor"


def _saturates(processor: Processor) -> bool:
    """Whether two products of 8 bits are added in 16; ARM's kernels widen them before."""
    return processor.arch == "x86_64" and not {"avx512_vnni", "avx_vnni"} & {*processor.isa}
