"""Makes raw samples into feeds of a signature: names, dtypes, ranks, sizes and batches are checked, not guessed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgetool.errors import ConfigError
from edgetool.signature import Signature, TensorSpec, numpy_dtype
from edgetool.validate.samples import Array, RawSample, Sample

if TYPE_CHECKING:
    import numpy as np


def fit_all(
    raws: Iterable[RawSample],
    signature: Signature,
    *,
    fixed: Mapping[str, object] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Sample]:
    """Turn raw samples into feeds, in order.

    An array whose rank is one less than the input's gets a batch axis of 1. Where the model's batch is larger
    than 1, that many samples are joined; what is left over at the end is dropped, and `note` told so. Where the
    model takes one at a time, batches are cut.

    Inputs that were fixed in the model are left out of samples that still have them.

    Raises:
        ConfigError: a name, dtype, rank or size does not fit, or an input was fixed to another value; says which
            file and input.
    """
    wanted = batch_size(signature)
    waiting: list[Sample] = []
    for raw in raws:
        sample = _fit_one(_without_fixed(raw, fixed or {}), signature)
        if wanted > 1 and all(sample.feeds[spec.name].shape[0] == 1 for spec in _batched(signature)):
            waiting.append(sample)
            if len(waiting) < wanted:
                continue
            sample, waiting = _join(waiting, signature), []
        for part in _cut(sample, signature):
            _check_sizes(part, signature)
            yield part
    if waiting:
        note(f"the last {len(waiting)} samples do not fill a batch of {wanted} and were left out")


def batch_size(signature: Signature) -> int:
    """How many samples make the smallest batch that the model takes; 1 when its inputs do not share a first axis."""
    leading = {spec.shape[0] for spec in signature.inputs if spec.shape}
    if len(leading) != 1:
        return 1
    dim = leading.pop()
    if isinstance(dim, str):
        return signature.dims[dim].min if dim in signature.dims else 1
    return dim or 1


def _batched(signature: Signature) -> list[TensorSpec]:
    return [spec for spec in signature.inputs if spec.shape]


def _without_fixed(raw: RawSample, fixed: Mapping[str, object]) -> RawSample:
    import numpy as np

    for name in fixed.keys() & raw.arrays.keys():
        if not np.all(raw.arrays[name] == np.asarray(fixed[name])):
            raise ConfigError(
                "data-not-as-fixed",
                f"the model was specialised for {name} = {fixed[name]}, the sample has another value",
                where=f"{raw.origin}: {name}",
                hint="leave such samples out, or specialise the model for the value in the samples",
            )
    return replace(raw, arrays={name: array for name, array in raw.arrays.items() if name not in fixed})


def _fit_one(raw: RawSample, signature: Signature) -> Sample:
    _check_names(raw, signature)
    feeds: dict[str, Array] = {}
    casts: list[str] = []
    for spec in signature.inputs:
        where = f"{raw.origin}: {spec.name}"
        array = _with_rank(raw.arrays[spec.name], spec, where)
        cast = _cast(array, spec, where)
        if cast is not array and cast.dtype != array.dtype and spec.dtype != "string":
            casts.append(f"{spec.name}: {array.dtype} was cast to {spec.dtype}")
        feeds[spec.name] = cast
    return Sample(feeds, raw.label, raw.origin, tuple(casts))


def _check_names(raw: RawSample, signature: Signature) -> None:
    known = [spec.name for spec in signature.inputs]
    for name in raw.arrays:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                "data-wrong-name",
                f"{name!r} is not an input of the model",
                where=raw.origin,
                hint=f"did you mean {close[0]!r}?"
                if close
                else f"the inputs are {_listed(known)}; labels go in 'label'",
            )
    missing = [name for name in known if name not in raw.arrays]
    if missing:
        raise ConfigError(
            "data-missing-input",
            f"there is no array for input {_listed(missing)}",
            where=raw.origin,
            hint=f"it holds {_listed(raw.arrays) or 'nothing'}; the model wants {_listed(known)}",
        )


def _listed(names: Iterable[str] | Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names)


def _with_rank(array: Array, spec: TensorSpec, where: str) -> Array:
    if array.ndim == len(spec.shape):
        return array
    if array.ndim == len(spec.shape) - 1:
        return array[None]
    raise ConfigError(
        "data-wrong-rank",
        f"it has shape {list(array.shape)}, which is {array.ndim} axes where the model wants {spec}",
        where=where,
        hint="store each sample as the model takes it, with or without the batch axis",
    )


def _cast(array: Array, spec: TensorSpec, where: str) -> Array:
    """The array in the model's dtype, when that keeps every value (or only rounds floats)."""
    import numpy as np

    wanted = numpy_dtype(spec.dtype)
    if array.dtype == wanted:
        return array
    if spec.dtype == "string":
        if array.dtype.kind in "US":
            return array.astype(object)
    elif _is_number(array.dtype):
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(wanted)
            if _is_float(array.dtype) and _is_float(wanted):
                kept = np.array_equal(np.isfinite(array), np.isfinite(cast.astype(np.float64)))
            else:
                kept = np.array_equal(cast.astype(array.dtype), array)
        if kept:
            return cast
    raise ConfigError(
        "data-wrong-dtype",
        f"{array.dtype} cannot become {spec.dtype} without changing values",
        where=where,
        hint=f"store it as {spec.dtype}",
    )


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" or dtype.name.startswith(("bfloat", "float", "int", "uint"))


