"""Which further tensors get their ranges recorded: those that a backend may have to quantize in order to fuse.

Some runtimes run a convolution in int8 only when its result is int8 too, and pools and adds behind it likewise. The
pass quantizes none of these, but it is the last that sees the user's samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import onnx

    from edgetool_passes.quantization.placement import Placement

_FOLLOWING = frozenset(
    {"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Add", "Mul", "Concat", "AveragePool",
     "GlobalAveragePool", "MaxPool", "Resize", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}
)  # fmt: skip
_ABSORBING = frozenset({"Relu", "Clip"})


def tensors_to_record(graph: onnx.GraphProto, placement: Placement) -> tuple[str, ...]:
    """Results of quantized convolutions and of what follows them, as long as it reads nothing else.

    A result that only a Relu or Clip reads is left out: the runtime computes both in one.
    """
    index = GraphIndex(graph)
    convolutions = {site.node.output[0] for site in placement.sites if site.node.op_type == "Conv"}
    region = set(placement.activations()) if convolutions else set()
    found: list[str] = []
    for node in graph.node:
        output = node.output[0]
        moving = [name for name in node.input if name in index.moving]
        follows = node.op_type in _FOLLOWING and moving and region.issuperset(moving)
        if not (follows or output in convolutions):
            continue
        region.add(output)
        reader = index.only_reader(output)
        if reader is None or reader.op_type not in _ABSORBING:
            found.append(output)
    return tuple(found)
