"""Optimization profiles: the shapes that an engine serves, from the ranges that the user declared."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.errors import ModelError
from edgetool.signature import Signature, TensorSpec

LARGEST = 2**31 - 1
"""TensorRT counts sizes, and the elements of a tensor's dimension, in 32 bits."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes of one input: the smallest, the one that kernels are chosen for, and the largest."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


def profiles_of(signature: Signature, *, where: str) -> dict[str, Profile]:
    """The profile of every input that has a dimension without a fixed size; empty for a static model.

    Args:
        signature: of the typed ONNX, with the declared ranges.
        where: the model's file, for messages.

    Raises:
        ModelError: `wrong-profile`: a dimension without a range, a range that is not min <= opt <= max with min at
            least 1, or a size beyond 32 bits. All of them are named at once.
    """
    if faults := _faults(signature):
        raise ModelError(
            "wrong-profile",
            "; ".join(faults),
            where=where,
            hint="declare min, opt and max of each dimension in [model.dims], or fix its size with `specialize`",
        )
    shapes = [signature.input_shapes(point) for point in ("min", "opt", "max")]
    return {spec.name: Profile(*(shape[spec.name] for shape in shapes)) for spec in signature.inputs if _varies(spec)}


def _varies(spec: TensorSpec) -> bool:
    return any(not isinstance(dim, int) for dim in spec.shape)


def _faults(signature: Signature) -> list[str]:
    found: dict[str, None] = {}
    for spec in signature.inputs:
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, int):
                if dim > LARGEST:
                    found[f"axis {axis} of input {spec.name!r} has size {dim}, beyond 32 bits"] = None
            elif dim is None or dim not in signature.dims:
                found[f"axis {axis} of input {spec.name!r} ({dim or 'unnamed'}) has no range"] = None
    for name, one in signature.dims.items():
        if not 1 <= one.min <= one.opt <= one.max:
            found[f"dimension {name!r} is not 1 <= min <= opt <= max: {one.min}, {one.opt}, {one.max}"] = None
        elif one.max > LARGEST:
            found[f"dimension {name!r} goes up to {one.max}, beyond 32 bits"] = None
    return list(found)
