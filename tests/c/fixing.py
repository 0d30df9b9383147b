"""Tiny models with all of their sizes fixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgetool.artifact import Model
from edgetool.graph import load, read_model, save
from edgetool.graph.shapes import fix_inputs
from edgetool.signature import Point
from edgetool.testing.models import MakeModel


def fixed(make: MakeModel, point: Point = "opt") -> MakeModel:
    """The same model with all of its sizes fixed, as `specialize` leaves it."""

    def make_fixed(folder: Path) -> Model:
        model = make(folder)
        proto = load(model.path)
        sizes = {name: found.at(point) for name, found in model.signature.dims.items()}
        fix_inputs(proto, model.signature.input_shapes(point))
        for value in proto.graph.output:
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param:
                    dim.dim_value = sizes[dim.dim_param]
        save(proto, model.path)
        return replace(model, signature=read_model(model.path, {}).signature)

    make_fixed.__name__ = make.__name__
    return make_fixed
