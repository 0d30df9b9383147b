"""Runs an engine on the GPU of this machine: TensorRT's and TensorRT-RTX's execution calls are the same.

Unverified on hardware: written against the attribute tables of each version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.backends.feeds import checked_feeds
from edgetool.errors import ConfigError, IntegrityError, ModelError
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature, TensorSpec
from edgetool_tensorrt.cuda import Gpu

if TYPE_CHECKING:
    import numpy as np

_STRANGERS = frozenset({"bfloat16", "float8_e4m3fn", "int4", "uint4"})
"""Element types that numpy knows through ml_dtypes only."""


class GpuRunner(Runner):
    """An engine, its execution context, and buffers for its tensors.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        logger: a `trt.ILogger`, kept alive as long as the engine.
        path: the plan file.
        signature: of the typed ONNX; the engine has to agree with it.
        gpu: closed with the runner.
        dla_core: the deep learning accelerator that the engine was built for, or None.

    Raises:
        ModelError: `engine-refused`: the runtime cannot load it.
        IntegrityError: `engine-incomplete`: its inputs and outputs are not those of the signature.
    """

    def __init__(
        self, trt: Any, logger: Any, path: Path, signature: Signature, *, gpu: Gpu, dla_core: int | None = None
    ) -> None:
        self.signature = signature
        self._path = path
        self._trt = trt
        self._logger = logger
        self._gpu: Gpu | None = gpu
        self._engine: Any = None
        self._context: Any = None
        try:
            self._runtime = trt.Runtime(logger)
            if dla_core is not None:
                self._runtime.DLA_core = dla_core
            self._engine = self._load()
            self._context = self._create_context()
            if self._context is None:
                raise _refused(path, "it needs more memory than the GPU has left")
        except BaseException:
            self.close()
            raise

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once.

        Raises:
            ConfigError: `wrong-feeds`, or `runner-closed`.
            ModelError: `inference-failed`.
            HostError: `gpu-out-of-memory`.
        """
        gpu = self._gpu
        if gpu is None:
            raise ConfigError("runner-closed", "this runner was closed", where=str(self._path), hint="open it again")
        arrays = checked_feeds(self.signature, feeds, where=str(self._path))
        given = {spec.name: self._give(gpu, spec, arrays[spec.name]) for spec in self.signature.inputs}
        results = {spec.name: self._room(gpu, spec) for spec in self.signature.outputs}
        if not self._context.execute_async_v3(gpu.stream):
            raise self._failed("the engine refuses these inputs")
        for name, array in results.items():
            if not self._on_host(name):
                gpu.download(name, array)
        gpu.wait()
        del given  # the copies to the device read them until now
        return {
            spec.name: results[spec.name].astype(_numpy_type(spec.dtype), copy=False) for spec in self.signature.outputs
        }

    def close(self) -> None:
        self._context = None
        self._engine = None
        self._runtime = None
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None

    def _load(self) -> Any:
        engine = self._runtime.deserialize_cuda_engine(self._path.read_bytes())
        if engine is None:
            raise _refused(self._path, "it was built by another version, or for another GPU")
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        wanted = {spec.name for spec in (*self.signature.inputs, *self.signature.outputs)}
        if found != wanted:
            raise IntegrityError(
                "engine-incomplete",
                f"the engine's inputs and outputs are {sorted(found)}, recorded are {sorted(wanted)}",
                where=str(self._path),
                hint="build the target again",
            )
        return engine

    def _create_context(self) -> Any:
        """What runs the engine; None when the GPU has no memory for it."""
        return self._engine.create_execution_context()

    def _give(self, gpu: Gpu, spec: TensorSpec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Hand one feed to the engine. Returns the array that has to stay alive until it has run."""
        array = self._narrowed(spec, array)
        if not self._context.set_input_shape(spec.name, array.shape):
            raise self._failed(f"shape {list(array.shape)} of input {spec.name!r} is outside of the engine's profile")
        address = array.ctypes.data if self._on_host(spec.name) else gpu.upload(spec.name, array)
        self._context.set_tensor_address(spec.name, address)
        return array

    def _room(self, gpu: Gpu, spec: TensorSpec) -> np.ndarray[Any, Any]:
        import numpy as np

        shape = tuple(self._context.get_tensor_shape(spec.name))
        if any(size < 0 for size in shape):
            raise self._failed(f"the shape of output {spec.name!r} depends on the values of the inputs")
        array = np.empty(shape, self._element_type(spec))
        address = array.ctypes.data if self._on_host(spec.name) else gpu.buffer(spec.name, array.nbytes)
        self._context.set_tensor_address(spec.name, address)
        return array

    def _on_host(self, name: str) -> bool:
        """Tensors that hold shapes are read and written by the CPU."""
        return bool(self._engine.get_tensor_location(name) == self._trt.TensorLocation.HOST)

    def _element_type(self, spec: TensorSpec) -> np.dtype[Any]:
        """As the engine holds it: TensorRT 8 narrows 64-bit integers, inputs and outputs included."""
        import numpy as np

        if spec.dtype in _STRANGERS:
            return _numpy_type(spec.dtype)
        held: np.dtype[Any] = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(spec.name)))
        return held

    def _narrowed(self, spec: TensorSpec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        narrow = array.astype(self._element_type(spec), order="C", copy=False)
        if narrow.dtype.kind in "iu" and narrow.dtype.itemsize < array.dtype.itemsize and (narrow != array).any():
            raise self._failed(
                f"input {spec.name!r} has values that do not fit {narrow.dtype}, which this engine takes"
            )
        return narrow

    def _failed(self, what: str) -> ModelError:
        return ModelError(
            "inference-failed",
            what,
            where=str(self._path),
            hint="`edgetool inspect BUNDLE` shows the shapes that the engine was built for",
        )


def _refused(path: Path, reason: str) -> ModelError:
    return ModelError(
        "engine-refused",
        f"the engine cannot be loaded: {reason}",
        where=str(path),
        hint="`edgetool inspect` shows which version built it; build it again on this device",
    )


def _numpy_type(name: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name) if name in _STRANGERS else name)
    return found
