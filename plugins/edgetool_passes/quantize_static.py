"""`quantize-static`: int8 weights and activations, with ranges from the user's samples.

One recipe for every runtime: symmetric int8 Q/DQ on the inputs of weighted operators. docs/reference/quantization.md
has the formulas, the placement rules and their sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact
from edgetool.problem import Problem
from edgetool_passes.quantization.placement import WEIGHTED, Operator, Rules

if TYPE_CHECKING:
    import onnx

    from edgetool.qdq.ranges import Range
    from edgetool_passes.quantization.calibration import Calibration
    from edgetool_passes.quantization.placement import Placement

_OPSET = 13
"""The first opset whose DequantizeLinear has one scale a channel."""


class QuantizeStaticOptions(PassOptions):
    """How ranges are chosen, and what is quantized."""

    calibrator: Literal["min-max", "entropy", "percentile", "mse"] = Field(
        default="min-max",
        description="How an activation's range follows from its samples: `min-max` covers all values; `entropy`, "
        "`percentile` and `mse` cut rare large values off.",
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
    smoothing: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="SmoothQuant's strength for MatMul: how far outlier channels of activations are moved into the "
        "weights; 0 turns it off.",
    )
    min_channels: int = Field(
        default=1, ge=1, description="Leave convolutions with fewer input or output channels float; 16 suits GPUs."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay float; `*` and `?` match, as in a shell."
    )

    def rules(self) -> Rules:
        return Rules(
            op_types=self.op_types,
            embeddings=self.embeddings,
            residual_adds=self.residual_adds,
            exclude=self.exclude,
            min_channels=self.min_channels,
        )


class QuantizeStatic(Pass[QuantizeStaticOptions]):
    """Writes Q/DQ that TensorRT, OpenVINO and ONNX Runtime all take."""

    Options = QuantizeStaticOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return True

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.quantization.verdict import verdict

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
        from edgetool_passes.quantization.placement import place, store_constants

        calibration = Calibration(context, where=model.path)
        proto = load(model.path)
        opset = opset_of(proto)
        if opset < _OPSET:
            proto = convert_opset(proto, _OPSET, where=str(model.path))
        store_constants(proto.graph)
        placement = place(proto, self.options.rules())
        smoothed = self._smooth(proto, placement, calibration)
        ranges, recorded = self._ranges(proto, placement, calibration)
        insert_pairs(proto.graph, placement, ranges)
        insert_weights(proto.graph, placement, bits=self.options.weight_bits, per_channel=self.options.per_channel)
        write_ranges(proto, recorded)
        proto.graph.ClearField("value_info")
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                **_counts(placement),
                "smoothed": smoothed,
                "calibrator": self.options.calibrator,
                "calibration_feeds": calibration.data.count,
                "calibration_digest": calibration.data.digest,
                "weight_bits": self.options.weight_bits,
                "opset": {"from": opset, "to": max(opset, _OPSET)},
            },
        )

    def _smooth(self, proto: onnx.ModelProto, placement: Placement, calibration: Calibration) -> int:
        """Smooth the inputs of MatMul nodes; how many tensors."""
        from edgetool_passes.quantization.histogram import ChannelMagnitudes
        from edgetool_passes.quantization.smoothing import smooth, smoothable

        groups = smoothable(proto.graph, placement) if self.options.smoothing else {}
        if groups:
            magnitudes = {tensor: ChannelMagnitudes(group.channels) for tensor, group in groups.items()}
            calibration.run(proto, magnitudes, purpose="samples for smoothing")
            smooth(proto.graph, groups, magnitudes, strength=self.options.smoothing)
        return len(groups)

    def _ranges(
        self, proto: onnx.ModelProto, placement: Placement, calibration: Calibration
    ) -> tuple[dict[str, Range], dict[str, Range]]:
        """Ranges of the tensors to quantize, and of those to record."""
        from edgetool_passes.quantization.calibrators import choose_range, new_watch
        from edgetool_passes.quantization.recorded import tensors_to_record

        options = self.options
        to_record = tensors_to_record(proto.graph, placement)
        tensors = dict.fromkeys((*placement.activations(), *to_record))
        watches = {tensor: new_watch(options.calibrator) for tensor in tensors}
        calibration.run(proto, watches, purpose="calibration samples")
        ranges = {
            tensor: choose_range(watch, options.calibrator, percentile=options.percentile)
            for tensor, watch in watches.items()
        }
        return ranges, {tensor: ranges[tensor] for tensor in to_record}


def _counts(placement: Placement) -> dict[str, JsonValue]:
    by_type: dict[str, JsonValue] = {}
    for site in placement.sites:
        by_type[site.node.op_type] = sum(other.node.op_type == site.node.op_type for other in placement.sites)
    return {
        "quantized": len(placement.sites),
        "quantized_by_type": by_type,
        "residual_adds": len(placement.residuals),
        "excluded": dict(placement.excluded),
    }
