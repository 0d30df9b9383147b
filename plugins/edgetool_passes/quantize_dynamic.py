"""`quantize-dynamic`: int8 weights; the ranges of activations are measured anew on every run, so no data is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact
from edgetool.problem import Problem
from edgetool_passes.quantization.rules import Rules

if TYPE_CHECKING:
    import onnx

_OPSET = 13
_MOSTLY = 0.5


class QuantizeDynamicOptions(PassOptions):
    """What is quantized, and how finely."""

    per_channel: bool = Field(default=True, description="One weight scale for each output channel; else one in all.")
    weight_bits: Literal[7, 8] = Field(
        default=8,
        json_schema_extra=from_fact("weight_bits"),
        description="7 on processors without VNNI, where the sum of two 8-bit products saturates silently.",
    )
    op_types: tuple[Literal["MatMul", "Gemm"], ...] = Field(
        default=("MatMul", "Gemm"), description="Weighted operators to quantize; convolutions have no fast kernel."
    )
    embeddings: bool = Field(default=True, description="Store embedding tables (Gather) in int8, one scale a row.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay float; `*` and `?` match, as in a shell."
    )

    def rules(self) -> Rules:
        return Rules(op_types=self.op_types, embeddings=self.embeddings, residual_adds=False, exclude=self.exclude)


class QuantizeDynamic(Pass[QuantizeDynamicOptions]):
    """For transformers and other networks of matrix products; TensorRT has no such operators."""

    Options = QuantizeDynamicOptions
    revision = 1

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.quantization.verdict import verdict

        proto = load(model.path)
        refusals = tuple(p for p in verdict(proto, self.options.rules()) if p.severity == "refuse")
        return refusals or _convolutions(proto)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Quantize.

        Raises:
            ModelError: the opset cannot be raised to 13.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.opset import convert_opset, opset_of
        from edgetool_passes.quantization.dynamic import quantize_products
        from edgetool_passes.quantization.placement import place, store_constants
        from edgetool_passes.quantization.report import counts

        proto = load(model.path)
        opset = opset_of(proto)
        if opset < _OPSET:
            proto = convert_opset(proto, _OPSET, where=str(model.path))
        store_constants(proto.graph)
        placement = place(proto, self.options.rules())
        facts = counts(placement)
        quantize_products(proto.graph, placement, bits=self.options.weight_bits, per_channel=self.options.per_channel)
        proto.graph.ClearField("value_info")
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                **facts,
                "weight_bits": self.options.weight_bits,
                "opset": {"from": opset, "to": max(opset, _OPSET)},
            },
        )


def _convolutions(model: onnx.ModelProto) -> tuple[Problem, ...]:
    """Refuse a network whose weights are in convolutions for the most part."""
    from edgetool.graph.walk import node_label
    from edgetool_passes.quantization.placement import weight_sizes

    sizes = weight_sizes(model.graph)
    convolved = sum(size for node, size in sizes if node.op_type in ("Conv", "ConvTranspose"))
    total = sum(size for _, size in sizes)
    if convolved <= _MOSTLY * total:
        return ()
    labels = tuple(
        node_label(node, number)
        for number, node in enumerate(model.graph.node)
        if node.op_type in ("Conv", "ConvTranspose")
    )
    return (
        Problem(
            f"{convolved / total:.0%} of the weights are in convolutions, which this pass leaves float: quantized "
            "at run time they are slower than float (0.13 to 0.28 times the speed, measured)",
            labels,
            "use `quantize-static` with calibration data",
        ),
    )
