"""How OpenVINO executes an engine, read back from the graph that it compiled for this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgetool.artifact import Engine
from edgetool.backends.base import Evidence, NodeEvidence
from edgetool_openvino.names import stable_name
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.session import open_engine
from edgetool_openvino.split import predicted

_PRECISIONS = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "i8": "int8", "u8": "uint8", "i4": "int4", "u4": "int4",
    "i16": "int16", "i32": "int32", "i64": "int64", "boolean": "bool",
}  # fmt: skip
_NOT_COMPUTED = frozenset({"Const", "Constant", "Input", "Parameter", "Output", "Result"})
_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)
_PASSES_ON = frozenset({"Convert", "Reshape", "Transpose", "Subtract", "Multiply", "Squeeze", "Unsqueeze"})
"""What may lie between a quantizer and the operation that it is for."""


def read_evidence(engine: Engine, options: OpenVinoOptions, *, threads: int) -> Evidence:
    """One row for each kernel, with the precision that it computes in, and the quantized nodes that stayed float.

    The compiled graph does not say which device of a HETERO group a kernel is on: for a stand-in it is where we put
    it, and otherwise all that HETERO lists.
    """
    opened = open_engine(engine.path, options, threads=threads)
    compiled, network = opened.compiled, opened.network
    devices = [str(device) for device in compiled.get_property("EXECUTION_DEVICES")]
    elsewhere = _off_stand_in(network, options)
    kernels = list(_kernels(compiled.get_runtime_model(), quantized=engine.precision == "int8"))
    rows = tuple(
        NodeEvidence(
            name=name,
            op_type=kind,
            precision=precision,
            device=_device(originals, devices, elsewhere, options),
        )
        for name, kind, precision, originals in kernels
    )
    executed = {original: precision for _, _, precision, originals in kernels for original in originals}
    quantized = _quantized(network) if network is not None else ()
    return Evidence(rows, tuple(_node(name) for name in quantized if executed.get(name, "int8") != "int8"))


def _kernels(runtime_model: Any, *, quantized: bool) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Name, type, precision and the original operations of every kernel that computes something.

    In a quantized network `u8` are quantized values without a sign; in others, truth values.
    """
    for number, op in enumerate(runtime_model.get_ordered_ops()):
        facts = op.get_rt_info()
        kind = _text(facts, "layerType")
        if kind in _NOT_COMPUTED:
            continue
        precision = _text(facts, "runtimePrecision")
        if quantized and precision == "u8":
            precision = "i8"
        originals = tuple(filter(None, _text(facts, "originalLayersNames").split(",")))
        yield (
            stable_name(op.get_friendly_name(), number),
            kind,
            _PRECISIONS.get(precision, precision or "unknown"),
            originals,
        )


def _text(facts: Any, key: str) -> str:
    return str(facts[key].astype(str)) if key in facts else ""


def _off_stand_in(network: Any, options: OpenVinoOptions) -> frozenset[str]:
    if network is None or options.stand_in is None or options.used.mode != "HETERO":
        return frozenset()
    return frozenset(predicted(network, options.used))


def _device(originals: tuple[str, ...], devices: list[str], elsewhere: frozenset[str], options: OpenVinoOptions) -> str:
    if options.stand_in is not None and options.used.mode == "HETERO":
        return options.used.families[-1] if elsewhere.intersection(originals) else options.used.accelerator
    return ",".join(devices)


def _quantized(network: Any) -> Iterator[str]:
    """Friendly names of weighted operations whose input or weights the model quantizes."""
    for op in network.get_ops():
        if op.get_type_name() in _WEIGHTED:
            data, weights = (_origin(op.input_value(position).get_node()) for position in (0, 1))
            stored = weights.get_type_name() == "Constant" and weights.get_element_type().is_integral()
            if data.get_type_name() == "FakeQuantize" or stored:
                yield op.get_friendly_name()


def _origin(node: Any) -> Any:
    while node.get_type_name() in _PASSES_ON:
        node = node.input_value(0).get_node()
    return node


def _node(operation: str) -> str:
    """The node that an operation computes: a convolution with bias is broken down into two of them."""
    return operation.removesuffix("/WithoutBiases")
