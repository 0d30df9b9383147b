"""A backend that fails as it is told to, for the child processes of these tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pydantic import Field

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.errors import ModelError
from edgetool.graph import load
from edgetool.testing.interpreter import Interpreter, InterpreterOptions


class FragileOptions(InterpreterOptions):
    """`[targets.NAME.fragile]`: operators that together bring about a failure."""

    crash: list[str] = Field(default_factory=list, description="End the process.")
    hang: list[str] = Field(default_factory=list, description="Never answer.")
    fail: list[str] = Field(default_factory=list, description="Refuse to build.")
    slip: list[str] = Field(default_factory=list, description="Refuse to build, for another reason.")
    needs_dynamic: bool = Field(default=False, description="Fail only with dynamic inputs.")
    needs_weight: float | None = Field(default=None, description="Fail only where a weight has this element.")


class Fragile(Interpreter):
    Options = FragileOptions

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        self.judge(model)
        return super().build(model, directory, context)

    def judge(self, model: Model) -> None:
        """Fail where the options want it."""
        options = self.options
        assert isinstance(options, FragileOptions)
        proto = load(model.path)
        operators = {node.op_type for node in proto.graph.node}
        if _all(options.crash, operators):
            os.kill(os.getpid(), signal.SIGSEGV)
        if _all(options.hang, operators):
            time.sleep(600)
        if _all(options.fail, operators) and self._agrees(model, options):
            node = next(node.name for node in proto.graph.node if node.op_type == options.fail[0])
            raise ModelError("fragile-build", f"no kernel for node {node!r} with shape [1, {len(operators)}]")
        if _all(options.slip, operators):
            raise ModelError("fragile-build", "out of luck")

    def _agrees(self, model: Model, options: FragileOptions) -> bool:
        import onnx.numpy_helper

        if options.needs_dynamic and not model.signature.is_dynamic:
            return False
        if options.needs_weight is None:
            return True
        stored = [onnx.numpy_helper.to_array(tensor) for tensor in load(model.path).graph.initializer]
        return any((array == options.needs_weight).any() for array in stored)


def _all(wanted: list[str], operators: set[str]) -> bool:
    return bool(wanted) and set(wanted) <= operators
