"""Takes back the shift that rounding the weights gives to the mean of every output channel.

After M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2:
with rounded weights W + e, the mean of an output is off by `e E[x]`. Depthwise convolutions suffer most, because few
weights make one output, and their errors do not average out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.quantization.placement import Site
from edgetool_passes.quantization.weights import Int8Weight

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CORRECTABLE = frozenset({"Conv", "Gemm"})


def correct_bias(
    editor: GraphEditor, index: GraphIndex, site: Site, *, values: Array, weight: Int8Weight, means: Array
) -> bool:
    """Give a node a corrected float bias, or its first one; False where its bias is not a constant.

    Args:
        editor: collects the edit.
        index: of the graph before it.
        site: a Conv or Gemm.
        values: its float weight.
        weight: what became of it.
        means: float64 [input channels], of its activation.
    """
    import numpy as np

    node = site.node
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = index.constant(node.input[2]) if has_bias else np.zeros((), np.float32)
    if bias is None:
        return False
    error = (weight.dequantized() - values).astype(np.float64)
    shift = _mean_shift(error, means, groups=attribute(node, "group", 1), axis=site.axis)
    name = editor.constant((bias - shift).astype(np.float32), f"{site.weight_name}_bias")
    if len(node.input) > 2:
        editor.redirect(node, 2, name)
    else:
        node.input.append(name)
    return True


def _mean_shift(error: Array, means: Array, *, groups: int, axis: int) -> Array:
    """`e E[x]` for every output channel; each group of outputs reads its own group of inputs."""
    import numpy as np

    error = np.moveaxis(error, axis, 0)
    summed = error.reshape(error.shape[0], error.shape[1], -1).sum(axis=2)
    per_group = summed.reshape(groups, -1, summed.shape[1])
    shift: Array = np.einsum("goi,gi->go", per_group, means.reshape(groups, -1)).reshape(-1)
    return shift
