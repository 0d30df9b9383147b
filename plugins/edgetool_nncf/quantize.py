"""`nncf-quantize`: NNCF's post-training quantizer on the ONNX model.

It places Q/DQ on inputs alone, with asymmetric activations, and propagates them further than `quantize-static` does: a
runtime that fuses from the inputs (OpenVINO) gains, one that wants Q/DQ on both sides (ONNX Runtime) becomes slower
than float, and TensorRT refuses the zero points.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.errors import ConfigError, ModelError
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact
from edgetool.problem import Problem

if TYPE_CHECKING:
    import onnx

    from edgetool.context import CalibrationSet

_OPSET = 13
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})


class NncfQuantizeOptions(PassOptions):
    """NNCF's own knobs."""

    preset: Literal["mixed", "performance"] = Field(
        default="mixed",
        description="`performance` makes activations symmetric; `mixed` asymmetric, which is better for hard-swish and "
        "GELU and costs no time.",
    )
    model_type: Literal["none", "transformer"] = Field(
        default="none", description="`transformer` keeps attention accurate: smoothing, and no Q/DQ on fragile nodes."
    )
    fast_bias_correction: bool = Field(
        default=True, description="False takes many times longer and is a little more accurate."
    )
    weight_bits: Literal[7, 8] = Field(
        default=8,
        json_schema_extra=from_fact("weight_bits"),
        description="7 turns on NNCF's overflow fix, for processors without VNNI.",
    )
    samples: int = Field(default=300, ge=1, description="Take at most this many calibration feeds.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay float; `*` and `?` match, as in a shell."
    )


class NncfQuantize(Pass[NncfQuantizeOptions]):
    """A second opinion behind the same contract; best for transformers on OpenVINO."""

    Options = NncfQuantizeOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return True

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load, node_label

        graph = load(model.path, weights=False).graph
        done = tuple(node_label(node, number) for number, node in enumerate(graph.node) if node.op_type in _QUANTIZED)
        if not done:
            return ()
        fix = "Start from the float model, or take this pass out of the recipe."
        return (Problem("the model is quantized already", done, fix),)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Quantize.

        Raises:
            ConfigError: `calibration-missing` or `calibration-empty`.
            ModelError: `nncf-refused`, with NNCF's reason; or the opset cannot be raised to 13.
            UnavailableError: NNCF is not installed.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.opset import convert_opset, opset_of

        samples = _samples(context, model.path)
        proto = load(model.path)
        opset = opset_of(proto)
        if opset < _OPSET:
            proto = convert_opset(proto, _OPSET, where=str(model.path))
        excluded = sorted(node.name for node in proto.graph.node if _matches(node.name, self.options.exclude))
        quantized = self._quantized(proto, samples, excluded, where=model.path)
        pairs = sum(node.op_type == "QuantizeLinear" for node in quantized.graph.node)
        if pairs == 0:
            context.note("NNCF found nothing to quantize")
        target = workdir / "model.onnx"
        save(quantized, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                "quantizers": pairs,
                "excluded": list(excluded),
                "calibration_feeds": min(samples.count, self.options.samples),
                "calibration_digest": samples.digest,
                "weight_bits": self.options.weight_bits,
                "opset": {"from": opset, "to": max(opset, _OPSET)},
            },
        )

    def _quantized(
        self, proto: onnx.ModelProto, samples: CalibrationSet, excluded: list[str], *, where: Path
    ) -> onnx.ModelProto:
        from edgetool_nncf.toolkit import load_nncf, quiet

        nncf = load_nncf()
        options = self.options
        presets = {"mixed": nncf.QuantizationPreset.MIXED, "performance": nncf.QuantizationPreset.PERFORMANCE}
        fix = nncf.OverflowFix.ENABLE if options.weight_bits == 7 else nncf.OverflowFix.DISABLE
        try:
            with quiet(nncf):
                result: onnx.ModelProto = nncf.quantize(
                    proto,
                    nncf.Dataset(samples),
                    preset=presets[options.preset],
                    subset_size=min(samples.count, options.samples),
                    fast_bias_correction=options.fast_bias_correction,
                    model_type=nncf.ModelType.TRANSFORMER if options.model_type == "transformer" else None,
                    ignored_scope=nncf.IgnoredScope(names=excluded) if excluded else None,
                    advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
                )
        except _refusals(nncf) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                "nncf-refused",
                f"NNCF cannot quantize the model: {first}",
                where=str(where),
                hint="exclude the node that it names, put `simplify` first, or use `quantize-static`",
            ) from error
        return result


def _refusals(nncf: Any) -> tuple[type[Exception], ...]:
    """NNCF's own errors share no base, and its ONNX backend lets those of Python and of the runtime through."""
    own = [kind for kind in vars(nncf.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, KeyError, IndexError, NotImplementedError)


def _samples(context: PassContext, where: Path) -> CalibrationSet:
    if context.calibration is None:
        raise ConfigError(
            "calibration-missing",
            "static quantization needs samples to learn the ranges of activations from",
            where=str(where),
            hint='Set `calibration = "folder or module:function"` in [data]; about 300 real samples are enough.',
        )
    if context.calibration.count == 0:
        raise ConfigError(
            "calibration-empty",
            "the calibration data holds no samples",
            where=str(where),
            hint="point `calibration` in [data] at real samples; about 300 are enough",
        )
    return context.calibration


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
