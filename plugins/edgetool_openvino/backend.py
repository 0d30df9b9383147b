"""The OpenVINO backend: Intel's CPUs, GPUs and NPUs, and FPGAs through HETERO, from one IR."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Availability, Backend, BackendOptions, DeviceSources, Evidence, Support
from edgetool.context import BuildContext
from edgetool.runner import Runner
from edgetool_openvino.availability import availability
from edgetool_openvino.options import OpenVinoOptions


class OpenVino(Backend[OpenVinoOptions]):
    """Typed ONNX to OpenVINO's IR or a compiled blob, with the inference precision pinned."""

    Options: ClassVar[type[BackendOptions]] = OpenVinoOptions
    isa_variable: ClassVar[str | None] = "ONEDNN_MAX_CPU_ISA"

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("openvino", "onnx")

    def probe(self) -> Availability:
        return availability(self.options)

    def supports(self, model: Model, context: BuildContext) -> Support:
        from edgetool_openvino.placement import verdict

        return verdict(model, self.options, threads=context.threads)

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        from edgetool_openvino.engine_files import write_engine

        return write_engine(model, directory, self.options, context)

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        from edgetool_openvino.runner import CompiledRunner
        from edgetool_openvino.session import open_engine

        opened = open_engine(engine.path, self.options, threads=context.threads)
        return CompiledRunner(opened, engine.signature, path=engine.path)

    def evidence(self, engine: Engine, context: BuildContext) -> Evidence:
        from edgetool_openvino.evidence import read_evidence

        return read_evidence(engine, self.options, threads=context.threads)

    def on_processor(self) -> bool:
        return self.options.used.members == ("CPU",)

    def device_sources(self, engine: Engine) -> DeviceSources | None:
        from edgetool_openvino.selftest import device_sources

        return device_sources(engine, self.options)
