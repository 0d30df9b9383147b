"""An edgetool backend for boards that have Python and numpy, and nothing else."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Availability, Backend, BackendOptions, Placement, Support
from edgetool.backends.feeds import checked_feeds
from edgetool.context import BuildContext
from edgetool.errors import ConfigError, IntegrityError
from edgetool.graph import load, node_label
from edgetool.plugin import BackendInfo, hookimpl
from edgetool.problem import Problem
from edgetool.runner import Feeds, Runner

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]


@hookimpl
def edgetool_backends() -> list[BackendInfo]:
    """Tell edgetool what this plugin offers: a name, and where the class is."""
    return [
        BackendInfo(
            name="numpy",
            summary="boards that have Python and numpy, and nothing else",
            loader="first_backend:NumpyBackend",
            requires=("numpy",),
        )
    ]


def _gemm(a: Array, b: Array, c: Array | float = 0.0, **attributes: Any) -> Array:
    left = a.T if attributes.get("transA") else a
    right = b.T if attributes.get("transB") else b
    result: Array = attributes.get("alpha", 1.0) * (left @ right) + attributes.get("beta", 1.0) * c
    return result


def _flatten(x: Array, *, axis: int = 1) -> Array:
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1)


KERNELS: dict[str, Callable[..., Array]] = {
    "Add": lambda a, b: a + b,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda x: x,
    "MatMul": lambda a, b: a @ b,
    "Mul": lambda a, b: a * b,
    "Relu": lambda x: x.clip(min=0),
}
"""What this board can compute."""


class NumpyOptions(BackendOptions):
    """`[targets.NAME.numpy]`"""

    store: Literal["float32", "float16"] = Field(
        default="float32", description="Element type of the weights in the engine; it computes in float32 either way."
    )


class NumpyBackend(Backend[NumpyOptions]):
    """One .npz file: the weights, and the steps that use them."""

    Options: ClassVar[type[BackendOptions]] = NumpyOptions

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("first-backend", "numpy")

    def probe(self) -> Availability:
        if importlib.util.find_spec("numpy") is None:
            return Availability(
                can_build=False, can_run=False, version=None, why_not="numpy is not installed", fix="pip install numpy"
            )
        return Availability(can_build=True, can_run=True, version=importlib.metadata.version("numpy"))

    def supports(self, model: Model, context: BuildContext) -> Support:
        rows = []
        for index, node in enumerate(load(model.path, weights=False).graph.node):
            known = node.domain == "" and node.op_type in KERNELS
            reason = None if known else f"numpy has no kernel for {node.op_type}"
            rows.append(Placement(node_label(node, index), node.op_type, "CPU" if known else None, reason))
        refused = tuple(row.node for row in rows if row.reason)
        problems = (Problem("some operators have no kernel", refused, fix=f"use {', '.join(KERNELS)}"),)
        return Support(tuple(rows), accelerator="CPU", problems=problems if refused else ())

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        import numpy as np
        from onnx import helper, numpy_helper

        graph = load(model.path).graph
        arrays: dict[str, Any] = {}
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            arrays[f"weight:{tensor.name}"] = array.astype(self.options.store) if array.dtype == np.float32 else array
        steps = [
            {
                "op": node.op_type,
                "inputs": list(node.input),
                "outputs": list(node.output),
                "attributes": {item.name: helper.get_attribute_value(item) for item in node.attribute},
            }
            for node in graph.node
        ]
        np.savez(directory / "engine.npz", steps=np.array(json.dumps(steps)), **arrays)
        return Engine(
            backend="numpy",
            directory=directory,
            entry="engine.npz",
            precision="float32" if self.options.store == "float32" else "mixed",
            signature=model.signature,
            facts={"runtime": "numpy", "runtime_version": np.__version__, "store": self.options.store},
        )

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        if not engine.path.is_file():
            raise IntegrityError("engine-incomplete", "the engine's file is gone", where=str(engine.path))
        return NumpyRunner(engine)


class NumpyRunner(Runner):
    """Takes one step after the other."""

    def __init__(self, engine: Engine) -> None:
        import numpy as np

        self.signature = engine.signature
        self._where = str(engine.path)
        with np.load(engine.path) as stored:
            self._steps: list[dict[str, Any]] | None = json.loads(str(stored["steps"]))
            self._weights = {
                name.removeprefix("weight:"): stored[name].astype(np.float32)
                if stored[name].dtype == np.float16
                else stored[name]
                for name in stored
                if name != "steps"
            }

    def infer(self, feeds: Feeds) -> dict[str, Array]:
        if self._steps is None:
            raise ConfigError("runner-closed", "this engine was closed", where=self._where, hint="open it again")
        values = {**self._weights, **checked_feeds(self.signature, feeds, where=self._where)}
        for step in self._steps:
            inputs = [values[name] for name in step["inputs"]]
            values[step["outputs"][0]] = KERNELS[step["op"]](*inputs, **step["attributes"])
        return {spec.name: values[spec.name] for spec in self.signature.outputs}

    def close(self) -> None:
        self._steps = None
