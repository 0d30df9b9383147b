"""Puts factors in place of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool_passes.factorize.bias import Bias, bias_of
from edgetool_passes.factorize.candidates import Known

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Factored:
    """A weight that became two.

    Attributes:
        known: what was known of it.
        source: the tensor that its first node reads.
        narrow: the tensor between the factors of its first node.
        bias: of its nodes, as it was; None where there is none.
        second: float32 [rank, columns].
    """

    known: Known
    source: str
    narrow: str
    bias: Bias | None
    second: Array


def factorize(graph: onnx.GraphProto, known: Mapping[str, Known], ranks: Mapping[str, int]) -> list[Factored]:
    """Factor these weights, in place.

    Args:
        graph: its constants are stored.
        known: by weight.
        ranks: by weight; others stay whole.
    """
    import numpy as np

    index, editor = GraphIndex(graph), GraphEditor(graph)
    done: list[Factored] = []
    for weight, rank in ranks.items():
        one = known[weight]
        form, layer = one.candidate.form, one.candidate.layer
        factors = one.candidate.spectrum.factors(form.matrix(index.values(weight)), rank)
        bias = bias_of(layer, index)
        if bias is not None and one.mean is not None:
            bias.shift(editor, one.mean - one.candidate.spectrum.kept(one.mean, rank))
        names = [
            editor.constant(np.ascontiguousarray(values), f"{weight}_{which}")
            for which, values in zip(("first", "second"), form.laid_out(*factors), strict=True)
        ]
        source = str(layer.nodes[0].input[0])
        narrow = [form.split(editor, node, *names) for node in layer.nodes]
        done.append(Factored(one, source, narrow[0], bias, factors[1]))
    editor.commit()
    graph.ClearField("value_info")
    return done
