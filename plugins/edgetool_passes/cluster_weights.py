"""`cluster-weights`: every weight takes its numbers from a palette of few, so that an archive of it is small.

The engine computes with ordinary floats, as large and as fast as before, on every runtime. What shrinks is what is
stored and sent: an archive codes each number as an index, by how often it occurs. docs/reference/palettes.md has the
formulas, their sources, and when this pays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool_passes.palettes.wishes import Coding, Wishes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgetool_passes.palettes.candidates import Candidates
    from edgetool_passes.palettes.work import Done
    from edgetool_passes.weight_only.preparation import Prepared


class ClusterWeightsOptions(PassOptions):
    """How many different numbers a weight may have, and which weights are left alone."""

    bits: float = Field(
        default=4.0,
        ge=1,
        le=8,
        description='With `coding = "entropy"`: what an index takes in the archive, on average. With `"fixed"`: a '
        "palette has 2**bits numbers. Zeros of pruned weights count for neither, and stay zero.",
    )
    embedding_bits: float | None = Field(
        default=None, ge=1, le=8, description="`bits` of tables that only Gather reads (embeddings); unset: as `bits`."
    )
    coding: Coding = Field(
        default="entropy",
        description="How a palette is chosen. `entropy`: for the least error at the wanted size in the archive, with "
        "up to 256 numbers, most of them rare. `fixed`: k-means with a fixed number of them, as in Deep Compression.",
    )
    group_size: int = Field(
        default=0,
        ge=0,
        description="Consecutive values that share a palette, rounded to whole rows of the weight's first axis; 0: all "
        "of a weight. Some thousands suit weights whose channels differ much.",
    )
    compensate: bool = Field(
        default=True,
        description="With calibration data: choose the numbers of MatMul, Gemm and 1x1 Conv column by column, so that "
        "later columns make good what earlier ones changed, as GPTQ does.",
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes or weights that stay as they are; `*` and `?` match, as in a shell."
    )
    min_size: int = Field(default=1024, ge=2, description="Weights with fewer values stay as they are.")


class ClusterWeights(Pass[ClusterWeightsOptions]):
    """For networks that travel over slow links or lie in small flash, and may take their memory when they run."""

    Options = ClusterWeightsOptions
    revision = 1

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, ClusterWeightsOptions) and options.compensate

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool_passes.palettes.verdict import verdict

        return verdict(self._look(model)[1])

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Cluster, one weight at a time; indices are kept, a byte a value, until the model is written.

        Raises:
            ConfigError: there is calibration data, and it is empty or not finite.
            ModelError: a weight is not finite.
        """
        from edgetool.graph import read_model
        from edgetool.graph.check import check_proto
        from edgetool.graph.streaming import save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.palettes.report import facts_of

        prepared, candidates = self._look(model)
        if not candidates.chosen:
            return PassResult(model, changed=False, facts={"clustered": 0, "excluded": dict(candidates.excluded)})
        shapes = output_shapes(prepared.model)
        done = self._cluster(prepared, candidates, workdir, context, where=model.path)
        facts = facts_of(done, candidates.excluded)
        if all(one.error == 0 for one in done):
            return PassResult(model, changed=False, facts=facts)
        target = workdir / "model.onnx"
        declare_output_shapes(prepared.model, shapes)
        save_ir(prepared.model, target)
        check_proto(target, where=str(model.path))
        context.note("the model is as large as before; `edgetool archive BUNDLE` stores it small")
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)

    def _look(self, model: Model) -> tuple[Prepared, Candidates]:
        from edgetool_passes.palettes.candidates import find_candidates
        from edgetool_passes.weight_only.grain import Wishes as Nodes
        from edgetool_passes.weight_only.preparation import prepare

        prepared = prepare(model.path, Nodes(min_size=self.options.min_size))
        found = find_candidates(prepared.model, min_size=self.options.min_size, exclude=self.options.exclude)
        return prepared, found

    def _cluster(
        self, prepared: Prepared, candidates: Candidates, workdir: Path, context: PassContext, *, where: Path
    ) -> list[Done]:
        from edgetool_passes.palettes.work import Work
        from edgetool_passes.weight_only.learning import samples_of
        from edgetool_passes.weight_only.weights import weights_of

        total = len(candidates.chosen)
        work = Work(
            candidates.chosen, self._wishes_for, lambda done: context.progress(done, total, "weights"), where=str(where)
        )
        if self.options.compensate and context.calibration is not None:
            with tempfile.TemporaryDirectory(prefix=".float-", dir=workdir) as scratch:
                show = samples_of(prepared.model, Path(scratch), context, method="gptq", where=where)
                work.with_samples(weights_of(prepared.sites.chosen), show)
        work.rest()
        return work.done

    def _wishes_for(self, weight: ir.Value) -> Wishes:
        is_table = all(node.op_type == "Gather" for node, _ in weight.uses())
        bits = self.options.embedding_bits if is_table else None
        return Wishes(bits or self.options.bits, self.options.coding, self.options.group_size)
