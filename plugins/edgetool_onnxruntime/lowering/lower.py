"""The rewrites in their order, each recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Lowering

if TYPE_CHECKING:
    import onnx


def lower(
    source: Path, destination: Path, *, uint8_activations: bool, widen_on_load: bool = True
) -> tuple[Lowering, ...]:
    """Rewrite a quantized model for ONNX Runtime.

    Args:
        source: typed ONNX; never modified.
        destination: the .onnx to write, with external data beside it when large.
        uint8_activations: True for x86, where symmetric int8 activations have no fast kernel; False for ARM.
        widen_on_load: let integers that no kernel multiplies be widened when the engine is opened. False for a format
            that is optimized before it is saved, which would then hold them widened.

    Returns:
        What was done, in order. Empty when there was nothing to do; then nothing was written.

    Raises:
        ModelError: the source is damaged, or its recorded ranges are.
    """
    from edgetool.graph import load, save

    structure = load(source, weights=False)
    if not _is_quantized(structure):
        return ()
    model = load(source)
    done = (
        *_rewrites(model, _matrices(structure), uint8_activations=uint8_activations),
        *_weight_rewrites(model, widen=widen_on_load),
    )
    if done:
        save(model, destination)
    return done


def _is_quantized(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def _matrices(structure: onnx.ModelProto) -> frozenset[str]:
    """Names of the tensors that are known to have two dimensions."""
    import onnx.shape_inference

    graph = onnx.shape_inference.infer_shapes(structure).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return frozenset(value.name for value in values if len(value.type.tensor_type.shape.dim) == 2)


def _rewrites(model: onnx.ModelProto, matrices: frozenset[str], *, uint8_activations: bool) -> Iterator[Lowering]:
    from edgetool.qdq.pairs import use_full_range
    from edgetool.qdq.ranges import read_ranges
    from edgetool_onnxruntime.lowering.biases import quantize_biases
    from edgetool_onnxruntime.lowering.half_scales import widen_scales
    from edgetool_onnxruntime.lowering.outputs import quantize_outputs
    from edgetool_onnxruntime.lowering.zero_points import shift_to_uint8

    if count := widen_scales(model.graph):
        yield Lowering(
            "float32-scales",
            "scales of 16 bits became float32, with casts around: ONNX Runtime multiplies scales of two inputs as "
            "they are, and in float16 the product is zero",
            count,
        )
    if count := use_full_range(model.graph, "uint8" if uint8_activations else "int8"):
        yield Lowering(
            "full-range",
            "tensors that cannot be negative use all 256 levels over the same range, so that Relu and Clip fuse",
            count,
        )
    if count := quantize_outputs(model.graph, read_ranges(model), uint8=uint8_activations):
        yield Lowering(
            "output-qdq",
            "results of convolutions, and what pools, adds or joins them, are quantized to their calibrated ranges, "
            "because ONNX Runtime's int8 kernels write int8",
            count,
        )
    if uint8_activations and (count := shift_to_uint8(model.graph)):
        yield Lowering(
            "int8-to-uint8",
            "int8 activations became uint8 with zero points raised by 128; they stand for the same numbers",
            count,
        )
    if count := quantize_biases(model.graph, matrices):
        yield Lowering(
            "int32-bias",
            "biases of products became int32 in steps of input scale times weight scale, as its kernel adds",
            count,
        )


def _weight_rewrites(model: onnx.ModelProto, *, widen: bool) -> Iterator[Lowering]:
    """Stored integers, in the order: by the kernels for blocks, by rows, and the rest."""
    from edgetool_onnxruntime.lowering.block_embeddings import use_block_gather
    from edgetool_onnxruntime.lowering.block_products import use_block_products
    from edgetool_onnxruntime.lowering.embeddings import gather_then_dequantize
    from edgetool_onnxruntime.lowering.stored_weights import import_operators
    from edgetool_onnxruntime.lowering.unpacked import widen_on_load

    if count := use_block_products(model.graph):
        import_operators(model)
        yield Lowering(
            "matmul-nbits",
            "products with stored integers are MatMulNBits, which rounds its float input to int8 in blocks as it runs",
            count,
        )
    if count := use_block_gather(model.graph):
        import_operators(model)
        yield Lowering(
            "gather-block-quantized",
            "only the rows of an embedding that are looked up are dequantized, not the table on every run",
            count,
        )
    if count := gather_then_dequantize(model.graph):
        yield Lowering(
            "gather-then-dequantize",
            "only the rows of an embedding that are looked up are dequantized, not the table on every run",
            count,
        )
    if widen and (count := widen_on_load(model.graph)):
        yield Lowering(
            "widen-on-load",
            "stored integers that no kernel multiplies become float when the engine is opened, not on every run",
            count,
        )
