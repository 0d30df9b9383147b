"""TensorRT 10: strongly typed networks, except for the DLA, which only weakly typed ones reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_tensorrt.listeners import Stop, make_monitor
from edgetool_tensorrt.local.dialect import Dialect, Progress
from edgetool_tensorrt.local.weak import permit_weakly
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.rejections import Rejection, rejections

if TYPE_CHECKING:
    import onnx


class Ten(Dialect):
    """A network says whether its own types decide when it is created."""

    def network_flags(self, *, dla: bool) -> int:
        return 0 if dla else 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def permit(self, config: Any, network: Network, *, dla: bool) -> tuple[str, ...]:
        return permit_weakly(self.trt, config, network, dla=True) if dla else ()

    def watch(self, config: Any, progress: Progress, stop: Stop) -> object:
        config.progress_monitor = monitor = make_monitor(self.trt, progress, stop)
        return monitor

    def rejections(self, parser: Any, proto: onnx.ModelProto, *, where: str) -> tuple[Rejection, ...]:
        return tuple(rejections(parser, proto, where=where))
