"""One case through a backend, in a child process: import, verdict, build, one inference, comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgetool.backends.base import Backend
from edgetool.context import BuildContext, ImportContext
from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.reference import open_reference
from edgetool.engine.requests import Plug
from edgetool.errors import EdgetoolError, HostError, UnavailableError
from edgetool.importers.base import Importer, ImportRequest, Source
from edgetool.plugin.loading import load_object
from edgetool.signature import DimRange

if TYPE_CHECKING:
    from edgetool.artifact import Model
    from edgetool.conformance.cases import Array, Case

Fate: TypeAlias = Literal["validated", "refused", "built", "deviates", "mismatch", "crash", "hang", "bug"]
"""`built` could not run here; `deviates` computes what the float reference computes, which is not what ONNX says; the
last four are defects."""


@dataclass(frozen=True, slots=True)
class CaseTask:
    """One case.

    Attributes:
        importer: reads ONNX files.
        backend: builds and runs.
        can_run: whether engines run here.
        directory: scratch, with nothing in it but the saved case.
    """

    importer: Plug
    backend: Plug
    can_run: bool
    threads: int
    directory: Path


def run_case(task: CaseTask, talk: Talk) -> Result:
    """The fate of one case, with the reason where it is not `validated`."""
    from edgetool.conformance.cases import load

    case = load(task.directory)
    row = {"name": case.name, "operator": case.operator}
    if case.inputs is None or case.outputs is None:
        return {**row, "fate": "refused", "stage": "import", "reason": "sequences and optional values are no tensors"}
    stage = "import"
    try:
        model = _imported(task, case)
        backend = _made(task.backend)
        context = BuildContext(threads=task.threads)
        stage = "supports"
        support = backend.supports(model, context)
        if not support.accepted:
            reasons = [str(row) for row in support.problems if row.severity == "refuse"]
            return {**row, "fate": "refused", "stage": stage, "reason": "; ".join(reasons)[:500]}
        stage = "build"
        folder = task.directory / "engine"
        folder.mkdir()
        engine = backend.build(model, folder, context)
        if not task.can_run:
            return {**row, "fate": "built", "stage": stage, "reason": "engines of this backend do not run here"}
        stage = "run"
        with backend.open(engine, context) as runner:
            outputs = runner.infer(dict(case.inputs))
        return {**row, **_judged(case, model, outputs, engine.precision, task.threads)}
    except (HostError, UnavailableError):
        raise  # says something about this machine, not about the model
    except EdgetoolError as error:
        return {**row, "fate": "refused", "stage": stage, "reason": f"{error.code}: {error.message}"[:500]}


def _imported(task: CaseTask, case: Case) -> Model:
    from edgetool.conformance.cases import MODEL

    assert case.inputs is not None
    path = task.directory / MODEL
    sizes = {
        dim.dim_param: DimRange(size, size, size)
        for row in case.model.graph.input
        for dim, size in zip(row.type.tensor_type.shape.dim, case.inputs[row.name].shape, strict=False)
        if dim.dim_param and size > 0
    }
    folder = task.directory / "model"
    folder.mkdir()
    kind: type[Importer[Any]] = load_object(task.importer.loader, Importer, what="importer")
    context = ImportContext(threads=task.threads, open_reference=lambda file: open_reference(file, task.threads))
    source = Source(path.name, path, None, None, task.directory)
    request = ImportRequest(dims=sizes)
    return kind(kind.Options.model_validate(task.importer.options)).convert(source, request, folder, context).model


def _made(plug: Plug) -> Backend[Any]:
    kind: type[Backend[Any]] = load_object(plug.loader, Backend, what="backend")
    options = kind.Options.model_validate(plug.options)
    return kind(options, plug.site) if plug.site else kind(options)


def _judged(case: Case, model: Model, outputs: dict[str, Array], precision: str, threads: int) -> dict[str, str]:
    """Right by the ONNX project's own outputs; else what a build would have said about it."""
    assert case.inputs is not None
    assert case.outputs is not None
    found = list(outputs.values())
    if _equal(found, case.outputs, case) or _accepted(found, case.outputs, precision):
        return {"fate": "validated", "stage": "run", "reason": ""}
    with open_reference(model.path, threads) as runner:
        reference = list(runner.infer(dict(case.inputs)).values())
        again = list(runner.infer(dict(case.inputs)).values())
    if not _same(reference, again):
        return {"fate": "refused", "stage": "run", "reason": "random by definition: no two runs agree"}
    if _same(found, reference) or _equal(found, reference, case):
        return {"fate": "deviates", "stage": "run", "reason": _difference(found, case.outputs)}
    if not _accepted(found, reference, precision):
        reason = f"validation: not what the float reference computes: {_difference(found, reference)}"
        return {"fate": "refused", "stage": "validate", "reason": reason}
    return {"fate": "mismatch", "stage": "run", "reason": _difference(found, case.outputs)}


def _equal(found: list[Array], wanted: list[Array] | tuple[Array, ...], case: Case) -> bool:
    import numpy as np

    if len(found) != len(wanted):
        return False
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return False
        left, right = _plain(one), _plain(other)
        if left.dtype.kind in "fc":
            if not np.allclose(left, right, rtol=case.rtol, atol=case.atol, equal_nan=True):
                return False
        elif not np.array_equal(left, right):
            return False
    return True


def _same(found: list[Array], wanted: list[Array]) -> bool:
    return len(found) == len(wanted) and all(
        one.shape == other.shape and one.tobytes() == other.tobytes() for one, other in zip(found, wanted, strict=True)
    )


def _accepted(found: list[Array], wanted: list[Array] | tuple[Array, ...], precision: str) -> bool:
    """What the validation of a build would say."""
    from edgetool.validate.difference import DifferenceSum
    from edgetool.validate.tolerance import tolerance_of

    if len(found) != len(wanted):
        return False
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return False
        total = DifferenceSum("y")
        total.add(_plain(other), _plain(one))
        if not tolerance_of(precision).accepts(total.result()):
            return False
    return True


def _difference(found: list[Array], wanted: list[Array] | tuple[Array, ...]) -> str:
    import numpy as np

    for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one.shape != other.shape:
            return f"output {index} has shape {one.shape}, wanted {other.shape}"
        left, right = _plain(one), _plain(other)
        if left.dtype.kind not in "fiub" or right.dtype.kind not in "fiub":
            if not np.array_equal(left, right):
                return f"output {index} has other values"
            continue
        strange = np.isnan(left.astype(np.float64)) != np.isnan(right.astype(np.float64))
        if strange.any():
            return f"output {index} is NaN on one side only, in {int(strange.sum())} of {strange.size} elements"
        apart = np.nan_to_num(np.abs(left.astype(np.float64) - right.astype(np.float64)))
        if (count := int((apart > 0).sum())) > 0:
            return f"output {index} differs by up to {apart.max():.3g} in {count} of {apart.size} elements"
    return f"{len(found)} outputs, wanted {len(wanted)}"


def _plain(array: Array) -> Array:
    """Element types that numpy does not know by itself, as float32; integers of four bits as int8."""
    import numpy as np

    if array.dtype.kind in "OSU":
        return array.astype(str)
    if array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8", "float4")):
        return array.astype(np.float32)
    if array.dtype.name in ("int4", "uint4", "int2", "uint2"):
        return array.astype(np.int8)
    return array


TASKS: Mapping[str, Handler] = {
    "conformance": handler(CaseTask, run_case),
}
