"""Fits second factors and biases anew, each to what the whole network computes there.

The factors were chosen one by one, as if what they multiply were exact. Layer after layer, the second factor is now the
one that makes most of what arrives in the factored network, as in the sequential updates of X. Wang et al., "SVD-LLM"
(2024); layers that read the same tensor are fitted in one run over the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool_passes.factorize.forms import Channels, Product
from edgetool_passes.factorize.rewrite import Factored
from edgetool_passes.quantization.calibration import Calibration
from edgetool_passes.regression import Fit, Regression
from edgetool_passes.side_by_side import side_by_side
from edgetool_passes.together import together
from edgetool_passes.vectors import vectors

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_LOW = "factored/"


def refit(whole: onnx.ModelProto, factored: onnx.ModelProto, done: Sequence[Factored], calibration: Calibration) -> int:
    """Fit in place, in the order of the network.

    Args:
        whole: the network before.
        factored: the network to improve.
        done: what was factored in it.
        calibration: the samples.

    Returns:
        How many weights were fitted; tables and separable kernels are not, nor weights that several nodes share.
    """
    groups: dict[str, list[Factored]] = {}
    places = {name: place for place, node in enumerate(whole.graph.node) for name in node.output}
    for one in filter(_is_fitted, done):
        groups.setdefault(one.source, []).append(one)
    for group in sorted(groups.values(), key=lambda group: places[_result(group[0])]):
        fits = _fits(whole, factored, group, calibration)
        editor = GraphEditor(factored.graph)
        for one, fit in zip(group, fits, strict=True):
            _store(editor, one, fit)
        editor.commit()
    return sum(len(group) for group in groups.values())


def _is_fitted(one: Factored) -> bool:
    (node, *others) = one.known.candidate.layer.nodes
    scaled = any(entry.f != 1 for entry in node.attribute if entry.name in ("alpha", "beta"))
    return not others and not scaled and isinstance(one.known.candidate.form, Product | Channels)


def _result(one: Factored) -> str:
    return str(one.known.candidate.layer.nodes[0].output[0])


def _fits(
    whole: onnx.ModelProto, factored: onnx.ModelProto, group: Sequence[Factored], calibration: Calibration
) -> list[Fit]:
    import numpy as np

    regressions = [Regression(*one.second.shape) for one in group]

    def see(values: Mapping[str, Array]) -> None:
        for one, regression in zip(group, regressions, strict=True):
            first = isinstance(one.known.candidate.form, Channels)
            x, y = (vectors(values[name], first=first) for name in (_LOW + one.narrow, _result(one)))
            regression.see(x, y)

    names = [name for one in group for name in (_LOW + one.narrow, _result(one))]
    calibration.run(side_by_side(whole, {_LOW: factored}), together(names, see), purpose="samples for refitting")
    return [
        regression.fit(one.second.astype(np.float64), shifted=one.bias is not None)
        for one, regression in zip(group, regressions, strict=True)
    ]


def _store(editor: GraphEditor, one: Factored, fit: Fit) -> None:
    """Let the node compute with the fitted factor, and its bias add what is left."""
    import numpy as np

    form, node = one.known.candidate.form, one.known.candidate.layer.nodes[0]
    _, second = form.laid_out(np.zeros((form.sides[0], len(fit.matrix))), fit.matrix)
    name = editor.constant(np.ascontiguousarray(second, np.float32), one.known.candidate.layer.weight + "_refitted")
    editor.redirect(node, 1, name)
    if one.bias is not None:
        # A product's own result comes without the bias that an Add behind it holds.
        held = one.bias.values if one.bias.node is not node else 0
        one.bias.set(editor, held + fit.shift)
