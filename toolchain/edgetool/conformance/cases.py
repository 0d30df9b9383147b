"""The cases: models of mostly one node, with inputs and the outputs that the ONNX project says are right."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetool.errors import UnavailableError

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, Any]

MODEL = "case.onnx"
_REST = "case.json"


@dataclass(frozen=True)
class Case:
    """One model with what goes in and what must come out.

    Attributes:
        name: as the ONNX project calls it, `test_relu`.
        operator: of the node; of models with several nodes the rarest, which the test is about.
        model: of any opset.
        inputs: by name; None where the case feeds sequences, optional values or nothing at all for one of them.
        outputs: in the order of the model's outputs; None likewise.
        rtol, atol: relative and absolute tolerance of the case.
    """

    name: str
    operator: str
    model: onnx.ModelProto
    inputs: Mapping[str, Array] | None
    outputs: tuple[Array, ...] | None
    rtol: float
    atol: float


def names() -> tuple[str, ...]:
    """Of all cases, sorted."""
    return tuple(sorted(_found()))


def case_of(name: str) -> Case:
    """The case of that name. Raises KeyError."""
    found = _found()[name]
    inputs, outputs = found.data_sets[0]
    graph = found.model.graph
    fed = [_array(value) for value in inputs]
    wanted = [_array(value) for value in outputs]
    known = all(value is not None for value in fed) and len(fed) == len(graph.input)
    return Case(
        name=name,
        operator=_operator(found.model),
        model=found.model,
        inputs={row.name: value for row, value in zip(graph.input, fed, strict=False) if value is not None}
        if known
        else None,
        outputs=tuple(value for value in wanted if value is not None) if all(v is not None for v in wanted) else None,
        rtol=found.rtol,
        atol=found.atol,
    )


def save(case: Case, folder: Path) -> None:
    """Write a case where a child process finds it: who makes one makes all, which takes seconds."""
    import onnx

    onnx.save(case.model, folder / MODEL)
    for kind, tensors in (("input", case.inputs and case.inputs.values()), ("output", case.outputs)):
        for index, value in enumerate(tensors or ()):
            (folder / f"{kind}{index}.pb").write_bytes(onnx.numpy_helper.from_array(value).SerializeToString())
    rest = {
        "name": case.name,
        "operator": case.operator,
        "inputs": None if case.inputs is None else list(case.inputs),
        "outputs": None if case.outputs is None else len(case.outputs),
        "rtol": case.rtol,
        "atol": case.atol,
    }
    (folder / _REST).write_text(json.dumps(rest), encoding="utf-8")


def load(folder: Path) -> Case:
    """The case that was saved into a folder."""
    import onnx

    def tensor(kind: str, index: int) -> Array:
        content = (folder / f"{kind}{index}.pb").read_bytes()
        found: Array = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(content))
        return found

    rest = json.loads((folder / _REST).read_text(encoding="utf-8"))
    inputs, outputs = rest.pop("inputs"), rest.pop("outputs")
    return Case(
        **rest,
        model=onnx.load(folder / MODEL),
        inputs=None if inputs is None else {name: tensor("input", index) for index, name in enumerate(inputs)},
        outputs=None if outputs is None else tuple(tensor("output", index) for index in range(outputs)),
    )


@functools.cache
def _found() -> Mapping[str, Any]:
    """Making them computes all expected outputs, which takes seconds: once a process. Raises UnavailableError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overflows that some cases are about
            from onnx.backend.test.case.node import collect_testcases

            return {case.name: case for case in collect_testcases(None) if case.model is not None and case.data_sets}
    except ImportError as error:
        raise UnavailableError(
            "conformance-cases-missing",
            f"this onnx package has no backend tests: {error}",
            hint="pip install onnx from PyPI, which brings them",
        ) from error


def _operator(model: onnx.ModelProto) -> str:
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    plain = [name for name in counts if name not in ("Identity", "Constant", "Cast", "Reshape")]
    return min(plain or counts or ["none"], key=lambda name: counts.get(name, 0))


def _array(value: Any) -> Array | None:
    """A tensor as an array; None for a sequence, an absent optional value, or bytes."""
    if hasattr(value, "SerializeToString"):
        import onnx

        return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else None
    if value is None or isinstance(value, (list, tuple, bytes)):
        return None
    return np.asarray(value)
