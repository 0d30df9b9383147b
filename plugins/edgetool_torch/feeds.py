"""Which sizes a conversion is proven at, and what is fed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import gcd
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.signature import DimRange, TensorSpec

if TYPE_CHECKING:
    import numpy as np

Sizes: TypeAlias = Mapping[str, int]
"""Size of every symbolic dimension: a point of the declared ranges."""

Feed: TypeAlias = "dict[str, np.ndarray[Any, Any]]"

MOST_POINTS = 12
MOST_SWEPT = 32
SEEDS = 3
_INTEGERS = ((1, 3), (0, 2), (0, 100))
"""Half-open ranges of random integers, one a seed: lengths, ids, flags and masks each survive at least one."""


def points(dims: Mapping[str, DimRange]) -> tuple[Sizes, ...]:
    """Smallest, largest, tuned and one more size in between, then each dimension alone at the other end.

    The one in between keeps the common divisor of min, opt and max, as networks with strides need it.
    """
    corners: list[Sizes] = [
        {name: wanted.min for name, wanted in dims.items()},
        {name: wanted.max for name, wanted in dims.items()},
        {name: wanted.opt for name, wanted in dims.items()},
        {name: between(wanted) for name, wanted in dims.items()},
    ]
    for alone in dims if len(dims) > 1 else ():
        corners.append({name: wanted.min if name == alone else wanted.max for name, wanted in dims.items()})
        corners.append({name: wanted.max if name == alone else wanted.min for name, wanted in dims.items()})
    return unique(corners)[:MOST_POINTS]


def sweep(dims: Mapping[str, DimRange]) -> tuple[Sizes, ...]:
    """Every size of every dimension, the others at their tuned size; evenly thinned out where there are very many."""
    tuned = {name: wanted.opt for name, wanted in dims.items()}
    found: list[Sizes] = []
    for name, wanted in dims.items():
        stride = -(-(wanted.max - wanted.min + 1) // MOST_SWEPT)
        found += [tuned | {name: size} for size in range(wanted.min, wanted.max + 1, stride)]
    return unique(found)


def unique(sizes: Sequence[Sizes]) -> tuple[Sizes, ...]:
    """Without repetitions, in order."""
    return tuple({tuple(sorted(row.items())): row for row in sizes}.values())


def between(wanted: DimRange) -> int:
    """A size strictly inside the range that is not `opt` either; `opt` where there is none."""
    step = _step(wanted)
    inside = [size for size in range(wanted.min + step, wanted.max, step) if size != wanted.opt]
    return inside[len(inside) // 2] if inside else wanted.opt


def example(dims: Mapping[str, DimRange], *, distinct: bool = True) -> Sizes:
    """Sizes to trace with: small, as tracing costs time, but at least 2, as exporters freeze a 1.

    Args:
        dims: declared ranges.
        distinct: make them different from each other, as exporters take equal ones for one; False for a network that
            wants some of them to be equal.
    """
    chosen: dict[str, int] = {}
    for name, wanted in dims.items():
        allowed = [size for size in range(wanted.min, wanted.max + 1, _step(wanted)) if size >= 2] or [wanted.max]
        fresh = [size for size in allowed if size not in chosen.values()] if distinct else []
        chosen[name] = (fresh or allowed)[0]
    return chosen


def _step(wanted: DimRange) -> int:
    return gcd(wanted.min, wanted.opt, wanted.max)


def shape_at(spec: TensorSpec, sizes: Sizes) -> tuple[int, ...]:
    """Concrete shape of an input. Every dimension has a size or a name when the importer gets here."""
    return tuple(dim if isinstance(dim, int) else sizes[dim] for dim in spec.shape if dim is not None)


def random_feed(specs: Sequence[TensorSpec], sizes: Sizes, seed: int) -> Feed:
    """Normal floats, small integers and coin flips; which integers depends on the seed."""
    import numpy as np

    generator = np.random.default_rng(seed)
    low, high = _INTEGERS[seed % len(_INTEGERS)]
    feed: Feed = {}
    for spec in specs:
        dtype, shape = np.dtype(spec.dtype), shape_at(spec, sizes)
        if dtype.kind == "b":
            feed[spec.name] = np.asarray(generator.integers(0, 2, shape), dtype)
        elif dtype.kind in "iu":
            feed[spec.name] = np.asarray(generator.integers(low, high, shape), dtype)
        else:
            feed[spec.name] = np.asarray(generator.standard_normal(shape), dtype)
    return feed


def sample_feeds(samples: Iterable[Mapping[str, Any]], specs: Sequence[TensorSpec], sizes: Sizes) -> Iterator[Feed]:
    """The user's samples cut, or repeated, to the wanted sizes: their values mean something to the network."""
    import numpy as np

    for sample in samples:
        feed: Feed = {}
        for spec in specs:
            array = np.asarray(sample[spec.name])
            for axis, size in enumerate(shape_at(spec, sizes)):
                array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
            feed[spec.name] = np.array(array, dtype=spec.dtype, order="C")
        yield feed
