"""What a model needs at the size to tune for: its weights, and its activations at their peak. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgetool.artifact import JsonValue
from edgetool.graph.external_data import has_external_data
from edgetool.graph.inspection import stored_by_type
from edgetool.graph.load import load
from edgetool.graph.memory import memory_peak
from edgetool.graph.shapes import infer_shapes
from edgetool.signature import Signature

LARGEST = 64 << 20
"""Bytes of a file whose weights lie in it, beyond which shapes are not inferred: that copies all of it."""

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes.

    Attributes:
        weights: of all stored tensors.
        activations: at their peak; None where it was not looked at, or sizes are not known.
        node: where the peak is.
        tensors: the largest ones alive at that moment, with their bytes.
    """

    weights: int
    activations: int | None
    node: str | None = None
    tensors: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "weights": self.weights,
            "activations": self.activations,
            "node": self.node,
            "tensors": [[name, size] for name, size in self.tensors],
        }


def memory_need(path: Path, signature: Signature) -> MemoryNeed:
    """Of an ONNX file, at the `opt` size of each dynamic dimension.

    Runtimes may need more (scratch space, packed weights, fragmentation) or a little less (computing in place,
    operators that are fused): it is a floor to plan with, not a measurement.

    Raises:
        ConfigError, ModelError: as `load`.
    """
    model = load(path, weights=False)
    weights = sum(kind.nbytes for kind in stored_by_type(model, where=str(path)).values())
    if path.stat().st_size > LARGEST and not has_external_data(model):
        return MemoryNeed(weights, None)
    peak = memory_peak(infer_shapes(model, signature.input_shapes("opt")))
    if peak.unknown:
        return MemoryNeed(weights, None)
    return MemoryNeed(weights, peak.nbytes, peak.node, peak.tensors[:_SHOWN])
