"""What TensorRT and TensorRT-RTX call back into: the log, the progress, and the stream that an engine is written to.

Both print and forget whatever a callback raises, and go on building; so every callback keeps its exception in a
`Stop`, the next step of progress ends the build, and the caller raises what was kept. The classes are made from the
module that is in use, because its own classes have to be their base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from edgetool_tensorrt.wording import without_gpu_noise


@dataclass(slots=True)
class Stop:
    """Why the build has to end early: the first exception that a callback met; None while all is well."""

    error: BaseException | None = None

    def keep(self, error: BaseException) -> None:
        self.error = self.error or error

    def reraise(self) -> None:
        """Raise what was kept, if anything was."""
        if self.error is not None:
            raise self.error


def make_log(trt: Any, stop: Stop) -> Any:
    """An `ILogger` that collects error messages in its list `errors` and drops everything else."""
    serious = frozenset({trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR})

    class Log(trt.ILogger):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # super() would not construct the native side
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            try:
                if severity in serious and (telling := without_gpu_noise(message)):
                    self.errors.append(telling)
            except BaseException as error:  # noqa: BLE001 - Ctrl-C included: it would be printed and forgotten
                stop.keep(error)

    return Log()


def make_monitor(trt: Any, progress: Callable[[int, int, str], None], stop: Stop) -> Any:
    """An `IProgressMonitor` that passes the builder's phases on, and ends the build when somebody wants it ended.

    Args:
        trt: a module that has `IProgressMonitor`: TensorRT from 10 on, or TensorRT-RTX.
        progress: told how far the innermost phase is; whatever it raises cancels the build.
        stop: keeps what it raised.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self._steps[name] = steps
            self._tell(0, name)

        def step_complete(self, name: str, step: int) -> bool:
            self._tell(step + 1, name)
            return stop.error is None

        def phase_finish(self, name: str) -> None:
            self._steps.pop(name, None)

        def _tell(self, done: int, name: str) -> None:
            try:
                if stop.error is None and next(reversed(self._steps), None) == name:
                    progress(done, self._steps[name], name)
            except BaseException as error:  # noqa: BLE001 - see the module: whoever raises cancels the build
                stop.keep(error)

    return Monitor()


def make_writer(trt: Any, file: IO[bytes], stop: Stop) -> Any:
    """An `IStreamWriter` that writes the engine to a file as it comes, so that it is never whole in memory."""

    class Writer(trt.IStreamWriter):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)

        def write(self, data: bytes) -> int:
            try:
                return file.write(data)
            except BaseException as error:  # noqa: BLE001 - see the module: a full disk would pass for a success
                stop.keep(error)
                return 0

    return Writer()
