"""Dimensions: which sizes the engine has to serve, and that TensorRT counts in 32 bits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.profiles import LARGEST

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def check_dimensions(subject: Subject) -> Iterator[Finding]:
    """Refuse dimensions without a range, and tensors that are too large to be counted."""
    missing = list(_without_range(subject))
    yield from missing
    if not missing:
        yield from _too_large(subject)


def _without_range(subject: Subject) -> Iterator[Finding]:
    signature = subject.model.signature
    for name in signature.symbols:
        if name not in signature.dims:
            users = [spec.name for spec in signature.inputs if name in spec.shape]
            yield refused(
                f"dimension {name!r} of {', '.join(map(repr, users))} has no range, and TensorRT builds for a range",
                fix=f"add to targets.toml:\n[model.dims.{_key(name)}]\nmin = 1\nopt = 1\nmax = 8",
            )
    for spec in signature.inputs:
        axes = [axis for axis, dim in enumerate(spec.shape) if dim is None]
        if axes:
            shape = [f"dim{axis}" if dim is None else dim for axis, dim in enumerate(spec.shape)]
            ranges = "".join(f"\n[model.dims.dim{axis}]\nmin = 1\nopt = 1\nmax = 8" for axis in axes)
            table = f"[model.inputs.{_key(spec.name)}]\nshape = {json.dumps(shape)}\ndtype = {json.dumps(spec.dtype)}"
            yield refused(
                f"input {spec.name!r} has dimensions without a name (axes {', '.join(map(str, axes))}), which no range "
                "can be given to",
                fix=f"name them in targets.toml:\n{table}{ranges}",
            )


def _key(name: str) -> str:
    """A name as a key of TOML; JSON's strings are TOML's."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name)


def _too_large(subject: Subject) -> Iterator[Finding]:
    """The largest tensor of each kind of excess: of the signature, of a node, or stored."""
    largest = subject.largest
    for spec in subject.model.signature.inputs:
        shape = subject.model.signature.input_shapes("max")[spec.name]
        if math.prod(shape) > LARGEST:
            yield _excess(f"input {spec.name!r}", shape, ())
    for row in subject.rows:
        for name in (*row.node.output, *(name for name in row.node.input if row.scope.tensor(name) is not None)):
            if name in largest and math.prod(largest[name].shape) > LARGEST:
                yield _excess(f"tensor {name!r}", largest[name].shape, (row.label,))


def _excess(what: str, shape: tuple[int, ...], nodes: tuple[str, ...]) -> Finding:
    return refused(
        f"{what} has {math.prod(shape):,} elements ({' x '.join(map(str, shape))}), and TensorRT counts to 2^31 - 1",
        nodes,
        fix="lower the largest sizes in [model.dims], or split the tensor",
    )
