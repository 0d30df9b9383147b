"""A model made ready for its weights to be replaced: constants stored, functions inlined, in an opset that fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool_passes.weight_only.grain import Wishes
from edgetool_passes.weight_only.sites import Sites, find_sites

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model and what is to be done to it.

    Attributes:
        model: to be edited; its weights are still in their files.
        sites: of its main graph.
        opset: that it came in.
    """

    model: ir.Model
    sites: Sites
    opset: int


def prepare(path: Path, wishes: Wishes) -> Prepared:
    """Load a model and find what to quantize, without raising its opset."""
    from edgetool.graph import load
    from edgetool.graph.opset import opset_of

    proto = load(path, weights=False)
    model = _tidied(proto, path)
    return Prepared(model, find_sites(model, wishes), opset_of(proto))


def prepare_in_new_opset(path: Path, wishes: Wishes) -> Prepared:
    """As `prepare`, raised to the opset that the chosen grains take, if it is older.

    Raises:
        ModelError: `opset-conversion-failed`.
    """
    import onnx.helper

    from edgetool.graph import load
    from edgetool.graph.opset import convert_opset

    prepared = prepare(path, wishes)
    needed = prepared.sites.opset
    if prepared.opset < needed:
        proto = convert_opset(load(path, weights=False), needed, where=str(path))
        model = _tidied(proto, path)
        prepared = Prepared(model, find_sites(model, wishes), prepared.opset)
    imports = [onnx.helper.make_opsetid("", max(needed, prepared.opset))]
    prepared.model.ir_version = max(prepared.model.ir_version, onnx.helper.find_min_ir_version_for(imports))
    return prepared


def _tidied(proto: onnx.ModelProto, path: Path) -> ir.Model:
    import onnx_ir.passes.common as tidy

    from edgetool.graph.streaming import as_ir

    model = as_ir(proto, path.parent, where=str(path))
    tidy.InlinePass()(model)
    if model.ir_version < 4:  # there every initializer had to be an input as well
        tidy.RemoveInitializersFromInputsPass()(model)
    tidy.LiftConstantsToInitializersPass()(model)
    return model
