"""Proves the declared dimensions of a model by running it at the ends of their ranges.

A graph can carry a dynamic axis in its signature and still run at one size only: a Reshape with a baked length, an
Expand to the example's batch. Nothing static tells the two apart, so the model is run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.artifact import JsonValue, Model
from edgetool.context import CalibrationSet, ImportContext
from edgetool.errors import ModelError
from edgetool.signature import Dim, Point, Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from edgetool.runner import Feeds, Runner

_POINTS: tuple[Point, ...] = ("opt", "min", "max")
_INTEGERS = ((1, 2), (0, 2), (1, 100))
"""Half-open ranges that integer inputs are drawn from, in turn: lengths, flags and token ids each survive one."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What running the model showed.

    Attributes:
        sizes: sizes of the symbolic dimensions that it ran at.
        unproven: why there is less proof than one would like; None when all is well.
        shapes: of the outputs, one mapping a run.
    """

    sizes: tuple[Mapping[str, int], ...]
    unproven: str | None
    shapes: tuple[Mapping[str, tuple[int, ...]], ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {"proven_at": [dict(sizes) for sizes in self.sizes], "unproven": self.unproven}


def prove(model: Model, context: ImportContext, *, where: str) -> Proof:
    """Run the model at `opt`, `min` and `max` of its declared ranges.

    Args:
        model: as it was imported.
        context: lends the reference runtime and the user's samples.
        where: the user's file, for messages.

    Raises:
        ModelError: `frozen-dimension` when it fails at some of the sizes, naming the dimension; `model-does-not-run`
            when it fails at all of them.
    """
    signature = model.signature
    if odd := _cannot_synthesise(signature.inputs):
        return Proof((), f"input {odd.name!r} is {odd.dtype}: no inputs can be made up for it", ())
    undeclared = [name for name in signature.symbols if name not in signature.dims]
    with context.open_reference(model.path) as runner:
        trial = _Trial(runner, signature, context.samples)
        points = _unique([{name: wanted.at(point) for name, wanted in signature.dims.items()} for point in _POINTS])
        results = [trial.run({**dict.fromkeys(undeclared, 1), **sizes}) for sizes in points]
        failures = {index: result for index, result in enumerate(results) if isinstance(result, ModelError)}
        if failures and (undeclared or not trial.conclusive) and len(failures) == len(points):
            return Proof((), _doubt(undeclared, next(iter(failures.values()))), ())
        if failures:
            raise _refusal(trial, points, failures, where)
        shapes = tuple(result for result in results if not isinstance(result, ModelError))
    missing = f"no range is declared for {', '.join(map(repr, undeclared))}" if undeclared else None
    return Proof(tuple(points), missing, shapes)


def misdeclared_outputs(signature: Signature, proof: Proof) -> tuple[str, ...]:
    """Outputs that the file declares with another fixed size than they came out with."""
    return tuple(
        spec.name
        for spec in signature.outputs
        if any(_contradicts(spec.shape, shapes[spec.name]) for shapes in proof.shapes if spec.name in shapes)
    )


def _contradicts(declared: tuple[Dim, ...], actual: tuple[int, ...]) -> bool:
    return len(declared) == len(actual) and any(
        isinstance(dim, int) and dim != size for dim, size in zip(declared, actual, strict=True)
    )


class _Trial:
    """Runs a model at given sizes, with the user's samples if there are any, else with made-up inputs."""

    def __init__(self, runner: Runner, signature: Signature, samples: CalibrationSet | None) -> None:
        self._runner = runner
        self._signature = signature
        self._sample = next(iter(samples), None) if samples is not None else None
        has_integers = any(_kind(spec) in "iu" for spec in signature.inputs)
        self.conclusive = self._sample is not None or not has_integers
        self._attempts = len(_INTEGERS) if has_integers else 1

    def run(self, sizes: Mapping[str, int]) -> Mapping[str, tuple[int, ...]] | ModelError:
        """Shapes of the outputs, or why the model does not run at these sizes."""
        failure: ModelError | None = None
        for feeds in self._feeds(sizes):
            try:
                results = self._runner.infer(feeds)
            except ModelError as error:
                failure = failure or error
            else:
                return {name: tuple(array.shape) for name, array in results.items()}
        assert failure is not None  # there is at least one attempt
        return failure

    def _feeds(self, sizes: Mapping[str, int]) -> Iterator[Feeds]:
        specs = self._signature.inputs
        if self._sample is not None:
            yield {spec.name: _fitted(self._sample[spec.name], _shape(spec, sizes)) for spec in specs}
        for attempt in range(self._attempts):
            yield {spec.name: _made_up(spec, _shape(spec, sizes), attempt) for spec in specs}


