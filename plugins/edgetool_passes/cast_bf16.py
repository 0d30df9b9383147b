"""`cast-bf16`: bfloat16 weights and activations; what bfloat16 would spoil stays float32.

Bfloat16 reaches as far as float32 and has eight bits. Nothing overflows, so that no data is needed; operators that
compute positions stay float32, with casts around them, and so do layers that the user names.
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

_OPSET = 22
"""The first opset in which convolutions, pools and recurrent layers take bfloat16."""


class CastBf16Options(PassOptions):
    """What stays float32."""

    keep_io: bool = Field(default=True, description="Keep float32 inputs and outputs; the casts are in the model.")
    keep: tuple[str, ...] = Field(
        default=(), description="Names of nodes or operators that stay float32; in names, `*` and `?` match."
    )
    activations: bool = Field(
        default=True,
        description="Compute in bfloat16. False only stores weights in it: half the size on every runtime, which "
        "computes in float32.",
    )
    max_opset: int | None = Field(
        default=None,
        ge=7,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads. Convolutions, pools and recurrent layers take bfloat16 since "
        "22; below, they stay float32.",
    )


class CastBf16(Pass[CastBf16Options]):
    """Half the size and float32's range, where the runtime has the arithmetic."""

    Options = CastBf16Options
    revision = 1
    changes_signature = True  # only without keep_io

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Cast; the opset is raised to 22 where an operator of the network needs it and the target reads it."""
        from edgetool.graph.check import check_proto
        from edgetool.graph.signature import read_model
        from edgetool.graph.streaming import save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.fp16.preparation import prepare

        graph, opset = self._load(model.path)
        shapes = output_shapes(graph)
        prepare(graph)
        facts = self._compute(graph, context) if self.options.activations else self._store(graph)
        if facts is None:
            return PassResult(model, changed=False, facts={"half_nodes": 0})
        declare_output_shapes(graph, shapes)
        target = workdir / "model.onnx"
        save_ir(graph, target)
        check_proto(target, where=str(model.path))
        return PassResult(read_model(target, model.signature.dims), changed=True, facts={**facts, "opset": opset})

    def _load(self, path: Path) -> tuple[ir.Model, dict[str, JsonValue]]:
        from edgetool.graph.load import load
        from edgetool_passes.fp16.form import BFLOAT16
        from edgetool_passes.fp16.preparation import raised
        from edgetool_passes.fp16.types import gains_form

        proto = load(path, weights=False)
        wanted = 13  # the first with bfloat16 at all
        if self.options.activations and gains_form(proto, BFLOAT16, opset=_OPSET):
            wanted = _OPSET
        return raised(proto, path, opset=wanted, newest=self.options.max_opset)

    def _compute(self, graph: ir.Model, context: PassContext) -> dict[str, JsonValue] | None:
        """Carry the plan out; facts, or None where nothing can be cast."""
        from edgetool_passes.fp16.form import BFLOAT16
        from edgetool_passes.fp16.plan import make_plan
        from edgetool_passes.fp16.rewrite import rewrite

        plan = make_plan(graph, BFLOAT16, keep=self.options.keep)
        if not plan.ports:
            return None
        kept = plan.by_reason()
        done = rewrite(graph, plan, keep_io=self.options.keep_io)
        newest = self.options.max_opset
        if newest is not None and newest < _OPSET and any("bfloat16 form" in reason for reason in kept):
            context.note(f"operators without a bfloat16 form in opset {newest} stay float32; {_OPSET} has more")
        return {"half_nodes": len(plan.ports), "kept_nodes": len(plan.kept), "kept": kept, "casts": done.casts}

    def _store(self, graph: ir.Model) -> dict[str, JsonValue] | None:
        """Store the weights in bfloat16, each with a Cast behind it; facts, or None without weights."""
        from edgetool_passes.fp16.form import BFLOAT16
        from edgetool_passes.fp16.storage import store_weights

        stored = store_weights(graph, BFLOAT16, keep=self.options.keep)
        return {"half_nodes": 0, "stored_weights": stored} if stored else None
