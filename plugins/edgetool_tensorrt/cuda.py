"""Device memory and one stream, through cuda-python: all that running an engine needs of CUDA."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from edgetool.errors import DeviceError, HostError, ModelError, UnavailableError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

_NO_DEVICE = frozenset({"cudaErrorNoDevice", "cudaErrorInsufficientDriver", "cudaErrorInitializationError"})
_NO_MEMORY = "cudaErrorMemoryAllocation"


class Gpu:
    """One stream of the current device, and buffers by name that grow as they are asked for. A context manager.

    Args:
        runtime: the module of cuda-python that speaks to CUDA's runtime, imported when left out.

    Raises:
        UnavailableError: `cuda-python-missing`.
        DeviceError: `no-gpu`: there is no GPU here, or its driver is too old.
    """

    def __init__(self, runtime: ModuleType | None = None) -> None:
        self._runtime: Any = runtime or _load_runtime()
        self._buffers: dict[str, tuple[int, int]] = {}
        self._stream: Any = self._done(self._runtime.cudaStreamCreate())

    @property
    def stream(self) -> int:
        """The stream's handle, as engines take it."""
        return int(self._stream)

    def buffer(self, name: str, nbytes: int) -> int:
        """Address of device memory for a tensor; its content is undefined."""
        address, size = self._buffers.get(name, (0, 0))
        if size < nbytes or not address:
            if address:
                del self._buffers[name]
                self._done(self._runtime.cudaFree(address))
            size = max(nbytes, 1)
            address = int(self._done(self._runtime.cudaMalloc(size)))
            self._buffers[name] = (address, size)
        return address

    def upload(self, name: str, array: np.ndarray[Any, Any]) -> int:
        """Queue a copy to the device; the array must stay alive until `wait`. Returns the address."""
        address = self.buffer(name, array.nbytes)
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._done(self._runtime.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self._stream))
        return address

    def download(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Queue a copy from the device into `array`, which is complete after `wait`."""
        address, _ = self._buffers[name]
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._done(self._runtime.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, kind, self._stream))

    def wait(self) -> None:
        """Until everything that was queued is done. Raises what went wrong on the device meanwhile."""
        self._done(self._runtime.cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        """Give everything back; closing twice is harmless."""
        for address, _ in self._buffers.values():
            self._runtime.cudaFree(address)
        self._buffers.clear()
        if self._stream is not None:
            self._runtime.cudaStreamDestroy(self._stream)
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _done(self, answer: tuple[Any, ...]) -> Any:
        """The value of a CUDA call, whose first part is its status. Raises as the class and `wait` say."""
        status, *value = answer
        if status != self._runtime.cudaError_t.cudaSuccess:
            _, text = self._runtime.cudaGetErrorString(status)
            raise _cuda_error(status.name, text.decode() if isinstance(text, bytes) else str(text))
        return value[0] if value else None


def _cuda_error(name: str, text: str) -> DeviceError | HostError | ModelError:
    if name in _NO_DEVICE:
        return DeviceError(
            "no-gpu", f"no GPU can be used here: {text}", hint="`nvidia-smi` must list one; update its driver otherwise"
        )
    if name == _NO_MEMORY:
        return HostError(
            "gpu-out-of-memory",
            f"the GPU has no memory left: {text}",
            hint="end other programs on it (`nvidia-smi` lists them), or build with smaller max shapes",
        )
    return ModelError("inference-failed", f"{text} ({name})", hint="build the engine again for this device")


def _load_runtime() -> ModuleType:
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime  # before cuda-python 12.6
        except ImportError as error:
            raise UnavailableError(
                "cuda-python-missing",
                "cuda-python is needed to run engines here, and it is not installed",
                hint="pip install cuda-python, of the CUDA major version that the driver serves",
            ) from error
    return runtime  # type: ignore[no-any-return] # the package has no types
