"""Compares a converted model with eager PyTorch, at every size that was chosen for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.errors import EdgetoolError
from edgetool_torch.eager import Expectation
from edgetool_torch.reasons import worded
from edgetool_torch.routes import RejectedError

if TYPE_CHECKING:
    import numpy as np

    from edgetool.runner import Runner

_TOLERANCE: Mapping[str, float] = {"float16": 2e-2, "float64": 1e-4}
_DEFAULT_TOLERANCE = 1e-4
"""Largest error of an element, in units of its own size plus the largest size in its tensor.

Other kernels round differently: real float32 networks stay below 1e-5. A wrong activation or a wrong padding is above
1e-3.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared, and how far apart it was at most.

    Attributes:
        feeds: how many inferences were compared.
        max_abs: largest absolute difference.
        max_relative: largest difference in units of the largest value of its tensor.
    """

    feeds: int
    max_abs: float
    max_relative: float


@dataclass(frozen=True, slots=True)
class _Difference:
    absolute: float
    relative: float


def prove(
    path: Path,
    expectations: Sequence[Expectation],
    outputs: Sequence[tuple[int, str]],
    open_reference: Callable[[Path], Runner],
) -> Proof:
    """Run the model on every feed and compare.

    Args:
        path: the converted model.
        expectations: feeds and what eager gave.
        outputs: index among eager's outputs and name in the model.
        open_reference: opens an ONNX file.

    Raises:
        RejectedError: it cannot be run, or differs; names the sizes.
    """
    differences: list[_Difference] = []
    try:
        runner = open_reference(path)
    except EdgetoolError as error:
        raise RejectedError(f"the reference runtime does not open it: {error.message}") from error
    with runner:
        for row in expectations:
            try:
                got = runner.infer(row.feed)
            except EdgetoolError as error:
                raise RejectedError(f"fails at {worded(row.sizes)}: {error.message}") from error
            wanted = list(row.outputs.values())
            differences += [_compare(got[name], wanted[index], name, row) for index, name in outputs]
    return Proof(
        len(expectations),
        max((row.absolute for row in differences), default=0.0),
        max((row.relative for row in differences), default=0.0),
    )


def _compare(got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], name: str, row: Expectation) -> _Difference:
    import numpy as np

    at = f"output {name!r} at {worded(row.sizes)}"
    if got.shape != wanted.shape:
        raise RejectedError(f"{at} has shape {list(got.shape)}, the network gives {list(wanted.shape)}")
    if got.dtype.kind not in "fc" or wanted.dtype.kind not in "fc":
        unequal = int(np.count_nonzero(got != wanted))
        if unequal:
            raise RejectedError(f"{at} differs in {unequal} of {wanted.size} elements")
        return _Difference(0.0, 0.0)
    finite = np.isfinite(wanted)
    if not np.array_equal(np.isnan(got), np.isnan(wanted)):
        raise RejectedError(f"{at} has NaN where the network gives numbers, or the other way round")
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True):
        raise RejectedError(f"{at} has other infinities than the network gives")
    if not finite.any():
        return _Difference(0.0, 0.0)
    exact = wanted[finite].astype(np.float64)
    error = np.abs(got[finite].astype(np.float64) - exact)
    scale = float(np.abs(exact).max())
    allowed = _TOLERANCE.get(str(wanted.dtype), _DEFAULT_TOLERANCE) * (np.abs(exact) + max(scale, 1e-6))
    if not bool(np.all(error <= allowed)):
        raise RejectedError(f"{at} differs by up to {error.max():.3g} (values up to {scale:.3g})")
    return _Difference(float(error.max()), float(error.max() / max(scale, 1e-6)))
