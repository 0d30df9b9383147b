"""CUDA's runtime and TensorRT's execution calls on the CPU: host memory in the place of device memory.

Only for the runner's own logic: addresses, shapes, element types, order of copies. Nothing of it speaks for a GPU.
"""

# ruff: noqa: N815 - the names are CUDA's own
from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Status(Enum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorIllegalAddress = 700


class EmulatedCuda:
    """The functions that the plugin calls, with memory of the host.

    Attributes:
        memory: bytes that may be allocated.
        alive: address -> buffer of what was allocated and not freed.
        fault: what waiting for the stream returns next.
    """

    cudaError_t = Status
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self, memory: int = 1 << 20) -> None:
        self.memory = memory
        self.alive: dict[int, Any] = {}
        self.streams = 0
        self.fault = Status.cudaSuccess

    def cudaStreamCreate(self) -> tuple[Status, int]:
        self.streams += 1
        return Status.cudaSuccess, 7

    def cudaStreamDestroy(self, stream: int) -> tuple[Status]:
        self.streams -= 1
        return (Status.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple[Status, int | None]:
        if size > self.memory:
            return Status.cudaErrorMemoryAllocation, None
        buffer = ctypes.create_string_buffer(size)
        self.alive[ctypes.addressof(buffer)] = buffer
        return Status.cudaSuccess, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[Status]:
        del self.alive[address]
        return (Status.cudaSuccess,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> tuple[Status]:
        ctypes.memmove(to, source, size)
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Status]:
        return (self.fault,)

    def cudaGetErrorString(self, status: Status) -> tuple[Status, bytes]:
        return Status.cudaSuccess, f"emulated {status.name}".encode()


class EmulatedTensorRt:
    """A module with one engine, which `compute` stands for.

    Args:
        inputs, outputs: tensor name to the element type that the engine holds it in.
        compute: input arrays to output arrays.
        shape_of: input shapes to output shapes.
        on_host: names of tensors that the CPU reads and writes.
        loads: False for a runtime that refuses the engine.
    """

    TensorLocation = SimpleNamespace(HOST="host", DEVICE="device")

    def __init__(
        self,
        inputs: dict[str, str],
        outputs: dict[str, str],
        compute: Callable[[dict[str, Array]], dict[str, Array]],
        *,
        shape_of: Callable[[dict[str, tuple[int, ...]]], dict[str, tuple[int, ...]]],
        on_host: frozenset[str] = frozenset(),
        loads: bool = True,
    ) -> None:
        self.types = {**inputs, **outputs}
        self.inputs = inputs
        self.outputs = outputs
        self.compute = compute
        self.shape_of = shape_of
        self.on_host = on_host
        self.loads = loads
        self.dla_core: int | None = None

    def Runtime(self, logger: object) -> Any:
        return _Runtime(self)

    @staticmethod
    def nptype(name: str) -> Any:
        return np.dtype(name)


class _Runtime:
    def __init__(self, module: EmulatedTensorRt) -> None:
        self._module = module

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "DLA_core":
            self._module.dla_core = value
        super().__setattr__(name, value)

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        return _Engine(self._module) if self._module.loads else None


class _Engine:
    def __init__(self, module: EmulatedTensorRt) -> None:
        self._module = module
        self.num_io_tensors = len(module.types)

    def get_tensor_name(self, index: int) -> str:
        return list(self._module.types)[index]

    def get_tensor_dtype(self, name: str) -> str:
        return self._module.types[name]

    def get_tensor_location(self, name: str) -> str:
        return "host" if name in self._module.on_host else "device"

    def create_execution_context(self) -> Any:
        return _Context(self._module)


class _Context:
    def __init__(self, module: EmulatedTensorRt) -> None:
        self._module = module
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return all(size <= 8 for size in shape)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._module.shape_of(self._shapes)[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        arrays = {name: self._view(name, self._shapes[name]).copy() for name in self._module.inputs}
        for name, result in self._module.compute(arrays).items():
            self._view(name, result.shape)[...] = result
        return True

    def _view(self, name: str, shape: tuple[int, ...]) -> Array:
        dtype = np.dtype(self._module.types[name])
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)
