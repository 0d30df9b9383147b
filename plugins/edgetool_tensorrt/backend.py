"""The TensorRT backend: four builders behind one contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgetool.artifact import Engine, Model
from edgetool.backends import (
    Availability,
    Backend,
    BackendOptions,
    BuildContext,
    DeviceSources,
    Evidence,
    Runner,
    Support,
)
from edgetool_tensorrt.availability import availability, installed_distributions
from edgetool_tensorrt.choice import KINDS, Kind, choose
from edgetool_tensorrt.options import TensorRtOptions


class TensorRt(Backend[TensorRtOptions]):
    """Typed ONNX to a TensorRT or TensorRT-RTX engine, or to a kit that a device builds it from."""

    Options: ClassVar[type[BackendOptions]] = TensorRtOptions
    deterministic: ClassVar[bool] = False  # TensorRT times kernels; TensorRT-RTX orders some by addresses
    builders: ClassVar[tuple[str, ...]] = KINDS

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return (*installed_distributions(), "onnx")

    def probe(self) -> Availability:
        return availability(self.options, self.site)

    def supports(self, model: Model, context: BuildContext) -> Support:
        from edgetool_tensorrt.check import verdict

        return verdict(model, self.options, self.site, kind=self._kind)

    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        arguments = (model, directory, self.options, self.site, context)
        match self._kind:
            case "rtx":
                from edgetool_tensorrt.rtx import builder as rtx

                return rtx.build(*arguments)
            case "local":
                from edgetool_tensorrt.local import builder as local

                return local.build(*arguments)
            case "ssh":
                from edgetool_tensorrt.ssh import builder as ssh

                return ssh.build(*arguments)
            case "kit":
                from edgetool_tensorrt import kit

                return kit.build(*arguments)

    def open(self, engine: Engine, context: BuildContext) -> Runner:
        match self._kind:
            case "rtx":
                from edgetool_tensorrt.rtx import runner as rtx

                return rtx.open_engine(engine, self.options, context)
            case "local" | "kit":
                from edgetool_tensorrt.local import runner as local

                return local.open_engine(engine, self.options, context)
            case "ssh":
                from edgetool_tensorrt.ssh import runner as ssh

                return ssh.open_on_device(engine, self.options, self.site, context)

    def evidence(self, engine: Engine, context: BuildContext) -> Evidence:
        match self._kind:
            case "rtx":
                from edgetool_tensorrt.rtx import runner as rtx

                return rtx.read_evidence(engine, self.options, context)
            case _:
                from edgetool_tensorrt.layers import read_evidence

                return read_evidence(engine)

    def device_sources(self, engine: Engine) -> DeviceSources:
        from edgetool_tensorrt.selftest import device_sources

        return device_sources(engine, self.options)

    @property
    def _kind(self) -> Kind:
        return choose(self.site, self.options).kind
