"""Operators that TensorRT reads, but not with every attribute or input: told here, because its reasons are terse.

Sources: restrictions in the operator table of onnx-tensorrt 10.15, and what the parser of TensorRT-RTX 1.7.1 refuses of
ONNX's own node tests. Older releases are at least as strict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from types import MappingProxyType
from typing import TypeAlias

from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.subject import Row, Subject

_RESIZE_MODES = frozenset({"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"})
_LARGEST_K = 3840
_REDUCTIONS_SINCE = "10.0"
"""Of ScatterElements; change log of onnx-tensorrt, 10.0."""
_EINSUM_SINCE = "10.12"
"""Ellipses, diagonals and broadcasting; change log of onnx-tensorrt, 10.12."""

_CUBIC_SINCE = "8.5"
"""First branch of onnx-tensorrt whose Resize reads the coefficient."""

_CHANGE = "export it otherwise, or keep this part outside of the model"

Restriction: TypeAlias = Callable[[Row, Subject], str | None]
"""Why TensorRT does not take a node; None when it does."""


def check_restrictions(subject: Subject) -> Iterator[Finding]:
    """Refuse nodes that use what TensorRT leaves out of an operator; one finding for each reason."""
    found: dict[str, list[str]] = {}
    fed: dict[str, list[str]] = {}
    inputs = {spec.name: spec for spec in subject.model.signature.inputs}
    for row in subject.rows:
        restriction = _RESTRICTIONS.get(row.op_type) if row.is_own else None
        reason = restriction(row, subject) if restriction else None
        if reason:
            found.setdefault(f"{row.op_type}: {reason}", []).append(row.label)
        for name in _fed_from_outside(row, inputs.keys()):
            fed.setdefault(name, []).append(row.label)
    for reason, labels in found.items():
        yield refused(reason, labels, fix=_CHANGE)
    for name, labels in fed.items():
        specialize = f'fix it with {{ use = "specialize", inputs = {{ "{name}" = ... }} }}, or '
        yield refused(
            f"input {name!r} decides shapes or axes, which TensorRT wants to know when it builds",
            labels,
            fix=("" if inputs[name].shape else specialize) + "export it as a constant",
        )


def _pool(row: Row, subject: Subject) -> str | None:
    if any(size != 1 for size in row.integers("dilations")):
        return "windows with gaps (`dilations`) are not taken"
    if row.op_type == "MaxPool" and any(row.node.output[1:]):
        return "indices of the maxima are not given"
    if row.op_type == "LpPool" and row.integer("p", 2) not in (1, 2):
        return "only `p` of 1 and 2 is taken"
    return None


def _batch_normalization(row: Row, subject: Subject) -> str | None:
    return "it is in training mode" if row.integer("training_mode", 0) else None


def _dropout(row: Row, subject: Subject) -> str | None:
    if not row.input(2):
        return None
    training = subject.values(row.scope, row.input(2))
    return "it is or may be in training mode" if training is None or training.any() else None


def _recurrent(row: Row, subject: Subject) -> str | None:
    if row.integer("layout", 0):
        return "`layout` 1 is read as 0, with time first, without a word"
    return "coupled input and forget gates are not taken" if row.integer("input_forget", 0) else None


def _one_output(row: Row, subject: Subject) -> str | None:
    used = [name for name in row.node.output[1:] if name]
    return "only its first output is given" if used else None


def _mod(row: Row, subject: Subject) -> str | None:
    is_float = row.element(0) in ("float32", "float16", "float64", "bfloat16")
    return "floats want `fmod` = 1" if is_float and not row.integer("fmod", 0) else None


def _resize(row: Row, subject: Subject) -> str | None:
    mode = row.text("coordinate_transformation_mode", "half_pixel")
    if row.text("mode", "nearest") == "cubic" and subject.lacks(_CUBIC_SINCE):
        return f"cubic interpolation is read from TensorRT {_CUBIC_SINCE} on"
    if mode not in _RESIZE_MODES:
        return f"coordinates as in {mode!r} are not taken"
    if row.integer("antialias", 0):
        return "antialiasing is not taken"
    if row.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "only stretching is taken, not keeping the aspect ratio"
    return None


def _scatter(row: Row, subject: Subject) -> str | None:
    reduces = row.text("reduction", "none") != "none"
    if not reduces or (
        row.op_type == "ScatterElements" and not subject.is_rtx and not subject.lacks(_REDUCTIONS_SINCE)
    ):
        return None
    return "scattering with a reduction is not taken"


def _top_k(row: Row, subject: Subject) -> str | None:
    count = subject.values(row.scope, row.input(1))
    too_many = count is not None and int(count.max(initial=0)) >= _LARGEST_K
    return f"K has to be below {_LARGEST_K}" if too_many else None


def _grid_sample(row: Row, subject: Subject) -> str | None:
    shape = subject.largest.get(row.input(0))
    too_many = shape is not None and len(shape.shape) != 4 and not subject.is_rtx
    return "only four dimensions are taken" if too_many else None


def _einsum(row: Row, subject: Subject) -> str | None:
    equation = row.text("equation", "").replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    unusual = "..." in equation or any(len(set(term)) < len(term) for term in terms)
    if unusual and subject.lacks(_EINSUM_SINCE):
        return f"ellipses and diagonals are read from TensorRT {_EINSUM_SINCE} on"
    return None


def _attention(row: Row, subject: Subject) -> str | None:
    if any(row.node.output[1:]):
        return "only its first output is given: no keys and values for the next step, no products"
    if row.input(4) or row.input(5) or (row.input(6) and not subject.is_rtx):
        return "past keys and values are not taken"
    if any(entry.name == "softcap" and entry.f for entry in row.node.attribute):
        return "`softcap` is not taken"
    if any(entry.name == "softmax_precision" for entry in row.node.attribute):
        return "`softmax_precision` is not taken"
    return None


_RESTRICTIONS: Mapping[str, Restriction] = MappingProxyType(
    {
        "Attention": _attention,
        "AveragePool": _pool,
        "BatchNormalization": _batch_normalization,
        "Dropout": _dropout,
        "Einsum": _einsum,
        "GRU": _recurrent,
        "GridSample": _grid_sample,
        "LSTM": _recurrent,
        "LayerNormalization": _one_output,
        "LpPool": _pool,
        "MaxPool": _pool,
        "Mod": _mod,
        "RNN": _recurrent,
        "Resize": _resize,
        "ScatterElements": _scatter,
        "ScatterND": _scatter,
        "TopK": _top_k,
    }
)

_KNOWN_EARLY: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
             "ReduceProd", "ReduceSum", "ReduceSumSquare", "Squeeze", "Unsqueeze", "OneHot", "Upsample", "STFT",
             "Reshape", "Expand", "Tile", "TopK"),
            (1,),
        ),
        "ConstantOfShape": (0,),
        "Range": (0, 1, 2),
        "Resize": (2, 3),
        "Slice": (1, 2, 3, 4),
    }
)  # fmt: skip
"""Inputs whose values decide what is built, or how large it is: by their position.

TensorRT takes some of them from outside, with a range of values in the profile; nothing declares such ranges here.
"""


def _fed_from_outside(row: Row, inputs: Set[str]) -> Iterator[str]:
    """Names of graph inputs that a node reads where TensorRT wants constants."""
    for position in _KNOWN_EARLY.get(row.op_type, ()) if row.is_own else ():
        name = row.input(position)
        if name in inputs and row.scope.tensor(name) is None:
            yield name
