"""The form of a model that the generator takes: everything that the backend rewrites before it asks or generates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.artifact import Lowering
from edgetool_c.directions import forward_only
from edgetool_c.integers import in_integers
from edgetool_c.options import COptions

if TYPE_CHECKING:
    import onnx


def lower(proto: onnx.ModelProto, options: COptions) -> tuple[Lowering, ...]:
    """Rewrite the model in place; what was rewritten."""
    return (*(in_integers(proto) if options.integers else ()), *forward_only(proto))
