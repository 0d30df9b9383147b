"""`quantize-weights`: weights in 8 or 4 bits, everything else in float.

The weights are what a small device has to store and to read on every run; their integers stand in the graph behind
DequantizeLinear, and what is made of them is the runtime's affair. docs/reference/weight-only-quantization.md has the
formulas, the methods with their sources, and on which hardware this pays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pydantic
from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact
from edgetool.problem import Problem
from edgetool_passes.weight_only.grain import BLOCKS_OPSET, OPERATORS, Bits, Method, Operator, Wishes

if TYPE_CHECKING:
    from edgetool_passes.weight_only.preparation import Prepared
    from edgetool_passes.weight_only.work import Done

_INLINE = 256 << 20
"""Bytes of weights from which they are written beside the model: whoever checks or reads it need not hold them."""
_LEARNING: tuple[Method, ...] = ("gptq", "awq")


class QuantizeWeightsOptions(PassOptions):
    """How finely weights are stored, how their integers are chosen, and which are left alone."""

    bits: Bits = Field(default=8, description="Bits of a stored weight; 4 takes opset 21.")
    method: Method = Field(
        default="nearest",
        description="How integers are chosen: `nearest` rounds; `hqq` also looks for the scale that suits most values; "
        "`gptq` and `awq` keep the error of each product small on calibration data.",
    )
    block_size: Literal[0, 16, 32, 64, 128, 256] | None = Field(
        default=None,
        description="Consecutive weights of a sum that share a scale; 0: one scale for each output channel. Unset: 32 "
        "for 4 bits, 0 for 8. Where it does not divide a weight, the next smaller one that does is taken.",
    )
    symmetric: bool = Field(
        default=True,
        description="Zero is integer 0, which every runtime takes. False: each scale has a zero point, which is a "
        "little more accurate in 4 bits, and which GPU compilers tend to refuse.",
    )
    op_types: tuple[Operator, ...] = Field(default=OPERATORS, description="Weighted operators to quantize.")
    embeddings: bool = Field(default=True, description="Quantize embedding tables (Gather), too.")
    embedding_bits: Bits | None = Field(default=None, description="Bits of embedding tables; unset: as `bits`.")
    eight_bits: tuple[str, ...] = Field(
        default=(), description="Names of nodes whose weights take 8 bits in any case; `*` and `?` match."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay float; `*` and `?` match, as in a shell."
    )
    min_size: int = Field(default=1024, ge=1, description="Weights with fewer values stay float: they save nothing.")
    max_opset: int | None = Field(
        default=None,
        ge=7,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads. Below 21 there are no blocks, so 8 bits are stored with one "
        "scale for each channel, and 4 bits are refused.",
    )

    @pydantic.model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.op_types and not self.embeddings:
            raise ValueError("op_types is empty and embeddings is false, so nothing would be quantized")
        return self

    def wishes(self) -> Wishes:
        """What is wanted, as far as the target's opset can say it."""
        default = 32 if self.bits == 4 else 0
        block = default if self.block_size is None else self.block_size
        return Wishes(
            bits=self.bits,
            embedding_bits=self.embedding_bits or self.bits,
            eight_bits=self.eight_bits,
            block=0 if self.without_blocks else block,
            symmetric=self.symmetric,
            op_types=self.op_types,
            embeddings=self.embeddings,
            exclude=self.exclude,
            min_size=self.min_size,
        )

    @property
    def without_blocks(self) -> bool:
        """Whether the target is too old for blocks."""
        return self.max_opset is not None and self.max_opset < BLOCKS_OPSET


class QuantizeWeights(Pass[QuantizeWeightsOptions]):
    """For networks whose weights are too large to store or to read: transformers first of all."""

    Options = QuantizeWeightsOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, QuantizeWeightsOptions) and options.method in _LEARNING

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool_passes.weight_only.preparation import prepare
        from edgetool_passes.weight_only.verdict import verdict

        return verdict(prepare(model.path, self.options.wishes()), max_opset=self.options.max_opset)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Quantize, one weight at a time; integers go to a file at once, so that memory does not grow with the model.

        Raises:
            ConfigError: the calibration data that the method needs is missing, empty or not finite.
            ModelError: a weight is not finite, or the opset cannot be raised.
        """
        from edgetool.graph import read_model
        from edgetool.graph.check import check_proto
        from edgetool.graph.streaming import save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.weight_only.preparation import prepare_in_new_opset
        from edgetool_passes.weight_only.report import facts_of

        wishes = self.options.wishes()
        if self.options.without_blocks and self.options.block_size:
            context.note(f"one scale for each channel: opset {self.options.max_opset} has no blocks")
        prepared = prepare_in_new_opset(model.path, wishes)
        if not prepared.sites.chosen:
            return PassResult(model, changed=False, facts={"quantized": 0, "excluded": dict(prepared.sites.excluded)})
        shapes = output_shapes(prepared.model)
        target = workdir / "model.onnx"
        with tempfile.TemporaryDirectory(prefix=".integers-", dir=workdir) as scratch:
            done = self._quantize(prepared, Path(scratch), context, where=model.path)
            declare_output_shapes(prepared.model, shapes)
            save_ir(prepared.model, target, inline_limit=_INLINE)
        check_proto(target, where=str(model.path))
        opset: JsonValue = {"from": prepared.opset, "to": max(prepared.opset, prepared.sites.opset)}
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={**facts_of(done, prepared.sites), "opset": opset},
        )

    def _quantize(self, prepared: Prepared, scratch: Path, context: PassContext, *, where: Path) -> list[Done]:
        from edgetool_passes.weight_only.learning import samples_of
        from edgetool_passes.weight_only.rewrite import Rewriter
        from edgetool_passes.weight_only.storage import Spool
        from edgetool_passes.weight_only.weights import weights_of
        from edgetool_passes.weight_only.work import Work

        weights = weights_of(prepared.sites.chosen)
        integers = scratch / "integers"
        with integers.open("wb") as file:
            work = Work(
                weights,
                Rewriter(prepared.model.graph),
                Spool(file, integers),
                lambda done: context.progress(done, len(weights), "weights"),
                where=str(where),
            )
            match self.options.method:
                case "gptq":
                    work.with_gptq(samples_of(prepared.model, scratch, context, method="gptq", where=where))
                case "awq":
                    work.with_awq(samples_of(prepared.model, scratch, context, method="awq", where=where))
                case method:
                    work.without_data(method)
        return work.done
