"""`low-rank`: one large weight becomes two small ones, where that saves weights and work.

docs/reference/low-rank.md has the formulas with their sources, and when this pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pydantic
from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.errors import ConfigError, ModelError
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool_passes.factorize.layers import OPERATORS, Kernels, Operator, Wishes

if TYPE_CHECKING:
    import onnx

    from edgetool_passes.factorize.candidates import Known
    from edgetool_passes.factorize.layers import Layer, Layers
    from edgetool_passes.factorize.observation import Moments, Uses
    from edgetool_passes.quantization.calibration import Calibration
    from edgetool_passes.work import Amount

_ENERGY = 0.95


class LowRankOptions(PassOptions):
    """Which weights are factored, how finely, and with what in mind."""

    energy: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Each weight gets the smallest rank that keeps this share of the variance of its results; 0.95 if "
        "neither `energy` nor `keep` is set.",
    )
    keep: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the network's parameters (or of its work, see `of`) to keep; ranks are shared out so "
        "that the losses of all weights are least together.",
    )
    of: Literal["parameters", "macs"] = Field(
        default="parameters", description="What `keep` is a share of: stored parameters, or multiply-accumulates."
    )
    op_types: tuple[Operator, ...] = Field(default=OPERATORS, description="Operators whose weights are factored.")
    embeddings: bool = Field(
        default=True,
        description="Factor embedding tables (Gather), too: a small table and one product, which costs a little work.",
    )
    kernels: Kernels | Literal["auto"] = Field(
        default="auto",
        description="How convolutions with a kernel are factored: to few `channels` and from there by a 1x1 "
        "convolution; or `separable`, a column and then a row; `auto` takes what loses less at half the parameters.",
    )
    data: bool = Field(
        default=True,
        description="Use calibration data, where there is some, to keep what matters for it, and to correct biases.",
    )
    prior: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Share of the weight that inputs have which calibration did not show; 1 ignores the data.",
    )
    embedding_prior: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The same for rows of embedding tables, of which calibration data shows few: the rest of the "
        "weight goes to rows by how often they were looked up.",
    )
    refit: bool = Field(
        default=False,
        description="Fit second factors and biases anew, layer after layer, to what the whole network computes there; "
        "takes calibration data, and one run over it for each layer.",
    )
    multiple_of: int = Field(default=8, ge=1, le=256, description="Ranks are multiples of this, which suits kernels.")
    min_saving: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Weights that would not save this share of their parameters, and of their work, stay whole.",
    )
    min_size: int = Field(default=4096, ge=1, description="Weights with fewer values stay whole.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of nodes that stay whole; `*` and `?` match, as in a shell."
    )

    @pydantic.model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.energy is not None and self.keep is not None:
            raise ValueError("energy and keep are given: choose one of them")
        if not self.op_types and not self.embeddings:
            raise ValueError("op_types is empty and embeddings is false, so nothing would be factored")
        return self

    def wishes(self) -> Wishes:
        return Wishes(
            op_types=self.op_types,
            embeddings=self.embeddings,
            exclude=self.exclude,
            min_size=self.min_size,
            kernels=None if self.kernels == "auto" else self.kernels,
        )


class LowRank(Pass[LowRankOptions]):
    """For wide products, embeddings, and convolutions with many channels."""

    Options = LowRankOptions
    revision = 1

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, LowRankOptions) and options.data

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, LowRankOptions) and options.refit

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.factorize.layers import find_layers
        from edgetool_passes.factorize.verdict import verdict
        from edgetool_passes.quantization.placement import quantized_nodes, store_constants

        proto = load(model.path, weights=False)
        if done := quantized_nodes(proto.graph):
            return (Problem("the model is quantized already", done, "put this pass in front of the quantization"),)
        store_constants(proto.graph)
        return verdict(find_layers(proto, self.options.wishes()))

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Factor weights.

        Raises:
            ConfigError: the calibration data is empty or not finite.
            ModelError: `keep-out-of-reach`, or an activation is not finite.
        """
        import onnx

        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool_passes.factorize.layers import find_layers
        from edgetool_passes.factorize.refit import refit
        from edgetool_passes.factorize.report import facts_of
        from edgetool_passes.factorize.rewrite import factorize
        from edgetool_passes.quantization.placement import store_constants
        from edgetool_passes.work import amount_of, compared

        proto = load(model.path)
        store_constants(proto.graph)
        layers = find_layers(proto, self.options.wishes())
        shapes = model.signature.input_shapes("opt")
        before = amount_of(proto, shapes)
        calibration = self._calibration(context, where=model.path)
        known = self._known(proto, layers, model, context, calibration if self.options.data else None)
        ranks = self._ranks(known, before, where=str(model.path))
        facts = facts_of(known, ranks, layers)
        if not ranks:
            context.note("nothing was factored: no weight would save enough at the rank that it needs")
            return PassResult(model, changed=False, facts={**facts, **compared(before, before)})
        whole = onnx.ModelProto()
        whole.CopyFrom(proto)
        done = factorize(proto.graph, known, ranks)
        refitted = refit(whole, proto, done, calibration) if self.options.refit and calibration else 0
        del whole
        after = amount_of(proto, shapes)
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={**facts, "refitted": refitted, **compared(before, after)},
        )

    def _calibration(self, context: PassContext, *, where: Path) -> Calibration | None:
        from edgetool_passes.quantization.calibration import Calibration

        if context.calibration is not None and (self.options.data or self.options.refit):
            return Calibration(context, where=where)
        if self.options.refit:
            raise ConfigError(
                "calibration-missing",
                "refit fits the factors to what the network computes on samples",
                where=str(where),
                hint='set `calibration = "folder or module:function"` in [data], or leave `refit` out',
            )
        return None

    def _known(
        self,
        proto: onnx.ModelProto,
        layers: Layers,
        model: Model,
        context: PassContext,
        calibration: Calibration | None,
    ) -> dict[str, Known]:
        """The spectrum of every weight, by its name."""
        from edgetool.graph.shapes import infer_shapes
        from edgetool.qdq.index import GraphIndex
        from edgetool_passes.factorize.candidates import Trust, candidate_of
        from edgetool_passes.factorize.observation import observe, unobserved

        index = GraphIndex(proto.graph)
        types = infer_shapes(proto, model.signature.input_shapes("opt")).types
        trust = Trust(self.options.prior, self.options.embedding_prior)
        step, least = self.options.multiple_of, self.options.min_saving
        seen: Iterable[tuple[Layer, Moments | Uses | None]] = (
            unobserved(layers.chosen) if calibration is None else observe(proto, layers.chosen, calibration)
        )
        known: dict[str, Known] = {}
        for layer, what in seen:
            known[layer.weight] = candidate_of(layer, what, index, types, trust, step=step, least=least)
            context.progress(len(known), len(layers.chosen), "weights")
        return known

    def _ranks(self, known: Mapping[str, Known], before: Amount, *, where: str) -> dict[str, int]:
        """Weight -> rank, for those to factor."""
        from edgetool_passes.factorize.ranks import OutOfReach, by_budget, by_energy

        candidates = [one.candidate for one in known.values()]
        if self.options.keep is None:
            wanted = self.options.energy or _ENERGY
            found = {candidate.layer.weight: by_energy(candidate, wanted) for candidate in candidates}
            return {weight: rank for weight, rank in found.items() if rank is not None}
        of_macs = self.options.of == "macs"
        total = before.macs if of_macs else before.parameters
        if of_macs:  # a table cannot save work
            candidates = [candidate for candidate in candidates if candidate.macs.whole]
        costs = {one.layer.weight: one.macs if of_macs else one.parameters for one in candidates}
        others = total - sum(cost.whole for cost in costs.values())
        try:
            return by_budget(candidates, costs, int(self.options.keep * total) - others)
        except OutOfReach as error:
            raise ModelError(
                "keep-out-of-reach",
                f"keep = {self.options.keep:g} of the {self.options.of} is out of reach: {error.least + others} of "
                f"{total} stay even at the smallest ranks",
                where=where,
                hint=f"set keep to {(error.least + others) / total + 0.005:.2f} or more, or factor more weights",
            ) from error