def _join(samples: list[Sample], signature: Signature) -> Sample:
    import numpy as np

    feeds: dict[str, Array] = {}
    for spec in signature.inputs:
        arrays = [sample.feeds[spec.name] for sample in samples]
        if not spec.shape:
            feeds[spec.name] = arrays[0]
            continue
        for sample, array in zip(samples, arrays, strict=True):
            if array.shape[1:] != arrays[0].shape[1:]:
                raise ConfigError(
                    "data-unequal-batch",
                    f"shape {list(array.shape)} cannot join {list(arrays[0].shape)} of {samples[0].origin} in one "
                    f"batch of {len(samples)}",
                    where=f"{sample.origin}: {spec.name}",
                    hint="pad the samples to one size, or let the model take a batch of 1",
                )
        feeds[spec.name] = np.concatenate(arrays)
    casts = dict.fromkeys(cast for sample in samples for cast in sample.casts)
    label = _join_labels([sample.label for sample in samples])
    return Sample(feeds, label, samples[0].origin, tuple(casts), regrouped=True)


def _cut(sample: Sample, signature: Signature) -> Iterator[Sample]:
    """Single samples out of a batch, where the model's first axis is fixed at 1 and the label goes along."""
    import numpy as np

    batched = _batched(signature)
    sizes = {sample.feeds[spec.name].shape[0] for spec in batched}
    labels = None if sample.label is None else np.asarray(sample.label)
    takes_one = bool(batched) and all(spec.shape[0] == 1 for spec in batched)
    if not takes_one or len(sizes) != 1 or (labels is not None and labels.shape[:1] != tuple(sizes)) or sizes <= {0, 1}:
        yield sample
        return
    names = {spec.name for spec in batched}
    for row in range(sizes.pop()):
        yield replace(
            sample,
            feeds={name: array[row : row + 1] if name in names else array for name, array in sample.feeds.items()},
            label=None if labels is None else labels[row : row + 1],
            origin=f"{sample.origin} row {row}",
            regrouped=True,
        )


def _join_labels(labels: list[object]) -> object:
    """One array where the labels are numbers, a list where they are anything else."""
    import numpy as np

    if any(label is None for label in labels):
        return None
    if not all(isinstance(label, (int, float, np.generic, np.ndarray)) for label in labels):
        return labels
    arrays = [np.atleast_1d(np.asarray(label)) for label in labels]
    return np.concatenate(arrays) if len({array.shape[1:] for array in arrays}) == 1 else labels


def _check_sizes(sample: Sample, signature: Signature) -> None:
    seen: dict[str, tuple[int, str]] = {}
    for spec in signature.inputs:
        shape = sample.feeds[spec.name].shape
        for axis, (size, dim) in enumerate(zip(shape, spec.shape, strict=True)):
            where = f"{sample.origin}: {spec.name}"
            if isinstance(dim, int) and size != dim:
                raise ConfigError(
                    "data-wrong-shape",
                    f"axis {axis} of shape {list(shape)} is {size}, the model wants {spec}",
                    where=where,
                    hint="store samples of the model's size, or declare the axis as a range in [model.dims]",
                )
            if not isinstance(dim, str) or dim not in signature.dims:
                continue
            allowed = signature.dims[dim]
            if not allowed.min <= size <= allowed.max:
                raise ConfigError(
                    "data-wrong-shape",
                    f"axis {axis} of shape {list(shape)} is {size}, outside {dim} = {allowed.min}..{allowed.max}",
                    where=where,
                    hint=f"widen [model.dims.{dim}], or leave such samples out",
                )
            other = seen.setdefault(dim, (size, spec.name))
            if other[0] != size:
                raise ConfigError(
                    "data-wrong-shape",
                    f"{dim} is {size} here but {other[0]} in {other[1]!r} of the same sample",
                    where=where,
                    hint=f"all axes named {dim!r} have one size in a feed",
                )
