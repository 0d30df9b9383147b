"""`prune-channels`: whole channels and attention heads go, so that every runtime has less to do.

What has to go together follows from the graph; what goes, from data or from the weights; and the layers behind are
fitted anew, so that accuracy survives without training. docs/reference/pruning.md has the formulas, their sources and
the measured curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem

if TYPE_CHECKING:
    import onnx

    from edgetool.graph.shapes import ShapedGraph
    from edgetool_passes.pruning.allocation import Guard
    from edgetool_passes.pruning.curve import Curve
    from edgetool_passes.pruning.groups import Dependencies
    from edgetool_passes.pruning.observation import Observation
    from edgetool_passes.pruning.reconstruction import Refit

Importance = Literal["auto", "l1", "l2", "bn-scale", "activation", "reconstruction"]
_FROM_DATA = ("activation", "reconstruction")


class PruneChannelsOptions(PassOptions):
    """How much goes, what counts as important, and what stays."""

    amount: float = Field(default=0.3, gt=0, lt=1, description="Share to remove, of what `scope` says.")
    scope: Literal["macs", "channels", "layer"] = Field(
        default="macs",
        description="What `amount` is a share of. `macs`: of the multiply-accumulates, taken where they are missed "
        "least; `channels`: of all channels, likewise; `layer`: of the channels of every layer alike.",
    )
    importance: Importance = Field(
        default="auto",
        description="What makes a channel worth keeping. `reconstruction`: the error of the following layers once the "
        "other channels make up for it; `activation`: its share of their output; `l1`, `l2`: the norm of its weights; "
        "`bn-scale`: its BatchNormalization scale. `auto` is `reconstruction` with calibration data, else `l2`.",
    )
    reconstruct: bool = Field(
        default=True, description="With calibration data: fit the layers that lost input channels by least squares."
    )
    round_to: int = Field(
        default=1, ge=1, le=256, description="Layers that lose channels keep a multiple of this; 8 or 16 suit GPUs."
    )
    min_channels: int = Field(default=4, ge=1, description="Output channels that every layer keeps.")
    max_layer: float = Field(default=0.8, gt=0, lt=1, description="Share of one layer's channels that may go.")
    heads: bool = Field(default=True, description="Remove attention heads too.")
    exclude: tuple[str, ...] = Field(
        default=(), description="Names of layers whose output channels stay; `*` and `?` match, as in a shell."
    )
    samples: int = Field(default=64, ge=1, description="Calibration feeds to look at, at most.")

    def guard(self) -> Guard:
        from edgetool_passes.pruning.allocation import Guard

        return Guard(min_channels=self.min_channels, most=self.max_layer, multiple=self.round_to)


class PruneChannels(Pass[PruneChannelsOptions]):
    """A narrower network of the same shape."""

    Options = PruneChannelsOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, PruneChannelsOptions) and options.importance in _FROM_DATA

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, PruneChannelsOptions) and (options.importance == "auto" or options.reconstruct)

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.pruning.verdict import quantized_already, verdict

        proto = load(model.path)
        if (refusal := quantized_already(proto)) is not None:
            return (refusal,)
        dependencies, _ = self._look(proto, model)
        if self.options.importance == "bn-scale" and not dependencies.trace.norms:
            return (
                Problem(
                    "there is no BatchNormalization whose scale could tell what is important",
                    fix='put this pass before `simplify`, which fuses them, or choose importance = "l2"',
                ),
            )
        return verdict(dependencies)

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Remove channels, and fit what is left.

        Raises:
            ConfigError: the options need calibration data that is missing, empty or not finite.
            ModelError: a tensor is not finite on data that is; or `inconsistent-pruning`: the rules were wrong about an
                operator.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool.graph.macs import count_macs
        from edgetool.graph.shapes import infer_shapes
        from edgetool_passes.pruning.allocation import allocate
        from edgetool_passes.pruning.cut import cut
        from edgetool_passes.pruning.proof import prove
        from edgetool_passes.pruning.reconstruction import reconstruct
        from edgetool_passes.pruning.report import channels_by_group, parameters
        from edgetool_passes.pruning.work import Work

        proto = load(model.path)
        dependencies, shaped = self._look(proto, model)
        observation = self._observation(model, context)
        original = _copy(proto)
        curves = self._curves(original, dependencies, observation)
        removed = allocate(
            dependencies,
            curves,
            Work(dependencies, dict(shaped.types)),
            self.options.guard(),
            scope=self.options.scope,
            amount=self.options.amount,
        )
        if not removed:
            context.note("prune-channels removed nothing: the options leave every layer as it is")
            return PassResult(model, changed=False, facts={"removed_units": 0, "kept": dict(dependencies.kept)})
        channels = channels_by_group(dependencies, removed)
        refits = _refits(dependencies, removed) if self.options.reconstruct and observation is not None else ()
        expected = cut(dependencies, removed)
        remaining = infer_shapes(proto, model.signature.input_shapes("opt"))
        prove(remaining, expected, where=str(model.path))
        fitted = 0
        if observation is not None:
            fitted = reconstruct(original, proto, refits, observation, shapes=dependencies.trace.shapes)
        elif self.options.reconstruct:
            context.note("prune-channels fitted nothing to make up for the loss: there is no calibration data")
        macs = {"from": count_macs(shaped).value, "to": count_macs(remaining).value}
        if self.options.scope == "macs" and macs["to"] > (1 - self.options.amount) * macs["from"] * 1.01:
            context.note(
                f"only {1 - macs['to'] / macs['from']:.0%} of the multiply-accumulates could go: "
                "min_channels, max_layer, round_to and what has to stay allow no more"
            )
        sizes: dict[str, JsonValue] = {"from": parameters(original), "to": parameters(proto)}
        target = workdir / "model.onnx"
        save(proto, target)
        check_proto(target, where=str(model.path))
        return PassResult(
            read_model(target, model.signature.dims),
            changed=True,
            facts={
                "macs": dict(macs),
                "parameters": sizes,
                "removed_units": len(removed),
                "channels": channels,
                "kept": dict(dependencies.kept),
                "importance": self._importance(observation),
                "fitted_layers": fitted,
                "calibration_feeds": observation.count if observation is not None else 0,
            },
        )

    def _look(self, proto: onnx.ModelProto, model: Model) -> tuple[Dependencies, ShapedGraph]:
        """The dependencies among a model's channels; its Constant nodes become initializers on the way."""
        from edgetool.graph.shapes import infer_shapes
        from edgetool_passes.pruning.groups import find_dependencies
        from edgetool_passes.quantization.placement import store_constants

        store_constants(proto.graph)
        shaped = infer_shapes(proto, model.signature.input_shapes("opt"))
        dependencies = find_dependencies(
            proto,
            {name: known.shape for name, known in shaped.types.items()},
            exclude=self.options.exclude,
            keep_heads=not self.options.heads,
        )
        return dependencies, shaped

    def _observation(self, model: Model, context: PassContext) -> Observation | None:
        from edgetool_passes.pruning.observation import Observation

        if not self.wants_calibration(self.options):
            if context.calibration is None or not self.welcomes_calibration(self.options):
                return None
            if context.calibration.count == 0:
                return None
        return Observation(context, where=model.path, limit=self.options.samples)

    def _importance(self, observation: Observation | None) -> Importance:
        if self.options.importance != "auto":
            return self.options.importance
        return "l2" if observation is None else "reconstruction"

    def _curves(
        self, original: onnx.ModelProto, dependencies: Dependencies, observation: Observation | None
    ) -> list[Curve]:
        from edgetool_passes.pruning.curve import by_batch_norm, by_norm
        from edgetool_passes.pruning.importance import curves_from_data

        match self._importance(observation):
            case "l1":
                return [by_norm(dependencies, group, 1) for group in dependencies.groups]
            case "bn-scale":
                found = [by_batch_norm(dependencies, group) for group in dependencies.groups]
                return [curve for curve in found if curve is not None]
            case "activation" | "reconstruction" as chosen if observation is not None:
                return curves_from_data(original, dependencies, observation, eliminate=chosen == "reconstruction")
            case _:
                return [by_norm(dependencies, group, 2) for group in dependencies.groups]


def _refits(dependencies: Dependencies, removed: set[int]) -> Sequence[Refit]:
    """The layers that lose input channels, in the graph's order, with the outputs that they keep."""
    import numpy as np

    from edgetool_passes.pruning.reconstruction import Refit

    gone = np.array(sorted(removed))
    return [
        Refit(layer, ~np.isin(dependencies.output_units(layer), gone))
        for layer in dependencies.trace.layers
        if layer.inputs is not None and np.isin(dependencies.input_units(layer), gone).any()
    ]


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy
