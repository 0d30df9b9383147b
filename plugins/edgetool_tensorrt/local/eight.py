"""TensorRT 8.6: weakly typed networks, and a builder that says nothing while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.graph import node_label
from edgetool_tensorrt.listeners import Stop
from edgetool_tensorrt.local.dialect import Dialect, Progress
from edgetool_tensorrt.local.weak import permit_weakly
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.reasons import reason_of
from edgetool_tensorrt.rejections import Rejection

if TYPE_CHECKING:
    import onnx


class Eight(Dialect):
    """The flags only permit what the network's own types already say."""

    def network_flags(self, *, dla: bool) -> int:
        return 1 << int(self.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)

    def permit(self, config: Any, network: Network, *, dla: bool) -> tuple[str, ...]:
        return permit_weakly(self.trt, config, network, dla=dla)

    def watch(self, config: Any, progress: Progress, stop: Stop) -> object:
        return None

    def rejections(self, parser: Any, proto: onnx.ModelProto, *, where: str) -> tuple[Rejection, ...]:
        """Its errors know a node's number only, and the parser stops at the first."""
        return tuple(_rejection(parser.get_error(index), proto) for index in range(parser.num_errors))


def _rejection(error: Any, proto: onnx.ModelProto) -> Rejection:
    number = error.node()
    known = 0 <= number < len(proto.graph.node)
    node = proto.graph.node[number] if known else None
    op_type = node.op_type if node else ""
    reason = reason_of(error.desc(), code=error.code().name, function=error.func(), op_type=op_type)
    return Rejection(node_label(node, number) if node else "", op_type, reason)
