"""The ONNX Runtime backend: the fallback, and the stand-in in CI for hardware that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Availability, Backend, BackendOptions, DeviceSources, Evidence, Support
from edgetool.context import BuildContext
from edgetool.runner import Runner
from edgetool_onnxruntime.availability import availability, installed_distribution
from edgetool_onnxruntime.options import OnnxRuntimeOptions


class OnnxRuntime(Backend[OnnxRuntimeOptions]):
    """Typed ONNX to a portable engine that ONNX Runtime opens on whatever processor the options name."""

    Options: ClassVar[type[BackendOptions]] = OnnxRuntimeOptions

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return (installed_distribution(), "onnx")

    def probe(self) -> Availability:
        return availability(self.options)

    def supports(self, model: Model, context: BuildContext) -> Support:
        from edgetool_onnxruntime.placement import verdict

        return verdict(model, self.options, self.site.facts)

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        from edgetool_onnxruntime.engine_files import write_engine

        return write_engine(model, directory, self.options, facts=self.site.facts)

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        from edgetool_onnxruntime.engine_runner import open_engine

        return open_engine(engine, self.options, threads=context.threads)

    def evidence(self, engine: Engine, context: BuildContext) -> Evidence:
        from edgetool_onnxruntime.evidence import read_evidence

        return read_evidence(engine, self.options, threads=context.threads)

    def on_processor(self) -> bool:
        return self.options.accelerator == "CPU"

    def device_sources(self, engine: Engine) -> DeviceSources:
        from edgetool_onnxruntime.selftest import device_sources

        return device_sources(self.options)
