"""`fuse`: operators that were spelled out in many small ones become one again.

ONNX has LayerNormalization from opset 17 on, Gelu from 20 and RMSNormalization from 23; models of older exporters
hold seven operators in place of each. Only operators of ONNX itself are used, so that every runtime can follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.errors import ModelError
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact

if TYPE_CHECKING:
    import onnx_ir as ir

Operator: TypeAlias = Literal["LayerNormalization", "Gelu", "RMSNormalization"]

_NEEDS: dict[Operator, int] = {"LayerNormalization": 18, "Gelu": 20, "RMSNormalization": 23}
"""Opset in which each is looked for; LayerNormalization came with 17, axes of reductions as inputs with 18."""


class FuseOptions(PassOptions):
    """Which operators are wanted, and how far the opset may be raised for them."""

    operators: tuple[Operator, ...] = Field(
        default=("LayerNormalization", "Gelu"),
        description="What to look for. RMSNormalization needs opset 23, which few runtimes read.",
    )
    max_opset: int | None = Field(
        default=None,
        ge=9,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads; the model is raised no further, whatever could be fused then.",
    )


class Fuse(Pass[FuseOptions]):
    """The same network in fewer and larger operators."""

    Options = FuseOptions
    revision = 1

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Fuse, one operator after the other, raising the opset only where that fuses anything."""
        from edgetool.graph import load, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.opset import opset_of
        from edgetool.graph.streaming import load_ir, save_ir

        opset = before = opset_of(load(model.path, weights=False))
        path = model.path
        fused: dict[str, JsonValue] = {}
        left: dict[str, JsonValue] = {}
        for operator in sorted(set(self.options.operators), key=lambda name: _NEEDS[name]):
            needed = max(_NEEDS[operator], opset)
            if needed > (self.options.max_opset or needed):
                left[operator] = f"it needs opset {needed}, and the target reads {self.options.max_opset}"
                continue
            try:
                raised = _raised(path, needed, workdir / f"opset-{needed}.onnx", where=str(model.path))
            except ModelError as error:
                left[operator] = error.message
                continue
            graph = load_ir(raised)
            if count := _fuse(graph, operator):
                path, opset = workdir / f"{operator}.onnx", needed
                save_ir(graph, path)
                fused[operator] = count
        facts: dict[str, JsonValue] = {"fused": fused, "left": left, "opset": {"from": before, "to": opset}}
        if not fused:
            return PassResult(model, changed=False, facts=facts)
        target = workdir / "model.onnx"
        save(load(path), target)
        check_proto(target, where=str(model.path))
        return PassResult(Model(target, model.signature), changed=True, facts=facts)


def _raised(path: Path, opset: int, target: Path, *, where: str) -> Path:
    """The model in at least this opset: itself, or a copy at `target`."""
    from edgetool.graph import load, save
    from edgetool.graph.opset import convert_opset, opset_of

    proto = load(path, weights=False)
    if opset_of(proto) >= opset:
        return path
    save(convert_opset(proto, opset, where=where), target, folder=path.parent)
    return target


def _fuse(graph: ir.Model, operator: Operator) -> int:
    """Apply the rules of one operator, in place; how many were found."""
    import onnx_ir.passes.common as tidy

    from edgetool.graph.fold import drop_traces, infer_shapes
    from edgetool_passes.declared import declare_output_shapes, output_shapes
    from edgetool_passes.fusions import rules

    declared = output_shapes(graph)
    tidy.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    infer_shapes(graph)
    count = int(rules(operator).apply_to_model(graph))
    tidy.RemoveUnusedNodesPass()(graph)
    declare_output_shapes(graph, declared)
    drop_traces(graph)
    return count
