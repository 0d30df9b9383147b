"""`prune-magnitude`: single weights become zero. The network keeps its shape and, on most runtimes, its speed.

What is gained is a smaller archive, and speed where the hardware skips zeros; docs/reference/pruning.md says where.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool_passes.pruning.layer import Layer
    from edgetool_passes.pruning.moments import Moments

    Array = np.ndarray[Any, Any]

Importance = Literal["auto", "magnitude", "activation", "reconstruction"]
_FROM_DATA = ("activation", "reconstruction")


class PruneMagnitudeOptions(PassOptions):
    """How many weights become zero, in which pattern, and which."""

    sparsity: float = Field(default=0.5, gt=0, lt=1, description="Share of zeros; the pattern 2:4 always has half.")
    pattern: Literal["unstructured", "2:4"] = Field(
        default="unstructured",
        description="`2:4`: two of every four weights along the input channels, which sparse tensor cores skip.",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer",
        description="`layer`: every layer gets the same share of zeros; `global`: layers that miss their small weights "
        "less get more, `sparsity` in all. Without effect on 2:4.",
    )
    importance: Importance = Field(
        default="auto",
        description="Which weights go. `magnitude`: the smallest; `activation`: the smallest times the size of their "
        "input; `reconstruction`: those that the others of their row can make up for, which are adapted. `auto` is "
        "`reconstruction` with calibration data, else `magnitude`.",
    )
    min_size: int = Field(default=1024, ge=1, description="Layers with fewer weights keep all of them.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that keep all weights; `*` and `?` match, as in a shell."
    )
    samples: int = Field(default=64, ge=1, description="Calibration feeds to look at, at most.")


class PruneMagnitude(Pass[PruneMagnitudeOptions]):
    """Zeros, and honest numbers about what they are good for."""

    Options = PruneMagnitudeOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, PruneMagnitudeOptions) and options.importance in _FROM_DATA

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, PruneMagnitudeOptions) and options.importance == "auto"

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.pruning.verdict import quantized_already

        proto = load(model.path)
        if (refusal := quantized_already(proto)) is not None:
            return (refusal,)
        chosen, kept = self._sort(proto)
        if chosen:
            return ()
        if not kept:
            fix = "take this pass out of the recipe, or export with the weights stored"
            return (Problem("no weights to remove: the model has no layer with a stored float weight", fix=fix),)
        reason = next(iter(kept.values()))
        fix = "change the options of the pass, or take it out of the recipe"
        return (Problem(f"no weights to remove: all layers keep theirs, the first because {reason}", tuple(kept), fix),)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Set weights to zero.

        Raises:
            ConfigError: the options need calibration data that is missing, empty or not finite.
            ModelError: a tensor is not finite on data that is.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.qdq.index import GraphIndex
        from edgetool_passes.pruning.masks import shares

        proto = load(model.path)
        layers, kept = self._sort(proto)
        before = {layer: GraphIndex(proto.graph).values(layer.weight) for layer in layers}
        wanted = shares(before, sparsity=self.options.sparsity, everywhere=self.options.scope == "layer")
        importance = self._importance(context)
        if importance in _FROM_DATA:
            after = self._with_data(proto, before, wanted, model, context)
        else:
            after = {layer: self._pruned(layer, values, wanted[layer], None) for layer, values in before.items()}
        facts = {
            **_numbers(before, after),
            "pattern": self.options.pattern,
            "importance": importance,
            "layers": {layer.label: round(_sparsity(values), 4) for layer, values in after.items()},
            "kept": dict(kept),
        }
        if all((before[layer] == after[layer]).all() for layer in layers):
            return PassResult(model, changed=False, facts=facts)
        for layer, values in after.items():
            _store(proto, layer.weight, values)
        context.note("zeros alone make no engine faster: only runtimes that skip them and the compressed bundle gain")
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)

    def _importance(self, context: PassContext) -> Importance:
        if self.options.importance != "auto":
            return self.options.importance
        has_data = context.calibration is not None and context.calibration.count > 0
        return "reconstruction" if has_data else "magnitude"

    def _sort(self, proto: onnx.ModelProto) -> tuple[tuple[Layer, ...], Mapping[str, str]]:
        """Layers to prune, each weight once, and why the others are left; its Constant nodes become initializers."""
        from edgetool_passes.pruning.layer import find_layers
        from edgetool_passes.quantization.placement import store_constants

        store_constants(proto.graph)
        chosen: dict[str, Layer] = {}
        kept: dict[str, str] = {}
        for layer in find_layers(proto.graph):
            reason = self._reason_against(layer)
            if reason is not None:
                kept[layer.label] = reason
            else:
                chosen.setdefault(layer.weight, layer)
        return tuple(chosen.values()), kept

    def _reason_against(self, layer: Layer) -> str | None:
        from edgetool_passes.pruning.masks import fits_two_of_four

        if any(fnmatchcase(layer.label, pattern) for pattern in self.options.exclude):
            return "excluded by the recipe"
        if not layer.is_matrix:
            return f"{layer.node.op_type} is left as it is"
        if layer.groups > 1 and layer.shape[1] == 1:
            return "a depthwise convolution needs its few weights"
        if math.prod(layer.shape) < self.options.min_size:
            return f"fewer than min_size = {self.options.min_size} weights"
        if self.options.pattern == "2:4" and not fits_two_of_four(layer):
            return "its input channels are no multiple of 4"
        return None

    def _with_data(
        self,
        proto: onnx.ModelProto,
        before: Mapping[Layer, Array],
        wanted: Mapping[Layer, float],
        model: Model,
        context: PassContext,
    ) -> dict[Layer, Array]:
        """Go through the layers in order; what comes later sees what the earlier ones make of the samples now."""
        from edgetool_passes.pruning.moments import collect, observable
        from edgetool_passes.pruning.observation import Observation

        observation = Observation(context, where=model.path, limit=self.options.samples)
        seen = [layer for layer in before if observable(layer)]
        after = {
            layer: self._pruned(layer, values, wanted[layer], None)
            for layer, values in before.items()
            if layer not in seen
        }
        for part in collect(proto, seen, observation):
            for layer, moments in part.items():
                after[layer] = self._pruned(layer, before[layer], wanted[layer], moments)
                _store(proto, layer.weight, after[layer])
        return {layer: after[layer] for layer in before}

    def _pruned(self, layer: Layer, values: Array, share: float, moments: Moments | None) -> Array:
        """A layer's weight with zeros, of the same shape and dtype."""
        import numpy as np

        from edgetool_passes.pruning.masks import columns_by_position, smallest, smallest_by_row, two_of_four
        from edgetool_passes.pruning.sparse_regression import prune_rows

        order = columns_by_position(layer)
        matrix = layer.matrix(values)[:, :, order]
        halved = self.options.pattern == "2:4"
        if moments is not None and self.options.importance != "activation":
            second = moments.second[:, order][:, :, order]
            rows = [prune_rows(*one, share=None if halved else share) for one in zip(matrix, second, strict=True)]
            pruned = np.stack(rows)
        else:
            scores = np.abs(matrix)
            if moments is not None:
                energy = np.diagonal(moments.second, axis1=1, axis2=2)[:, None, order]
                scores = scores * np.sqrt(energy)
            if halved:
                mask = two_of_four(scores)
            elif moments is not None:
                mask = smallest_by_row(scores, round(share * scores.shape[-1]))
            else:
                mask = smallest(scores, round(share * scores.size))
            pruned = np.where(mask, 0, matrix)
        restored = np.empty_like(pruned)
        restored[:, :, order] = pruned
        return layer.weight_of(restored).astype(values.dtype)


def _store(proto: onnx.ModelProto, name: str, values: Array) -> None:
    import numpy as np
    from onnx import numpy_helper

    stored = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))


def _sparsity(values: Array) -> float:
    import numpy as np

    return 1 - int(np.count_nonzero(values)) / values.size


def _numbers(before: Mapping[Layer, Array], after: Mapping[Layer, Array]) -> dict[str, Any]:
    """Zeros, and the bytes that the weights take when positions and values are coded apart."""
    import numpy as np

    total = sum(values.size for values in after.values())
    nonzero = sum(int(np.count_nonzero(values)) for values in after.values())
    return {
        "weights": total,
        "nonzero": nonzero,
        "sparsity": round(1 - nonzero / max(total, 1), 4),
        "weight_bytes": sum(values.nbytes for values in before.values()),
        "estimated_compressed_bytes": sum(_coded(values) for values in after.values()),
    }


def _coded(values: Array) -> int:
    """The values that are not zero, and the entropy of where they are."""
    zeros = _sparsity(values)
    bits = -sum(share * math.log2(share) for share in (zeros, 1 - zeros) if share > 0)
    return math.ceil(values.nbytes * (1 - zeros) + values.size * bits / 8)
