"""`drop-layers`: takes repeated residual blocks out of a network.

Residual networks refine a stream step by step, and miss some of the steps little. Unlike thinner layers, fewer layers
are faster on every hardware. docs/reference/drop-layers.md has the formulas with their sources, and when this pays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pydantic
from pydantic import Field

from edgetool.artifact import JsonValue, Model
from edgetool.context import PassContext
from edgetool.errors import ConfigError
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem

if TYPE_CHECKING:
    import onnx

    from edgetool_passes.blocks.stacks import Block
    from edgetool_passes.quantization.calibration import Calibration


class DropLayersOptions(PassOptions):
    """Which blocks go, how they are chosen, and what takes their place."""

    blocks: tuple[int, ...] = Field(
        default=(),
        description="Numbers of the blocks to remove, from 0 in the order of the network; -1 is the last. `edgetool "
        "compress` lists what was found in the facts of the pass.",
    )
    count: int | None = Field(
        default=None, ge=1, description="How many blocks to remove, those that are missed least; 1 if nothing is said."
    )
    keep: int | None = Field(default=None, ge=0, description="How many blocks to keep, instead of `count`.")
    measure: Literal["output", "angle"] = Field(
        default="output",
        description="How `count` and `keep` choose: by how much the network's `output` changes, which looks at one "
        "block after the other; or by the `angle` between what enters a block and what leaves it, which is quicker.",
    )
    correction: Literal["linear", "scale", "none"] = Field(
        default="linear",
        description="What takes the place of removed blocks, fitted to calibration data: a `linear` map, which costs a "
        "small matrix for each gap; a factor and a shift for each channel (`scale`), which vanish in a "
        "LayerNormalization in front; or nothing. Without calibration data: nothing.",
    )

    @pydantic.model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name in ("blocks", "count", "keep") if getattr(self, name) not in ((), None)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given: choose one of them")
        return self

    @property
    def measures(self) -> bool:
        """Whether importance has to be measured."""
        return not self.blocks


class DropLayers(Pass[DropLayersOptions]):
    """For transformers first of all; for every network of residual blocks that repeat."""

    Options = DropLayersOptions
    revision = 1

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, DropLayersOptions) and options.measures

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        return isinstance(options, DropLayersOptions) and options.correction != "none"

    def check(self, model: Model) -> tuple[Problem, ...]:
        from edgetool.graph import load
        from edgetool_passes.blocks.importance import float_outputs
        from edgetool_passes.blocks.stacks import find_blocks
        from edgetool_passes.blocks.verdict import choice_problems, count_problems, nothing_repeats, reasons_against
        from edgetool_passes.quantization.placement import quantized_nodes, store_constants

        graph = load(model.path, weights=False).graph
        if done := quantized_nodes(graph):
            return (Problem("the model is quantized already", done, "put this pass in front of the quantization"),)
        store_constants(graph)
        blocks = find_blocks(graph)
        if not blocks:
            return (nothing_repeats(),)
        against = reasons_against(graph, blocks)
        if self.options.blocks:
            return choice_problems(blocks, against, self.options.blocks)
        if self.options.measure == "output" and not float_outputs(graph):
            return (Problem("no output is float32, so its change cannot be measured", fix='set measure = "angle"'),)
        return count_problems(blocks, against, self._count(len(blocks)))

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Remove blocks.

        Raises:
            ConfigError: calibration data that is needed is missing, or what there is, is empty or not finite.
            ModelError: an activation is not finite.
        """
        from edgetool.graph import load, read_model, save
        from edgetool.graph.check import check_proto
        from edgetool_passes.blocks.correction import shorten
        from edgetool_passes.blocks.removal import gaps
        from edgetool_passes.blocks.stacks import find_blocks
        from edgetool_passes.quantization.placement import store_constants
        from edgetool_passes.work import amount_of, compared

        whole = load(model.path)
        store_constants(whole.graph)
        blocks = find_blocks(whole.graph)
        calibration = self._calibration(context, model)
        measured = self._measured(whole, blocks, calibration)
        removed = self._removed(len(blocks), measured)
        kind = None if self.options.correction == "none" else self.options.correction
        if calibration is None and kind is not None:
            context.note("nothing corrects the gaps: there is no calibration data to fit a correction to")
        shortened, bridged = shorten(whole, gaps(blocks, removed), calibration, kind)
        shapes = model.signature.input_shapes("opt")
        amounts = compared(amount_of(whole, shapes), amount_of(shortened, shapes))
        target = workdir / "model.onnx"
        save(shortened, target)
        check_proto(target, where=str(model.path))
        facts: dict[str, JsonValue] = {
            "blocks": {str(block.number): f"{block.start} -> {block.end}" for block in blocks},
            "removed": [*sorted(removed)],
            "measured": {str(number): round(value, 6) for number, value in measured.items()},
            "gaps": [gap.to_json() for gap in bridged],
            **amounts,
        }
        return PassResult(read_model(target, model.signature.dims), changed=True, facts=facts)

    def _count(self, blocks: int) -> int:
        return blocks - self.options.keep if self.options.keep is not None else self.options.count or 1

    def _calibration(self, context: PassContext, model: Model) -> Calibration | None:
        from edgetool_passes.quantization.calibration import Calibration

        if context.calibration is not None and (self.options.measures or self.options.correction != "none"):
            return Calibration(context, where=model.path)
        if self.options.measures:
            raise ConfigError(
                "calibration-missing",
                "which blocks a network misses least is measured on samples",
                where=str(model.path),
                hint='set `calibration = "folder or module:function"` in [data], or name the blocks: `blocks = [3, 4]`',
            )
        return None

    def _measured(
        self, whole: onnx.ModelProto, blocks: Sequence[Block], calibration: Calibration | None
    ) -> dict[int, float]:
        """Block -> what it matters; those to remove first. Empty where the recipe names them."""
        from edgetool_passes.blocks.importance import angles, least_missed
        from edgetool_passes.blocks.verdict import reasons_against

        if calibration is None or not self.options.measures:
            return {}
        against = reasons_against(whole.graph, blocks)
        able = [block for block in blocks if block.number not in against]
        if self.options.measure == "angle":
            turned = angles(whole, able, calibration)
            return dict(sorted(turned.items(), key=lambda item: item[1]))
        return least_missed(whole, blocks, [block.number for block in able], self._count(len(blocks)), calibration)

    def _removed(self, blocks: int, measured: Iterable[int]) -> frozenset[int]:
        if not self.options.measures:
            return frozenset(number % blocks for number in self.options.blocks)
        return frozenset(itertools.islice(measured, self._count(blocks)))
