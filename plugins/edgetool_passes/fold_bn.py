"""`fold-bn`: BatchNormalization becomes a part of the layer in front of it, or of the one that follows.

`simplify` folds what stands right behind a convolution or a Gemm. This pass also takes what exporters and frameworks
leave: behind a MatMul, behind a bias that is an Add of its own, and in front of a layer.
"""

from __future__ import annotations

from pathlib import Path

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult


class FoldBnOptions(PassOptions):
    """There is nothing to choose: what is folded computes the same, and less."""


class FoldBn(Pass[FoldBnOptions]):
    """Fewer operators, and weights whose ranges are those that the network really computes with."""

    Options = FoldBnOptions
    revision = 1

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Fold. What is left is named in the facts, with its reason."""
        from edgetool.graph import load, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.shapes import infer_shapes
        from edgetool_passes.batch_norm import fold_normalizations
        from edgetool_passes.quantization.placement import store_constants

        proto = load(model.path)
        store_constants(proto.graph)
        shapes = infer_shapes(load(model.path, weights=False), model.signature.input_shapes("opt")).types
        done = fold_normalizations(proto.graph, {name: len(known.shape) for name, known in shapes.items()})
        facts: dict[str, JsonValue] = {
            "folded_behind": done.behind,
            "folded_ahead": done.ahead,
            "left": dict(done.left),
        }
        if not done.behind and not done.ahead:
            return PassResult(model, changed=False, facts=facts)
        proto.graph.ClearField("value_info")
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(Model(target, model.signature), changed=True, facts=facts)
