"""Runs the float model on the user's samples, for the methods that learn from its activations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.context import PassContext
from edgetool.errors import ConfigError
from edgetool_passes.weight_only.grain import Method

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgetool_passes.quantization.histogram import Watch
    from edgetool_passes.weight_only.work import ShowSamples


def samples_of(model: ir.Model, scratch: Path, context: PassContext, *, method: Method, where: Path) -> ShowSamples:
    """What shows all samples to watches, with the model as it is now; it may be edited afterwards.

    Args:
        model: float; a copy goes to `scratch` and from there into memory.
        scratch: a folder.
        context: lends the samples and the runtime.
        method: that wants to learn, for messages.
        where: the model's file, for messages.

    Raises:
        ConfigError: `calibration-missing` or `calibration-empty`.
    """
    from edgetool.graph import load
    from edgetool.graph.streaming import save_ir
    from edgetool_passes.quantization.calibration import Calibration

    if context.calibration is None:
        raise ConfigError(
            "calibration-missing",
            f"method = {method!r} learns from samples how the inputs of every product vary",
            where=str(where),
            hint='set `calibration = "folder or module:function"` in [data], or take method = "hqq", which needs none',
        )
    calibration = Calibration(context, where=where)
    copy = scratch / "float.onnx"
    save_ir(model, copy)
    proto = load(copy)
    copy.unlink()

    def show(watches: Mapping[str, Watch]) -> None:
        calibration.run(proto, watches, purpose="calibration samples")

    return show
