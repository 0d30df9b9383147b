"""`cast-fp16`: float16 weights and activations, float32 where float16 would be wrong.

Float16 ends at 65504 and has eleven bits. Operators that compute positions, constants out of its range, and values that
grow too large on the user's data stay float32, with casts around them; what stays, and why, is in the facts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgetool_passes.fp16.plan import HalfPlan
    from edgetool_passes.fp16.ranges import Ranges

_HEADROOM = 0.5  # of float16's range: data that was not among the samples may be larger
_LARGEST = 65504.0


class CastFp16Options(PassOptions):
    """What stays float32, and how much data to look at."""

    keep_io: bool = Field(default=True, description="Keep float32 inputs and outputs; the casts are in the model.")
    keep: tuple[str, ...] = Field(default=(), description="Names of nodes or operators that stay float32.")
    samples: int = Field(default=16, ge=0, description="Calibration samples to check for overflow; 0: none.")


class CastFp16(Pass[CastFp16Options]):
    """Half the size, and float16 arithmetic where the runtime has it."""

    Options = CastFp16Options
    revision = 1
    changes_signature = True  # only without keep_io

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, CastFp16Options) and options.samples > 0

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Cast. Without calibration data nothing shows overflows, so operators that tend to stay float32."""
        from edgetool.graph.check import check_proto
        from edgetool.graph.signature import read_model
        from edgetool.graph.streaming import load_ir, save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.fp16.plan import make_plan
        from edgetool_passes.fp16.rewrite import rewrite

        graph = load_ir(model.path)
        shapes = output_shapes(graph)
        _prepare(graph)
        ranges = self._ranges(graph, model, context)
        plan = make_plan(graph, keep=self.options.keep, ranges=ranges, limit=_HEADROOM * _LARGEST)
        if not plan.ports:
            return PassResult(model, changed=False, facts={"half_nodes": 0, "kept": _by_reason(plan)})
        kept = _by_reason(plan)
        done = rewrite(graph, plan, keep_io=self.options.keep_io)
        declare_output_shapes(graph, shapes)
        target = workdir / "model.onnx"
        save_ir(graph, target)
        check_proto(target, where=str(model.path))
        if ranges is None:
            context.note("float16 overflow was not checked: there is no calibration data")
        elif overflowing := sorted(reason for reason in kept if "calibration data" in reason):
            context.note(f"values too large for float16 stay float32: {'; '.join(overflowing[:3])}")
        if done.clamped:
            context.note(f"constants moved into float16's range (mask fills): {', '.join(done.clamped[:5])}")
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                "half_nodes": len(plan.ports),
                "kept_nodes": len(plan.kept),
                "kept": kept,
                "casts": done.casts,
                "clamped": list(done.clamped),
                "overflow_checked_on": ranges.samples if ranges is not None else 0,
            },
        )

    def _ranges(self, graph: ir.Model, model: Model, context: PassContext) -> Ranges | None:
        from edgetool_passes.fp16.plan import probed_values
        from edgetool_passes.fp16.ranges import measure

        if context.calibration is None or not context.calibration.count or not self.options.samples:
            return None
        names, sized = probed_values(graph)
        return measure(model.path, names, sized, context, samples=self.options.samples)


def _prepare(graph: ir.Model) -> None:
    """Inline functions, make constants initializers, and find out the dtype of every value."""
    import onnx_ir.passes.common as tidy

    from edgetool.graph.fold import infer_shapes
    from edgetool_passes.fp16.types import infer_dtypes

    tidy.InlinePass()(graph)
    tidy.RemoveInitializersFromInputsPass()(graph)
    tidy.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    infer_shapes(graph)
    infer_dtypes(graph)


def _by_reason(plan: HalfPlan) -> dict[str, JsonValue]:
    """Names of the nodes that stay float32, by reason."""
    reasons: dict[str, list[JsonValue]] = {}
    for index, (node, reason) in enumerate(plan.kept.items()):
        reasons.setdefault(reason, []).append(node.name or f"{node.op_type}#{index}")
    return {reason: list(names) for reason, names in sorted(reasons.items())}
