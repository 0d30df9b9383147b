"""The C backend: small networks for microcontrollers, as source that any C compiler takes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Availability, Backend, BackendOptions, Support
from edgetool.context import BuildContext
from edgetool.runner import Runner
from edgetool_c.availability import availability
from edgetool_c.options import COptions


class PlainC(Backend[COptions]):
    """Typed ONNX to C without heap, with a test of its own for the host and for the board."""

    Options: ClassVar[type[BackendOptions]] = COptions

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("emx-onnx-cgen", "onnx")

    def probe(self) -> Availability:
        return availability(self.options)

    def supports(self, model: Model, context: BuildContext) -> Support:
        from edgetool_c.verdict import verdict

        return verdict(model, self.options, self.site.facts)

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        from edgetool_c.engine_files import write_engine

        return write_engine(model, directory, self.options)

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        from edgetool_c.runner import open_engine

        return open_engine(engine, self.options)