def _refusal(trial: _Trial, points: list[dict[str, int]], failures: Mapping[int, ModelError], where: str) -> ModelError:
    """The error for a model that fails at some of the points, naming the dimension to blame."""
    index, failure = next(iter(failures.items()))
    if len(failures) == len(points) and len(points) == 1:
        return ModelError(
            "model-does-not-run",
            f"the model does not run{_at(points[0])}: {_words(failure)}",
            where=where,
            hint="run it in its framework with inputs of these shapes, or correct the declared ranges",
        )
    good = next((points[i] for i in range(len(points)) if i not in failures), None)
    blamed = _blamed(trial, good, points[index]) if good is not None else _varying(points)
    names = " and ".join(repr(name) for name in blamed)
    tried = f"it runs{_at(good)} but not{_at(points[index])}" if good is not None else f"it fails{_at(points[index])}"
    return ModelError(
        "frozen-dimension",
        f"{names} is declared dynamic, but the model was exported for one size: {tried}: {_words(failure)}",
        where=where,
        hint=f"export again with a dynamic {blamed[0]!r}, or declare its one size in [model.inputs]",
    )


def _blamed(trial: _Trial, good: Mapping[str, int], bad: Mapping[str, int]) -> list[str]:
    """Dimensions that make the model fail when they alone are moved from the good point to the bad one."""
    moved = [name for name in good if good[name] != bad[name]]
    guilty = [name for name in moved if isinstance(trial.run({**good, name: bad[name]}), ModelError)]
    return guilty or moved


def _words(failure: ModelError) -> str:
    """The runtime's own words, with the node that they are about."""
    node = (failure.where or "").partition(": node ")[2]
    return f"{failure.message} (node {node})" if node else failure.message


def _varying(points: list[dict[str, int]]) -> list[str]:
    return [name for name in points[0] if len({point[name] for point in points}) > 1]


def _at(sizes: Mapping[str, int] | None) -> str:
    return " at " + ", ".join(f"{name}={size}" for name, size in sizes.items()) if sizes else ""


def _doubt(undeclared: list[str], failure: ModelError) -> str:
    why = (
        f"no range is declared for {', '.join(map(repr, undeclared))}" if undeclared else "made-up integers do not suit"
    )
    return f"the model could not be run ({why}): {_words(failure)}"


def _unique(points: list[dict[str, int]]) -> list[dict[str, int]]:
    return [point for index, point in enumerate(points) if point not in points[:index]]


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    def size(dim: Dim) -> int:
        return dim if isinstance(dim, int) else sizes.get(dim or "", 1)

    return tuple(size(dim) for dim in spec.shape)


def _kind(spec: TensorSpec) -> str:
    """numpy's kind letter: f, i, u or b; anything else cannot be made up."""
    if spec.dtype in ("bool", "string"):
        return "b" if spec.dtype == "bool" else "U"
    letter = spec.dtype.rstrip("0123456789")
    return {"float": "f", "int": "i", "uint": "u"}.get(letter, "?") if spec.dtype not in ("int4", "uint4") else "?"


def _cannot_synthesise(specs: tuple[TensorSpec, ...]) -> TensorSpec | None:
    return next((spec for spec in specs if _kind(spec) in "U?"), None)


def _made_up(spec: TensorSpec, shape: tuple[int, ...], attempt: int) -> np.ndarray[Any, Any]:
    import numpy as np

    generator = np.random.default_rng(attempt)
    if _kind(spec) == "b":
        return np.asarray(generator.integers(0, 2, shape), dtype=np.bool_)
    if _kind(spec) in "iu":
        return np.asarray(generator.integers(*_INTEGERS[attempt], shape), dtype=spec.dtype)
    return np.asarray(generator.standard_normal(shape), dtype=spec.dtype)


def _fitted(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A sample cut, or repeated, along each axis."""
    import numpy as np

    for axis, size in itertools.islice(enumerate(shape), array.ndim):
        array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return np.ascontiguousarray(array) if array.ndim else array
