"""`repair-qdq`: quantized networks of other tools in symmetric int8, with float biases.

Default settings of common quantizers write what only their own runtime takes: int32 biases, unsigned activations,
zero points that are not zero. docs/reference/passes.md tells the options.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgetool.artifact import Facts, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem

if TYPE_CHECKING:
    from edgetool_passes.quantization.repair import Repairs

_OPSET = 13
"""The first opset whose DequantizeLinear has one scale a channel."""


class RepairQdqOptions(PassOptions):
    """What becomes of values that the old ranges cut off."""

    saturation: Literal["zero", "both"] = Field(
        default="zero",
        description="A symmetric range reaches further than the asymmetric one that it replaces, which had clipped "
        "there. `zero` keeps clipping only where the range ended at zero: quantizers drop a Relu that the range makes "
        "superfluous. `both` puts a Clip in front of every range that grows, for networks whose quantizer dropped "
        "other clips too; it costs a node each.",
    )


class RepairQdq(Pass[RepairQdqOptions]):
    """Symmetric int8 from int32 biases, unsigned integers and zero points other than zero.

    Biases and single numbers become the floats that they stand for. Integers around 128 are shifted and mean the same;
    other ranges get a symmetric scale that covers them, with steps up to twice as wide. What has a scale for each
    channel keeps one for each. A model without such things is left as it is.
    """

    Options = RepairQdqOptions
    revision = 2

    def check(self, model: Model) -> tuple[Problem, ...]:
        """Refuse what cannot be repaired: the repair is tried, and what is left is named."""
        from edgetool.graph import load
        from edgetool_passes.quantization.repair import repair
        from edgetool_passes.quantization.repair_leftovers import leftovers

        proto = load(model.path)
        repair(proto.graph, saturation=self.options.saturation)
        return leftovers(proto.graph)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Repair.

        Raises:
            ModelError: `opset-conversion-failed` for some models before opset 13.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.opset import convert_opset, opset_of
        from edgetool_passes.quantization.repair import repair

        proto = load(model.path)
        repairs = repair(proto.graph, saturation=self.options.saturation)
        if not repairs:
            return PassResult(model, changed=False, facts=_facts(repairs))
        if opset_of(proto) < _OPSET:
            proto = convert_opset(proto, _OPSET, where=str(model.path))
        proto.graph.ClearField("value_info")  # it speaks of tensors that are gone, or of other types
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        if repairs.activations_widened:
            context.note(_told(repairs))
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=_facts(repairs))


def _told(repairs: Repairs) -> str:
    widest = max(repairs.activations_widened.values())
    return (
        f"{len(repairs.activations_widened)} activations were quantized asymmetrically and have up to {widest:.2g} "
        "times wider steps now; `quantize-static` on the float model calibrates them anew"
    )


def _facts(repairs: Repairs) -> Facts:
    return {
        "biases": len(repairs.biases),
        "scalars": len(repairs.scalars),
        "weights_exact": len(repairs.weights_exact),
        "weights_rounded": list(repairs.weights_rounded),
        "activations_exact": len(repairs.activations_exact),
        "activations_widened": dict(repairs.activations_widened),
        "rectified": list(repairs.rectified),
        "adopted": len(repairs.adopted),
    }
