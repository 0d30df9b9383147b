"""A builder with its network and parser, kept alive together and let go in the only safe order."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from edgetool.errors import UnavailableError
from edgetool_tensorrt.listeners import Stop, make_log


class Session:
    """Everything native that one network needs while it is parsed and built. A context manager.

    The native objects hold bare pointers to each other: a network that goes before its parser ends the process. And
    there is one log a process: a second one is ignored as long as a builder of the first is alive, which an
    exception's traceback can see to. So nobody else keeps these objects, and leaving the context lets go of them.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        flags: for `create_network`.

    Attributes:
        trt: the module.
        stop: why the build has to end early.
        log: a logger with the list `errors`.
        builder, network, parser, config: native; None once closed.

    Raises:
        UnavailableError: `tensorrt-failed`: the library does not start.
    """

    def __init__(self, trt: Any, *, flags: int = 0) -> None:
        self.trt = trt
        self.stop = Stop()
        self.log = make_log(trt, self.stop)
        self.builder: Any = None
        self.network: Any = None
        self.parser: Any = None
        self.config: Any = None
        try:
            self.builder = trt.Builder(self.log)
            self.network = self.builder.create_network(flags)
            self.parser = trt.OnnxParser(self.network, self.log)
            self.config = self.builder.create_builder_config()
        except (AttributeError, TypeError, RuntimeError) as error:  # what comes of a constructor that gives nothing
            self.close()
            raise UnavailableError(
                "tensorrt-failed",
                f"{trt.__name__} {trt.__version__} does not start: {'; '.join(self.log.errors) or error}",
                hint="see whether memory is left and whether the driver fits; install it anew otherwise",
            ) from error

    def close(self) -> None:
        """Let go of the native objects; closing twice is harmless."""
        self.config = None
        self.parser = None
        self.network = None
        self.builder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
