"""What the majors of TensorRT do differently, behind one interface; all else they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgetool_tensorrt.listeners import Stop
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.rejections import Rejection
from edgetool_tensorrt.version import Version

if TYPE_CHECKING:
    import onnx

Progress = Callable[[int, int, str], None]


class Dialect(ABC):
    """One major.

    What goes into facts and keys are names of flags, never their numbers: those change between majors.

    Args:
        trt: the module.
    """

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.version = Version.parse(str(trt.__version__))

    @abstractmethod
    def network_flags(self, *, dla: bool) -> int:
        """For `create_network`."""

    @abstractmethod
    def permit(self, config: Any, network: Network, *, dla: bool) -> tuple[str, ...]:
        """Permit the types that the network computes in, where the network alone does not decide.

        Returns:
            Names of the flags that were set.
        """

    @abstractmethod
    def watch(self, config: Any, progress: Progress, stop: Stop) -> object:
        """Have the builder tell how far it is. What comes back must stay alive until the build has ended."""

    @abstractmethod
    def rejections(self, parser: Any, proto: onnx.ModelProto, *, where: str) -> tuple[Rejection, ...]:
        """The nodes that the parser refused."""
