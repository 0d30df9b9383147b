"""`convert-opset`: move the model to another opset, up or down."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult, from_fact


class ConvertOpsetOptions(PassOptions):
    """Where to go."""

    opset: int | None = Field(default=None, ge=9, description="Opset to convert to; unset: only as far as `max_opset`.")
    max_opset: int | None = Field(
        default=None,
        ge=9,
        json_schema_extra=from_fact("max_opset"),
        description="Newest opset that the target reads; a newer model is moved down to it.",
    )


class ConvertOpset(Pass[ConvertOpsetOptions]):
    """The same network in another version of ONNX's operators."""

    Options = ConvertOpsetOptions
    revision = 1

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Convert.

        Raises:
            ModelError: `opset-conversion-failed`, naming the nodes without a counterpart.
        """
        from edgetool.graph.load import load
        from edgetool.graph.opset import convert_opset, opset_of
        from edgetool.graph.save import save

        proto = load(model.path, weights=False)
        opset = opset_of(proto)
        wanted = self._wanted(opset)
        if wanted == opset:
            return PassResult(model, changed=False, facts={"opset": opset})
        converted = convert_opset(proto, wanted, where=str(model.path))
        target = workdir / "model.onnx"
        save(converted, target, folder=model.path.parent)
        return PassResult(Model(target, model.signature), changed=True, facts={"opset": wanted, "from": opset})

    def _wanted(self, opset: int) -> int:
        wanted = self.options.opset or opset
        return min(wanted, self.options.max_opset or wanted)
