"""What runs over the samples told, kept for the next recipe: its float network is often the same.

A search tries one pass with many options. Which tensors are quantized is different each time, and what the samples make
of the float network is not.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from edgetool_passes.quantization.histogram import Both, Watch

if TYPE_CHECKING:
    import onnx

KEPT = 4
"""Networks whose watches are kept; those that were not asked for the longest go first."""


class Shelf:
    """The watches of one network on one set of samples.

    Args:
        kept: outlives the pass; what is kept lies in it by network and samples.
        model: that is run.
        samples: digest of them.
    """

    def __init__(self, kept: MutableMapping[str, Any], model: onnx.ModelProto, samples: str) -> None:
        key = f"watched {content_digest(model)} {samples}"
        self._rows: dict[tuple[str, str], Watch] = kept.pop(key, {})
        kept[key] = self._rows  # the latest one is the last
        for old in [name for name in kept if name.startswith("watched ")][:-KEPT]:
            del kept[old]

    def fill(self, watches: Mapping[str, Watch]) -> bool:
        """Bring all watches to the state that a run would; False, and nothing is done, where one is not known."""
        wanted = list(_parts(watches))
        if not wanted or any(key not in self._rows for key, _ in wanted):
            return False
        for key, watch in wanted:
            vars(watch).update(copy.deepcopy(vars(self._rows[key])))
        return True

    def keep(self, watches: Mapping[str, Watch]) -> None:
        """Remember what they saw in a whole run."""
        for key, watch in _parts(watches):
            self._rows[key] = copy.deepcopy(watch)


def _parts(watches: Mapping[str, Watch]) -> Iterator[tuple[tuple[str, str], Watch]]:
    """Tensor and kind of each single watch."""
    for tensor, watch in watches.items():
        for part in watch.watches if isinstance(watch, Both) else (watch,):
            yield (tensor, type(part).__name__), part


def content_digest(model: onnx.ModelProto) -> str:
    """sha256 of a model, weight by weight: together they may be more than protobuf can write at once."""
    digest = hashlib.sha256()
    graph = model.graph
    for message in (*model.opset_import, *model.functions, *graph.input, *graph.node, *graph.initializer):
        digest.update(message.SerializeToString(deterministic=True))
    return digest.hexdigest()
