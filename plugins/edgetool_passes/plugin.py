"""Registers the passes."""

from __future__ import annotations

from edgetool.plugin import PassInfo, hookimpl


@hookimpl
def edgetool_passes() -> list[PassInfo]:
    return [
        PassInfo(
            name="simplify",
            summary="fold constants, remove dead nodes, fuse what every runtime fuses",
            loader="edgetool_passes.simplify:Simplify",
        ),
        PassInfo(
            name="specialize",
            summary="fix dynamic dimensions and scalar inputs, then fold what became constant",
            loader="edgetool_passes.specialize:Specialize",
        ),
        PassInfo(
            name="fold-bn",
            summary="BatchNormalization into the layer beside it: also behind products and in front of layers",
            loader="edgetool_passes.fold_bn:FoldBn",
        ),
        PassInfo(
            name="fuse",
            summary="LayerNormalization, Gelu and RMSNormalization in place of the small operators that spell them",
            loader="edgetool_passes.fuse:Fuse",
        ),
        PassInfo(
            name="convert-opset",
            summary="move the model to another opset",
            loader="edgetool_passes.convert_opset:ConvertOpset",
        ),
        PassInfo(
            name="cast-fp16",
            summary="float16 weights and activations; blocked and overflowing nodes stay float32",
            loader="edgetool_passes.cast_fp16:CastFp16",
        ),
        PassInfo(
            name="cast-bf16",
            summary="bfloat16 weights and activations; float32's range, so that no data is needed",
            loader="edgetool_passes.cast_bf16:CastBf16",
        ),
        PassInfo(
            name="quantize-weights",
            summary="weights in 8 or 4 bits, per channel or in blocks, everything else in float",
            loader="edgetool_passes.quantize_weights:QuantizeWeights",
        ),
        PassInfo(
            name="cluster-weights",
            summary="few different numbers in each weight, so that the archived bundle is small",
            loader="edgetool_passes.cluster_weights:ClusterWeights",
        ),
        PassInfo(
            name="clip-outliers",
            summary="cut rare large weights off, so that what quantizes them later has finer steps",
            loader="edgetool_passes.clip_outliers:ClipOutliers",
        ),
        PassInfo(
            name="quantize-dynamic",
            summary="int8 weights per channel, activations quantized at run time; needs no data",
            loader="edgetool_passes.quantize_dynamic:QuantizeDynamic",
        ),
        PassInfo(
            name="quantize-static",
            summary="int8 weights per channel and int8 activations, ranges from calibration data",
            loader="edgetool_passes.quantize_static:QuantizeStatic",
        ),
        PassInfo(
            name="low-rank",
            summary="one large weight becomes two small ones, where that saves weights and work; embeddings, too",
            loader="edgetool_passes.low_rank:LowRank",
        ),
        PassInfo(
            name="drop-layers",
            summary="remove repeated residual blocks, those that are missed least, and correct what is left",
            loader="edgetool_passes.drop_layers:DropLayers",
        ),
        PassInfo(
            name="repair-qdq",
            summary="quantized networks of other tools in symmetric int8, with float biases",
            loader="edgetool_passes.repair_qdq:RepairQdq",
        ),
        PassInfo(
            name="prune-channels",
            summary="remove channels and attention heads, so that every runtime has less to do; the rest makes up",
            loader="edgetool_passes.prune_channels:PruneChannels",
        ),
        PassInfo(
            name="prune-magnitude",
            summary="zeros in place of the weights that are missed least, anywhere or in the pattern 2:4",
            loader="edgetool_passes.prune_magnitude:PruneMagnitude",
        ),
    ]
