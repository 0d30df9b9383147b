"""A small backend that is complete: it runs models with onnx's own reference evaluator.

It is slow and works everywhere onnx does, so it is what the conformance classes compare with, what a plugin's tests can
use where a second backend is needed, and an example of every method that a backend has.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Availability, Backend, BackendOptions, Evidence, NodeEvidence, Placement, Support
from edgetool.backends.feeds import checked_feeds
from edgetool.context import BuildContext
from edgetool.errors import ConfigError, IntegrityError, ModelError
from edgetool.graph import files, load, node_label, read_signature
from edgetool.graph.walk import subgraphs
from edgetool.problem import Problem
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    import onnx

_ENTRY = "model.onnx"
_STANDARD = ("", "ai.onnx")


class InterpreterOptions(BackendOptions):
    """`[targets.NAME.interpreter]`"""

    refuse: list[str] = Field(
        default_factory=list, description="Operators to refuse, as if this device could not run them."
    )


class Interpreter(Backend[InterpreterOptions]):
    """Runs standard ONNX operators in numpy, one node at a time."""

    Options: ClassVar[type[BackendOptions]] = InterpreterOptions

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("onnx",)

    def probe(self) -> Availability:
        if importlib.util.find_spec("onnx") is None:
            return Availability(False, False, None, why_not="onnx is not installed", fix="pip install onnx")
        return Availability(True, True, importlib.metadata.version("onnx"))

    def supports(self, model: Model, context: BuildContext) -> Support:
        rows = tuple(
            Placement(label, node.op_type, None if (why := self._refusal(node)) else "CPU", why)
            for label, node in _nodes(load(model.path, weights=False).graph.node)
        )
        problems = tuple(
            Problem(reason, tuple(row.node for row in rows if row.reason == reason), fix="use standard operators")
            for reason in dict.fromkeys(row.reason for row in rows if row.reason)
        )
        return Support(rows, "CPU", problems)

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        for part in files(model.path):
            destination = directory / (_ENTRY if part == model.path else part.relative_to(model.path.parent))
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part, destination)
        return Engine(
            backend="interpreter",
            directory=directory,
            entry=_ENTRY,
            precision="float32",
            signature=model.signature,
            facts={"runtime": "onnx reference evaluator", "runtime_version": importlib.metadata.version("onnx")},
        )

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        if not engine.path.is_file():
            raise IntegrityError("engine-incomplete", "the engine's file is missing", where=str(engine.path))
        return _EvaluatorRunner(engine.path, engine.signature)

    def evidence(self, engine: Engine, context: BuildContext) -> Evidence:
        return Evidence(
            tuple(
                NodeEvidence(label, node.op_type, "float32", "CPU")
                for label, node in _nodes(load(engine.path, weights=False).graph.node)
            )
        )

    def _refusal(self, node: onnx.NodeProto) -> str | None:
        if node.domain not in _STANDARD:
            return f"the domain {node.domain!r} is not part of the ONNX standard"
        if node.op_type in self.options.refuse:
            return f"{node.op_type} is refused by this target's options"
        return None


def open_with_interpreter(path: Path) -> Runner:
    """Any ONNX file in onnx's reference evaluator: what a conformance class compares with."""
    return _EvaluatorRunner(path, read_signature(load(path, weights=False), where=str(path)))


class _EvaluatorRunner(Runner):
    def __init__(self, path: Path, signature: Signature) -> None:
        self.signature = signature
        self._path = path
        self._evaluator: Any | None = _evaluator(load(path))

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        import numpy as np

        if self._evaluator is None:
            raise ConfigError("runner-closed", "this runner was closed", where=str(self._path), hint="open it again")
        arrays = checked_feeds(self.signature, feeds, where=str(self._path))
        names = [spec.name for spec in self.signature.outputs]
        try:
            results = self._evaluator.run(names, arrays)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise ModelError("inference-failed", str(error), where=str(self._path)) from error
        return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}

    def close(self) -> None:
        self._evaluator = None


def _evaluator(proto: onnx.ModelProto) -> Any:
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_25

    class DequantizeLinear(DequantizeLinear_25):  # type: ignore[misc] # onnx's classes carry no types
        """The evaluator has it from opset 19 on, though opsets 10 to 18 define the same."""

        op_domain = ""

    opset = next((entry.version for entry in proto.opset_import if entry.domain in _STANDARD), 1)
    return ReferenceEvaluator(proto, new_ops=[DequantizeLinear] if opset < 19 else None)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.NodeProto]]:
    """Label and node, subgraphs included."""
    for index, node in enumerate(nodes):
        yield node_label(node, index), node
        for graph in subgraphs(node):
            yield from _nodes(graph.node)
