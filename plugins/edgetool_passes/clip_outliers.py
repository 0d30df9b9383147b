"""`clip-outliers`: rare large numbers are cut off, so that what quantizes them later has finer steps for all others.

For quantizers that cover whatever they see, in coarse steps: one scale for a whole weight, four bits without blocks,
runtimes that quantize on their own. docs/reference/clipping.md has measurements of when it pays and when it harms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pydantic
from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool_passes.quantization.rules import WEIGHTED, Operator, Rules

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.ranges import Range
    from edgetool_passes.quantization.placement import Placement, Site

    Array = np.ndarray[Any, Any]

_OPSET = 11
"""The first in which Clip takes its limits as inputs."""
_SHARES = 50
_WORTH = 0.99
"""A range that stays larger than this share of what it was is not worth a node."""
_SHOWN = 10


class ClipOutliersOptions(PassOptions):
    """What is clipped, and where."""

    weights: Literal["none", "mse"] = Field(
        default="mse",
        description="`mse`: cut weights off where rounding inside and clipping outside do the least squared error.",
    )
    weight_bits: Literal[4, 8] = Field(default=8, description="Bits of the symmetric integers that are to follow.")
    per_channel: bool = Field(
        default=True, description="One limit for each output channel of a weight; else one in all, as its scales."
    )
    activations: Literal["none", "percentile", "mse"] = Field(
        default="none",
        description="Where the inputs of weighted operators are cut off, from calibration data. `percentile` keeps so "
        "many of the values inside; `mse` does the least squared error in 8 bits. Transformers need their outliers.",
    )
    percentile: float = Field(
        default=99.99, gt=50, lt=100, description="Share of an activation's values, in percent, that stay as they are."
    )
    op_types: tuple[Operator, ...] = Field(default=WEIGHTED, description="Weighted operators that are looked at.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that are left alone; `*` and `?` match, as in a shell."
    )

    @pydantic.model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.activations == "none" and self.weights == "none":
            raise ValueError("activations and weights are both none, so nothing would be clipped")
        return self

    def rules(self) -> Rules:
        return Rules(op_types=self.op_types, embeddings=False, residual_adds=False, exclude=self.exclude)


class ClipOutliers(Pass[ClipOutliersOptions]):
    """Before a quantizer that covers whatever it sees."""

    Options = ClipOutliersOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, ClipOutliersOptions) and options.activations != "none"

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool.graph.opset import opset_of
        from edgetool_passes.quantization.verdict import verdict

        proto = load(model.path)
        if opset_of(proto) < _OPSET:
            return (Problem(f"its opset is older than {_OPSET}", fix="put `convert-opset` in front of this pass"),)
        return verdict(proto, self.options.rules())

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Clip.

        Raises:
            ConfigError: the calibration data is missing, empty or not finite.
            ModelError: an activation or a weight is not finite.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool_passes.quantization.placement import place, store_constants

        proto = load(model.path)
        store_constants(proto.graph)
        placement = place(proto, self.options.rules())
        ranges = self._ranges(proto, placement, context, where=model.path)
        clipped = self._clip_weights(proto.graph, placement)
        _clip_activations(proto.graph, placement, {name: cut for name, (_, cut) in ranges.items()})
        facts: dict[str, JsonValue] = {
            "activations": {
                name: {"from": [seen.low, seen.high], "to": [cut.low, cut.high]}
                for name, (seen, cut) in list(ranges.items())[:_SHOWN]
            },
            "clipped_activations": len(ranges),
            "clipped_weights": clipped,
        }
        if not ranges and not clipped:
            return PassResult(model, changed=False, facts=facts)
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)

    def _ranges(
        self, proto: onnx.ModelProto, placement: Placement, context: PassContext, *, where: Path
    ) -> dict[str, tuple[Range, Range]]:
        """What was seen of each activation that is worth clipping, and what it is clipped to."""
        from edgetool.qdq.ranges import Range
        from edgetool_passes.quantization.calibration import Calibration
        from edgetool_passes.quantization.calibrators import choose_range
        from edgetool_passes.quantization.histogram import Histogram

        if self.options.activations == "none":
            return {}
        watches = {name: Histogram() for name in placement.activations()}
        Calibration(context, where=where).run(proto, watches, purpose="calibration samples")
        found = {}
        for name, watch in watches.items():
            seen = Range(watch.extent.low, watch.extent.high)
            cut = choose_range(watch, self.options.activations, percentile=self.options.percentile)
            if cut.high - cut.low < _WORTH * (seen.high - seen.low):
                found[name] = (seen, cut)
        return found

    def _clip_weights(self, graph: onnx.GraphProto, placement: Placement) -> int:
        """Clip stored weights in place; how many changed."""
        from onnx import numpy_helper

        if self.options.weights == "none":
            return 0
        stored = {tensor.name: tensor for tensor in graph.initializer}
        sites = {site.weight_name: site for site in placement.sites}
        changed = 0
        for name, site in sites.items():
            before = numpy_helper.to_array(stored[name])
            after = self._clipped(before, site)
            if (after != before).any():
                stored[name].CopyFrom(numpy_helper.from_array(after, name))
                changed += 1
        return changed

    def _clipped(self, weight: Array, site: Site) -> Array:
        import numpy as np

        rows = np.moveaxis(weight, site.axis, 0).reshape(weight.shape[site.axis] if self.options.per_channel else 1, -1)
        limits = best_limits(rows, bits=self.options.weight_bits)
        shape = [1] * weight.ndim
        if self.options.per_channel:
            shape[site.axis] = -1
        limit = limits.reshape(shape).astype(weight.dtype)
        return np.clip(weight, -limit, limit)


def best_limits(rows: Array, *, bits: int) -> Array:
    """Where each row is best cut off before it is rounded to symmetric integers (least squared error).

    Tried are the shares 1, 0.99, 0.98 ... of the largest magnitude. For where the optimum lies in theory see R. Banner
    et al., "Post training 4-bit quantization of convolutional networks for rapid-deployment" (2019), section 3.

    Args:
        rows: float [rows, values].
        bits: of the integers, -2**(bits - 1) + 1 up to 2**(bits - 1) - 1.

    Returns:
        float64 [rows].
    """
    import numpy as np

    levels = 2 ** (bits - 1) - 1
    exact = rows.astype(np.float64)
    largest = np.abs(exact).max(axis=1, initial=0.0)
    best: Array = largest.copy()
    least: Array = np.full(len(rows), np.inf)
    for share in 1 - np.arange(_SHARES) / 100:
        limit = largest * share
        step = np.where(limit > 0, limit / levels, 1.0)[:, None]
        taken = np.clip(np.rint(exact / step), -levels, levels) * step
        error: Array = ((taken - exact) ** 2).sum(axis=1)
        best, least = np.where(error < least, limit, best), np.minimum(error, least)
    return best


def _clip_activations(graph: onnx.GraphProto, placement: Placement, ranges: Mapping[str, Range]) -> None:
    """Let weighted nodes read clipped tensors; who else reads them, sees them whole."""
    import numpy as np

    from edgetool.qdq.editor import GraphEditor

    editor = GraphEditor(graph)
    clipped: dict[str, str] = {}
    for site in placement.sites:
        if site.activation is None or (cut := ranges.get(name := site.node.input[site.activation])) is None:
            continue
        if name not in clipped:
            limits = [
                editor.constant(np.array(limit, np.float32), f"{name}_{which}")
                for which, limit in (("low", cut.low), ("high", cut.high))
            ]
            clipped[name] = editor.node("Clip", (name, *limits), f"{name}_clipped")
        editor.redirect(site.node, site.activation, clipped[name])
    editor.commit()
