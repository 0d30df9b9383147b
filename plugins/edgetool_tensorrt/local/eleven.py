"""TensorRT 11: every network is strongly typed, and nothing can be permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_tensorrt.listeners import Stop, make_monitor
from edgetool_tensorrt.local.dialect import Dialect, Progress
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.rejections import Rejection, rejections

if TYPE_CHECKING:
    import onnx


class Eleven(Dialect):
    """The network's own types decide, also on a DLA."""

    def network_flags(self, *, dla: bool) -> int:
        return 0

    def permit(self, config: Any, network: Network, *, dla: bool) -> tuple[str, ...]:
        return ()

    def watch(self, config: Any, progress: Progress, stop: Stop) -> object:
        config.progress_monitor = monitor = make_monitor(self.trt, progress, stop)
        return monitor

    def rejections(self, parser: Any, proto: onnx.ModelProto, *, where: str) -> tuple[Rejection, ...]:
        return tuple(rejections(parser, proto, where=where))
