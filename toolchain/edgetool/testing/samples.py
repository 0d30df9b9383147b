"""Deterministic feeds for any signature, and calibration sets that are made of them or of given ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.signature import Point, Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from edgetool.runner import Feeds

_FEW = 4
"""Integers are drawn below this, so that they are valid indices into any table worth the name."""


def feeds_for(signature: Signature, point: Point = "opt", *, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Random feeds at one end of the declared ranges: normal floats, small integers, both truth values.

    Args:
        signature: of the model.
        point: which shapes.
        seed: the same seed gives the same feeds.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    shapes = signature.input_shapes(point)
    return {spec.name: _array(spec, shapes[spec.name], generator) for spec in signature.inputs}


def _array(spec: TensorSpec, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    import numpy as np

    if spec.dtype == "string":
        return np.asarray(generator.integers(0, _FEW, shape).astype(str), dtype=object)
    if spec.dtype == "bool":
        return np.asarray(generator.integers(0, 2, shape), dtype=bool)
    if spec.dtype.startswith(("int", "uint")):
        return np.asarray(generator.integers(0, _FEW, shape), dtype=spec.dtype)
    if spec.dtype.startswith(("bfloat", "float8", "float4", "float6")):
        import ml_dtypes

        return np.asarray(generator.normal(size=shape), dtype=getattr(ml_dtypes, spec.dtype))
    return np.asarray(generator.normal(size=shape), dtype=spec.dtype)


@dataclass(frozen=True)
class Samples:
    """Feeds made from seeds 0, 1, 2, ...; an `edgetool.context.CalibrationSet`.

    Attributes:
        signature: of the model that they are for.
        count: how many feeds iteration gives.
    """

    signature: Signature
    count: int = 4

    @property
    def digest(self) -> str:
        return _digest(self)

    def __iter__(self) -> Iterator[Feeds]:
        return (feeds_for(self.signature, "opt", seed=seed) for seed in range(self.count))


@dataclass(frozen=True)
class GivenSamples:
    """A list of feeds as the framework hands them over; an `edgetool.context.CalibrationSet`."""

    feeds: Sequence[Feeds]

    @property
    def count(self) -> int:
        return len(self.feeds)

    @property
    def digest(self) -> str:
        return _digest(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self.feeds)


def _digest(samples: Iterable[Feeds]) -> str:
    total = hashlib.sha256()
    for feeds in samples:
        for name, array in feeds.items():
            total.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
            total.update(array.tobytes())
    return total.hexdigest()
