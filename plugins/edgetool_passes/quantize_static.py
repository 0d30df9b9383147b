"""`quantize-static`: int8 weights and activations, with ranges from the user's samples.

One recipe for every runtime: symmetric int8 Q/DQ on the inputs of weighted operators. docs/reference/quantization.md
has the formulas, the placement rules and their sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact
from edgetool.problem import Problem
from edgetool_passes.quantization.rules import WEIGHTED, Operator, Precision, Rules

if TYPE_CHECKING:
    from edgetool_passes.quantization.calibrators import Calibrator
    from edgetool_passes.quantization.observation import Wishes
    from edgetool_passes.quantization.placement import Placement

_OPSET = 13
"""The first opset whose DequantizeLinear has one scale a channel."""
_OPSET_OF_16_BITS = 21
"""The first opset whose QuantizeLinear gives int16."""


class QuantizeStaticOptions(PassOptions):
    """How ranges are chosen, and what is quantized."""

    calibrator: Literal["auto", "min-max", "entropy", "percentile", "mse"] = Field(
        default="auto",
        description="How an activation's range follows from its samples: `min-max` covers all values; `entropy`, "
        "`percentile` and `mse` cut rare large values off. `auto` is `mse` where convolutions are quantized, else "
        "`min-max`: transformers need their outliers.",
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="For `percentile`: share of the values, in percent, to keep inside."
    )
    per_channel: bool = Field(default=True, description="One weight scale for each output channel; else one in all.")
    weight_bits: Literal[7, 8] = Field(
        default=8,
        json_schema_extra=from_fact("weight_bits"),
        description="7 on processors without VNNI, where the sum of two 8-bit products saturates silently.",
    )
    op_types: tuple[Operator, ...] = Field(default=WEIGHTED, description="Weighted operators to quantize.")
    embeddings: bool = Field(default=True, description="Store embedding tables (Gather) in int8, one scale a row.")
    residual_adds: bool = Field(
        default=True, description="Quantize the identity branch of a residual Add, so that it fuses with a convolution."
    )
    attention_scores: bool = Field(
        default=False,
        description="Also quantize both inputs of the product that a Softmax reads (queries times keys).",
    )
    attention_values: bool = Field(
        default=False,
        description="Also quantize both inputs of the product that reads a Softmax (weights times values).",
    )
    smoothing: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="SmoothQuant's strength for MatMul: how far outlier channels of activations are moved into the "
        "weights; 0 turns it off.",
    )
    bias_correction: bool = Field(
        default=True, description="Correct the biases of Conv and Gemm for the mean error of their rounded weights."
    )
    min_channels: int = Field(
        default=1, ge=1, description="Leave convolutions with fewer input or output channels float; 16 suits GPUs."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay float; `*` and `?` match, as in a shell."
    )
    layers: dict[str, Precision] = Field(
        default_factory=dict,
        description='Precision by name of node, as in `{ "*/head/*" = "int8-act16" }`; the first pattern that matches '
        "counts. `int8`; `int8-act16`: int8 weights, int16 activations, which takes opset 21 and which processors "
        "without such kernels compute in float; `float`.",
    )
    equalization: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        default="auto",
        description="Strength of cross-layer equalization: how far channels between convolutions get similar ranges; "
        "0 turns it off. `auto` is 0.5 in networks with depthwise convolutions, unless the calibrator is "
        "`entropy`, else 0. Tensors that are scaled get new names.",
    )
    pools: bool = Field(
        default=False,
        description="Quantize the input of a global average pool in front of a quantized layer: the pool computes in "
        "integers where the runtime can.",
    )
    max_opset: int | None = Field(
        default=None,
        ge=7,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads; `int8-act16` needs 21.",
    )

    def rules(self) -> Rules:
        return Rules(
            op_types=self.op_types,
            embeddings=self.embeddings,
            residual_adds=self.residual_adds,
            attention_scores=self.attention_scores,
            attention_values=self.attention_values,
            exclude=self.exclude,
            min_channels=self.min_channels,
            layers=self.layers,
            pools=self.pools,
        )


class QuantizeStatic(Pass[QuantizeStaticOptions]):
    """Writes Q/DQ that TensorRT, OpenVINO and ONNX Runtime all take."""

    Options = QuantizeStaticOptions
    revision = 3

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return True

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.quantization.verdict import verdict

        newest = self.options.max_opset
        if self.options.rules().wants_16_bits and newest is not None and newest < _OPSET_OF_16_BITS:
            return (_too_old(newest),)
        return verdict(load(model.path), self.options.rules())

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Quantize.

        Raises:
            ConfigError: the calibration data is missing, empty or not finite.
            ModelError: an activation is not finite, or the opset cannot be raised to 13.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.opset import convert_opset, opset_of
        from edgetool.qdq.ranges import write_ranges
        from edgetool_passes.quantization.calibration import Calibration
        from edgetool_passes.quantization.insertion import insert_pairs, insert_weights
        from edgetool_passes.quantization.observation import observe
        from edgetool_passes.quantization.placement import place, store_constants
        from edgetool_passes.quantization.report import counts
        from edgetool_passes.quantization.smoothing import read_smoothed

        calibration = Calibration(context, where=model.path)
        proto = load(model.path)
        opset = opset_of(proto)
        needed = _OPSET_OF_16_BITS if self.options.rules().wants_16_bits else _OPSET
        if opset < needed:
            proto = convert_opset(proto, needed, where=str(model.path))
        store_constants(proto.graph)
        placement = place(proto, self.options.rules())
        seen = observe(proto, placement, self._wishes(placement), calibration)
        read_smoothed(proto.graph, seen.groups, seen.smoothed)
        corrected = insert_weights(
            proto.graph,
            placement,
            bits=self.options.weight_bits,
            per_channel=self.options.per_channel,
            means=seen.means,
            factors={one.name: one.factor for one in seen.smoothed.values()},
        )
        insert_pairs(proto.graph, placement, seen.ranges)
        write_ranges(proto, {tensor: seen.ranges[tensor] for tensor in seen.to_record})
        proto.graph.ClearField("value_info")
        quantized = counts(placement)
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                **quantized,
                "equalization": seen.equalization,
                "equalized": len(seen.rescaled),
                "smoothed": len(seen.smoothed),
                "biases_corrected": corrected,
                "calibrator": self._calibrator(placement),
                "calibration_feeds": calibration.data.count,
                "calibration_digest": calibration.data.digest,
                "weight_bits": self.options.weight_bits,
                "opset": {"from": opset, "to": max(opset, needed)},
            },
            rescaled=seen.rescaled,
        )

    def _wishes(self, placement: Placement) -> Wishes:
        from edgetool_passes.quantization.observation import Wishes

        options, calibrator = self.options, self._calibrator(placement)
        return Wishes(
            calibrator=calibrator,
            percentile=options.percentile,
            equalization=self._equalization(calibrator),
            smoothing=options.smoothing,
            bias_correction=options.bias_correction,
        )

    def _equalization(self, calibrator: Calibrator) -> float | None:
        """None: what suits the network. `entropy` cuts off the rare large values that equalization makes room for."""
        if self.options.equalization != "auto":
            return self.options.equalization
        return 0.0 if calibrator == "entropy" else None

    def _calibrator(self, placement: Placement) -> Calibrator:
        if self.options.calibrator != "auto":
            return self.options.calibrator
        return "mse" if any(site.node.op_type in ("Conv", "ConvTranspose") for site in placement.sites) else "min-max"


def _too_old(newest: int) -> Problem:
    return Problem(
        f"activations in 16 bits need opset {_OPSET_OF_16_BITS}, and the target reads no newer one than {newest}",
        fix='write "float" instead of "int8-act16" in the layers of `quantize-static`',
    )
