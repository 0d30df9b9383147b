"""`clip-outliers`: rare large weights are cut off, so that what quantizes them later has finer steps for all others.

For quantizers that cover the largest weight in coarse steps: one scale for a whole weight, four bits without blocks,
and runtimes that quantize on their own. docs/reference/clipping.md has measurements of when it pays and when it harms.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.errors import ModelError
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool_passes.quantization.rules import WEIGHTED, Operator, Rules

if TYPE_CHECKING:
    import numpy as np

    from edgetool_passes.quantization.placement import Site

    Array = np.ndarray[Any, Any]

_SHARES = 50


class ClipOutliersOptions(PassOptions):
    """What quantizes afterwards, and which weights are left alone."""

    bits: Literal[4, 8] = Field(default=8, description="Bits of the symmetric integers that are to follow.")
    per_channel: bool = Field(
        default=True, description="One limit for each output channel of a weight; else one in all, as its scales."
    )
    op_types: tuple[Operator, ...] = Field(default=WEIGHTED, description="Weighted operators that are looked at.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that are left alone; `*` and `?` match, as in a shell."
    )

    def rules(self) -> Rules:
        return Rules(op_types=self.op_types, embeddings=False, residual_adds=False, exclude=self.exclude)


class ClipOutliers(Pass[ClipOutliersOptions]):
    """Before a quantizer that covers whatever it sees."""

    Options = ClipOutliersOptions
    revision = 1

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.quantization.verdict import verdict

        return verdict(load(model.path), self.options.rules())

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Clip every weight where that does the least squared error once it is rounded.

        Raises:
            ModelError: a weight is not finite.
        """
        from onnx import numpy_helper

        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool_passes.quantization.placement import place, store_constants

        proto = load(model.path)
        store_constants(proto.graph)
        placement = place(proto, self.options.rules())
        stored = {tensor.name: tensor for tensor in proto.graph.initializer}
        cut: dict[str, float] = {}
        for name, site in {site.weight_name: site for site in placement.sites}.items():
            before = numpy_helper.to_array(stored[name])
            after = self._clipped(before, site, where=f"{model.path}: {name}")
            if share := float((after != before).mean()):
                cut[name] = share
                stored[name].CopyFrom(numpy_helper.from_array(after, name))
        facts: dict[str, JsonValue] = {
            "clipped": len(cut),
            "mean_share": sum(cut.values()) / max(1, len(cut)),
            "excluded": dict(placement.excluded),
        }
        if not cut:
            return PassResult(model, changed=False, facts=facts)
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)

    def _clipped(self, weight: Array, site: Site, *, where: str) -> Array:
        import numpy as np

        if not np.isfinite(weight).all():
            raise ModelError(
                "non-finite-weight",
                "a weight holds NaN or infinity",
                where=where,
                hint="the training diverged or the export went wrong: export a healthy checkpoint",
            )
        rows = np.moveaxis(weight, site.axis, 0)
        limits = best_limits(rows.reshape(len(rows) if self.options.per_channel else 1, -1), bits=self.options.bits)
        shape = [1] * weight.ndim
        shape[site.axis] = len(limits)
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
