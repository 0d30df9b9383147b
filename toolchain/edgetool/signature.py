"""What goes into a model and what comes out: names, dtypes, shapes and the ranges of symbolic dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Dim: TypeAlias = int | str | None
"""A fixed size, a symbolic name, or None where the model does not say."""

Point: TypeAlias = Literal["min", "opt", "max"]
"""Which end of the declared ranges a shape is taken at."""


@dataclass(frozen=True, slots=True)
class DimRange:
    """The sizes that a symbolic dimension may take; `opt` is the one to tune for."""

    min: int
    opt: int
    max: int

    def at(self, point: Point) -> int:
        return {"min": self.min, "opt": self.opt, "max": self.max}[point]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: as the model spells it.
        dtype: numpy's name (`float32`, `int64`, ...), or `bfloat16`, `float8_e4m3fn`, `int4`, `uint4`, `string`.
        shape: one entry a dimension.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a Model, and what is known of its symbolic dimensions."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: Mapping[str, DimRange] = field(default_factory=dict)

    def input_shapes(self, point: Point) -> dict[str, tuple[int, ...]]:
        """Concrete input shapes at one end of the ranges; a dimension without a range counts as 1."""
        return {spec.name: tuple(self._size(d, point) for d in spec.shape) for spec in self.inputs}

    def _size(self, dim: Dim, point: Point) -> int:
        if isinstance(dim, int):
            return dim
        if dim is not None and dim in self.dims:
            return self.dims[dim].at(point)
        return 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbolic dimensions of the inputs, in order of first use."""
        return tuple(dict.fromkeys(d for spec in self.inputs for d in spec.shape if isinstance(d, str)))

    @property
    def is_dynamic(self) -> bool:
        return any(not isinstance(d, int) for spec in self.inputs for d in spec.shape)

    def to_json(self) -> dict[str, object]:
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "dims": {name: {"min": r.min, "opt": r.opt, "max": r.max} for name, r in sorted(self.dims.items())},
        }


def signature_from_json(data: Mapping[str, object]) -> Signature:
    """Inverse of `Signature.to_json`."""

    def specs(key: str) -> tuple[TensorSpec, ...]:
        rows = data[key]
        assert isinstance(rows, list)
        return tuple(TensorSpec(row["name"], row["dtype"], tuple(row["shape"])) for row in rows)

    dims = data.get("dims", {})
    assert isinstance(dims, dict)
    return Signature(
        inputs=specs("inputs"),
        outputs=specs("outputs"),
        dims={name: DimRange(r["min"], r["opt"], r["max"]) for name, r in dims.items()},
    )


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's dtype of a `TensorSpec.dtype`, with the types that only ml_dtypes has."""
    import numpy as np

    if name == "string":
        return np.dtype(object)
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # bfloat16, float8 and the 4-bit integers

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype
