"""Which layers the FPGA takes, known without FPGA: the published limits of its soft IP, checked on OpenVINO's graph.

Source: FPGA AI Suite Handbook (863373, version 2025.3), "FPGA AI Suite IP Supported Layers and Hyperparameter Ranges".
A given bitstream may have been configured with less (a pooling window of 3, no softmax): only the suite's compiler,
given the .arch file, has the last word. What the table does not list is taken to fall to the next device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

_MAX_KERNEL = 28
_MAX_KERNEL_DEPTH = 14
_MAX_STRIDE = 15
_MAX_PAD = 2**16 - 1
_DECONVOLUTION_STRIDES = (1, 2, 4, 8)
_MAX_POOL_WINDOW = 13
_AVG_POOL_WINDOW = 27
_MAX_POOL_STRIDE = 4
_MAX_POOL_PAD = 2
_SOFTMAX_CHANNELS = 4096

Limit = Callable[[Any], str | None]


def refusal(op: Any) -> str | None:
    """Why the FPGA does not take an operation of an `openvino.Model`; None when it does."""
    limit = _LIMITS.get(op.get_type_name())
    if limit is None:
        return f"{op.get_type_name()} is not in the FPGA's table of layers"
    if any(output.partial_shape.is_dynamic for output in op.outputs()):
        return "the FPGA takes fixed shapes only"
    return limit(op)


def _anything(op: Any) -> str | None:
    return None


def _convolution(op: Any) -> str | None:
    kernel = _filter_of(op)
    if problem := _kernel(kernel):
        return problem
    attributes = op.get_attributes()
    if max(attributes["strides"]) > _MAX_STRIDE:
        return f"stride {_by(attributes['strides'])} exceeds {_MAX_STRIDE}"
    if max((*attributes["pads_begin"], *attributes["pads_end"])) > _MAX_PAD:
        return f"padding exceeds {_MAX_PAD}"
    return None


def _depthwise(op: Any) -> str | None:
    groups, _, inputs = tuple(op.input(1).get_partial_shape().to_shape())[:3]
    if inputs != 1:
        return f"convolution in {groups} groups: only depthwise convolution is in the FPGA's table"
    return _convolution(op)


def _deconvolution(op: Any) -> str | None:
    kernel, attributes = _filter_of(op), op.get_attributes()
    strides = set(attributes["strides"])
    if len(strides) > 1 or not strides <= set(_DECONVOLUTION_STRIDES):
        return f"transposed convolution wants one stride of 1, 2, 4 or 8, got {_by(attributes['strides'])}"
    if any(pad > size - 1 for pad, size in zip(attributes["pads_begin"], kernel, strict=True)):
        return "transposed convolution pads by the filter's size or more"
    return _kernel(kernel)


def _max_pool(op: Any) -> str | None:
    return _pool(op, limit=_MAX_POOL_WINDOW)


def _avg_pool(op: Any) -> str | None:
    kernel = op.get_attributes()["kernel"]
    if len(set(kernel)) > 1:
        return f"average pooling wants a square window, got {_by(kernel)}"
    return _pool(op, limit=_AVG_POOL_WINDOW)


def _pool(op: Any, *, limit: int) -> str | None:
    attributes = op.get_attributes()
    if max(attributes["kernel"]) > limit:
        return f"pooling window {_by(attributes['kernel'])} exceeds {limit}"
    if max(attributes["strides"]) > _MAX_POOL_STRIDE:
        return f"pooling stride {_by(attributes['strides'])} exceeds {_MAX_POOL_STRIDE}"
    if max((*attributes["pads_begin"], *attributes["pads_end"])) > _MAX_POOL_PAD:
        return f"pooling pads by more than {_MAX_POOL_PAD}"
    return None


def _mean(op: Any) -> str | None:
    """A mean over height and width is an average pool with a window as large as the image."""
    before = tuple(op.input(0).get_partial_shape().to_shape())
    after = tuple(op.output(0).get_partial_shape().to_shape())
    if len(before) != 4 or after not in (before[:2], (*before[:2], 1, 1)):
        return "only means over height and width become average pooling"
    height, width = before[2:]
    if height != width or height > _AVG_POOL_WINDOW:
        return f"average pooling wants a square window up to {_AVG_POOL_WINDOW}, got {height}x{width}"
    return None


def _with_constant(op: Any) -> str | None:
    """Scale-shift is also spelled as division and subtraction, and clamping as a maximum and a minimum."""
    if not any(_is_weight(value.get_node()) for value in op.input_values()):
        return f"{op.get_type_name()} of two computed tensors is not in the FPGA's table of layers"
    return None


def _fully_connected(op: Any) -> str | None:
    if not _is_weight(op.input_value(1).get_node()):
        return "a product of two computed tensors is no fully connected layer"
    return None


def _softmax(op: Any) -> str | None:
    shape = tuple(op.input(0).get_partial_shape().to_shape())
    attributes = op.get_attributes()
    channels = shape[int(attributes["axis"])]
    if channels > _SOFTMAX_CHANNELS:
        return f"softmax over {channels} channels exceeds {_SOFTMAX_CHANNELS}"
    return None


def _kernel(kernel: Sequence[int]) -> str | None:
    depth = kernel[:-2]
    if max(kernel[-2:]) > _MAX_KERNEL or max(depth, default=1) > _MAX_KERNEL_DEPTH:
        return f"filter {_by(kernel)} exceeds {_MAX_KERNEL}x{_MAX_KERNEL}, depth {_MAX_KERNEL_DEPTH}"
    return None


def _filter_of(op: Any) -> tuple[int, ...]:
    """The spatial part of a convolution's filter: weights are [(groups,) outputs, inputs, *filter]."""
    strides = op.get_attributes()["strides"]
    return tuple(op.input(1).get_partial_shape().to_shape())[-len(strides) :]


def _is_weight(node: Any) -> bool:
    """True for a constant, also one that is stored in another type and converted when the network is loaded."""
    while node.get_type_name() in ("Convert", "Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


_LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "Convolution": _convolution,
        "GroupConvolution": _depthwise,
        "ConvolutionBackpropData": _deconvolution,
        "MaxPool": _max_pool,
        "AvgPool": _avg_pool,
        "ReduceMean": _mean,
        "MatMul": _fully_connected,
        "Softmax": _softmax,
        # Scale-shift, and sums of two feature maps: the suite's own demonstration network is a ResNet.
        "Multiply": _anything,
        "Add": _anything,
        "Divide": _with_constant,
        "Subtract": _with_constant,
        "Maximum": _with_constant,
        "Minimum": _with_constant,
        "Relu": _anything,
        "PRelu": _anything,
        "Clamp": _anything,
        "HSigmoid": _anything,
        "HSwish": _anything,
        "Sigmoid": _anything,
        "Swish": _anything,
        "Tanh": _anything,
        "DepthToSpace": _anything,
        "SpaceToDepth": _anything,
        # These only say how data lie in memory; the compiler folds them into its layers.
        "Parameter": _anything,
        "Constant": _anything,
        "Result": _anything,
        "Reshape": _anything,
        "Squeeze": _anything,
        "Unsqueeze": _anything,
        "Flatten": _anything,
        "Convert": _anything,
    }
)
