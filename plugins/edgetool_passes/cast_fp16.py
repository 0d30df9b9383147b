"""`cast-fp16`: float16 weights and activations, float32 where float16 would be wrong.

Float16 ends at 65504 and has eleven bits. Operators that compute positions, constants out of its range, values that
grow too large on the user's data, and layers that lose too much stay float32, with casts around them; what stays, and
why, is in the facts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgetool_passes.fp16.plan import HalfPlan
    from edgetool_passes.fp16.ranges import Ranges

_HEADROOM = 0.5  # of float16's range: data that was not among the samples may be larger


class CastFp16Options(PassOptions):
    """What stays float32, and how much data to look at."""

    keep_io: bool = Field(default=True, description="Keep float32 inputs and outputs; the casts are in the model.")
    keep: tuple[str, ...] = Field(
        default=(), description="Names of nodes or operators that stay float32; in names, `*` and `?` match."
    )
    keep_most_sensitive: int = Field(
        default=0, ge=0, description="So many layers stay float32: those whose results lose most, by the samples."
    )
    min_sqnr: float | None = Field(
        default=None,
        ge=0,
        le=200,
        description="Layers whose own result has less signal over error on the samples, in dB, stay float32. Most "
        "have 60 to 75 in float16.",
    )
    samples: int = Field(
        default=16, ge=0, description="Calibration samples to check for overflow and sensitivity; 0: none."
    )
    max_opset: int | None = Field(
        default=None,
        ge=7,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads. A quantized model is raised to 19, where the scales of Q/DQ "
        "can be float16, if the target reads that; else there are casts between Q/DQ and its operator.",
    )

    @property
    def sensitivity(self) -> bool:
        """Whether layers have to be measured."""
        return self.keep_most_sensitive > 0 or self.min_sqnr is not None


class CastFp16(Pass[CastFp16Options]):
    """Half the size, and float16 arithmetic where the runtime has it."""

    Options = CastFp16Options
    revision = 2
    changes_signature = True  # only without keep_io

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, CastFp16Options) and options.sensitivity

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, CastFp16Options) and options.samples > 0

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Cast. Without calibration data nothing shows overflows, so operators that tend to stay float32.

        Raises:
            ConfigError: `calibration-missing` or `calibration-empty`, when sensitive layers are asked for.
        """
        from edgetool.graph.check import check_proto
        from edgetool.graph.signature import read_model
        from edgetool.graph.streaming import save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.fp16.form import FLOAT16
        from edgetool_passes.fp16.plan import make_plan
        from edgetool_passes.fp16.preparation import load_with_half_scales, prepare
        from edgetool_passes.fp16.rewrite import rewrite

        graph, opset = load_with_half_scales(model.path, newest=self.options.max_opset)
        shapes = output_shapes(graph)
        prepare(graph)
        ranges = self._ranges(graph, model, context)
        plan = make_plan(graph, FLOAT16, keep=self.options.keep, ranges=ranges, limit=_HEADROOM * FLOAT16.largest)
        sensitive = self._keep_sensitive(graph, plan, model, context)
        kept = plan.by_reason()
        if not plan.ports:
            return PassResult(model, changed=False, facts={"half_nodes": 0, "kept": kept})
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
                "opset": opset,
                **sensitive,
            },
        )

    def _ranges(self, graph: ir.Model, model: Model, context: PassContext) -> Ranges | None:
        from edgetool_passes.fp16.plan import probed_values
        from edgetool_passes.fp16.ranges import measure

        if context.calibration is None or not context.calibration.count or not self.options.samples:
            return None
        names, sized = probed_values(graph)
        return measure(model.path, names, sized, context, samples=self.options.samples)

    def _keep_sensitive(
        self, graph: ir.Model, plan: HalfPlan, model: Model, context: PassContext
    ) -> dict[str, JsonValue]:
        """Take layers that lose too much out of the plan; facts about what was measured."""
        from edgetool_passes.fp16.sensitivity import measure
        from edgetool_passes.quantization.calibration import samples_of

        if not self.options.sensitivity:
            return {}
        samples_of(
            context,
            model.path,
            why="the layers that lose most in float16 are found on samples",
            without="name the layers in `keep` instead of asking for the most sensitive ones",
        )
        measured = measure(graph, plan, context, samples=self.options.samples)
        limit = -1.0 if self.options.min_sqnr is None else self.options.min_sqnr
        chosen = set(measured.worst(self.options.keep_most_sensitive))
        chosen |= {name for name, decibel in measured.decibel.items() if decibel < limit}
        for node in list(plan.ports):
            name = str(node.outputs[0].name)
            if name in chosen:
                plan.keep(node, f"only {measured.decibel[name]:.0f} dB are left of its result in float16")
        worst: list[JsonValue] = [[name, round(measured.decibel[name], 1)] for name in measured.worst(10)]
        return {"sensitive_nodes": len(chosen), "least_sqnr": worst, "sensitivity_samples": measured.samples}
