"""Feeds at the ends of the declared ranges: real samples stretched to size, or random where there are none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgetool.signature import Point, Signature, TensorSpec, numpy_dtype
from edgetool.validate.samples import Array

if TYPE_CHECKING:
    from edgetool.runner import Feeds

Origin: TypeAlias = Literal["evaluation", "stretched", "random"]
"""Where the values of a feed come from."""

MAX_EXTRA_POINTS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """One choice of sizes within the declared ranges.

    Attributes:
        name: `min`, `opt`, `max`, or `max NAME` where a single dimension is at its largest.
        sizes: of the symbolic dimensions that have a range.
    """

    name: str
    sizes: Mapping[str, int]

    def __str__(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"{self.name} ({sizes})" if sizes else self.name


def shapes(signature: Signature) -> tuple[Shape, ...]:
    """The ends of the ranges, and each dimension alone at its largest; equal ones once."""
    ranged = [name for name in signature.symbols if name in signature.dims]
    points: tuple[Point, ...] = ("opt", "min", "max")
    found = [Shape(point, {name: signature.dims[name].at(point) for name in ranged}) for point in points]
    if len(ranged) > 1:
        smallest = {name: signature.dims[name].min for name in ranged}
        found += [
            Shape(f"max {name}", {**smallest, name: signature.dims[name].max}) for name in ranged[:MAX_EXTRA_POINTS]
        ]
    unique: dict[tuple[int, ...], Shape] = {}
    for shape in found:
        unique.setdefault(tuple(shape.sizes.values()), shape)
    return tuple(unique.values())


def stretched(samples: Sequence[Feeds], signature: Signature, shape: Shape, *, seed: int) -> Feeds:
    """Real samples cut or repeated to the wanted sizes; a larger batch is made of different samples.

    Axes without a declared range keep the samples' size, so lengths that belong together stay together.
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(samples))
    chosen = [samples[int(index)] for index in order]
    batch = _batch_symbol(signature)
    if batch is None:
        return {spec.name: _resized(chosen[0][spec.name], spec, shape.sizes) for spec in signature.inputs}
    alike = [sample for sample in chosen if _free_sizes(sample, signature) == _free_sizes(chosen[0], signature)]
    members = _enough(alike, signature, shape.sizes[batch])
    others = {name: size for name, size in shape.sizes.items() if name != batch}
    feeds: dict[str, Array] = {}
    for spec in signature.inputs:
        joined = np.concatenate([_resized(member[spec.name], spec, others) for member in members])
        feeds[spec.name] = _resized(joined, spec, shape.sizes)
    return feeds


def _enough(samples: Sequence[Feeds], signature: Signature, rows: int) -> list[Feeds]:
    """Samples, over and over, until they have so many rows together."""
    found: list[Feeds] = []
    for sample in itertools.islice(itertools.cycle(samples), rows):
        found.append(sample)
        rows -= min(sample[spec.name].shape[0] for spec in signature.inputs)
        if rows <= 0:
            break
    return found


def random_feeds(signature: Signature, shape: Shape, *, seed: int) -> Feeds:
    """Standard normal floats, and zeros and ones for everything else: valid as mask, index and flag alike."""
    import numpy as np

    generator = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for spec in signature.inputs:
        size = tuple(dim if isinstance(dim, int) else shape.sizes.get(dim or "", 1) for dim in spec.shape)
        dtype = numpy_dtype(spec.dtype)
        if spec.dtype == "string":
            feeds[spec.name] = np.full(size, "", dtype=object)
        elif spec.dtype == "bool" or dtype.kind in "iu" or spec.dtype.startswith(("int", "uint")):
            feeds[spec.name] = generator.integers(0, 2, size=size).astype(dtype)
        else:
            feeds[spec.name] = generator.standard_normal(size).astype(dtype)
    return feeds


def trial_feeds(
    samples: Sequence[Feeds], signature: Signature, *, seeds: int
) -> Iterator[tuple[Shape, Origin, int, Feeds]]:
    """What to run besides the user's own samples: every shape, several seeds at the one to tune for."""
    origin: Origin = "stretched" if samples else "random"
    for shape in shapes(signature):
        if samples and not shape.sizes:
            continue  # the samples themselves are all there is
        for seed in range(seeds if shape.name == "opt" else 1):
            if samples:
                yield shape, origin, seed, stretched(samples, signature, shape, seed=seed)
            else:
                yield shape, origin, seed, random_feeds(signature, shape, seed=seed)


def _batch_symbol(signature: Signature) -> str | None:
    """The ranged symbol that all inputs have as their first axis, if there is one."""
    leading = {spec.shape[0] if spec.shape else None for spec in signature.inputs}
    symbol = leading.pop() if len(leading) == 1 else None
    return symbol if isinstance(symbol, str) and symbol in signature.dims else None


def _free_sizes(sample: Feeds, signature: Signature) -> list[tuple[int, ...]]:
    """Sizes of the axes that have no declared range: samples that differ in them cannot share a batch."""
    return [
        tuple(
            size
            for size, dim in zip(sample[spec.name].shape, spec.shape, strict=True)
            if not (isinstance(dim, str) and dim in signature.dims)
        )
        for spec in signature.inputs
    ]


def _resized(array: Array, spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    import numpy as np

    for axis, dim in enumerate(spec.shape):
        if isinstance(dim, str) and dim in sizes and array.shape[axis] != sizes[dim]:
            if sizes[dim] < array.shape[axis]:
                array = np.ascontiguousarray(array[(slice(None),) * axis + (slice(sizes[dim]),)])
            else:
                array = np.take(array, np.arange(sizes[dim]) % array.shape[axis], axis=axis)
    return array
