"""Building with TensorRT-RTX as the tests do: one call, one folder an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetool.artifact import Engine, Model
from edgetool.backends import Site
from edgetool.context import BuildContext
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.rtx import build


def build_rtx(
    model: Model,
    directory: Path,
    *,
    sm: int = 86,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    **options: Any,
) -> Engine:
    """Build an engine for one capability into `directory`, which is made."""
    directory.mkdir(parents=True)
    context = BuildContext(threads=1, progress=progress)
    return build(model, directory, TensorRtOptions(**options), Site(facts={"sm": sm}), context)
