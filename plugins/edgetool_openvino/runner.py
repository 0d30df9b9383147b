"""A compiled model as the framework's Runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.backends.feeds import checked_feeds
from edgetool.errors import ConfigError, IntegrityError, ModelError
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature, TensorSpec
from edgetool_openvino.refusal import boiled_down
from edgetool_openvino.runtime import load_runtime
from edgetool_openvino.session import Opened

if TYPE_CHECKING:
    import numpy as np

_NARROWED = {"int64": "int32", "uint64": "int32", "uint32": "int32"}
"""Integers that OpenVINO's devices compute in fewer bits, without a word when a value does not fit."""


class CompiledRunner(Runner):
    """Runs a compiled model with feeds that were checked against the engine's signature."""

    def __init__(self, opened: Opened, signature: Signature, *, path: Path) -> None:
        self.signature = signature
        self._path = path
        self._inputs = _ports("input", signature.inputs, opened.compiled.inputs, path)
        self._outputs = _ports("output", signature.outputs, opened.compiled.outputs, path)
        self._opened: Opened | None = opened
        self._request: Any | None = opened.compiled.create_infer_request()
        self._infer = self._from_a_thread if opened.may_fail_inside else self._at_once
        self._bfloat16 = any(spec.dtype == "bfloat16" for spec in (*signature.inputs, *signature.outputs))

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once.

        Raises:
            ConfigError: `wrong-feeds`, or `runner-closed`.
            ModelError: `inference-failed`.
        """
        if self._request is None:
            raise ConfigError("runner-closed", "this runner was closed", where=str(self._path), hint="open it again")
        arrays = checked_feeds(self.signature, feeds, where=str(self._path))
        for spec in self.signature.inputs:
            if spec.dtype in _NARROWED:
                self._check_range(spec, arrays[spec.name])
        tensors = {self._inputs[name]: self._tensor(array) for name, array in arrays.items()}
        try:
            results = self._infer(self._request, tensors)
        except RuntimeError as error:
            raise ModelError(
                "inference-failed",
                boiled_down(str(error)),
                where=str(self._path),
                hint="the shapes of the inputs must fit each other; `edgetool inspect` shows what the model wants",
            ) from error
        return {
            spec.name: self._array(spec, results[port])
            for spec, port in zip(self.signature.outputs, self._outputs.values(), strict=True)
        }

    def close(self) -> None:
        self._request = None
        self._opened = None

    # The arrays outlive the call, so they need no copy; what comes back lies in memory that is used again, so it does.

    def _at_once(self, request: Any, tensors: dict[Any, Any]) -> Any:
        return request.infer(tensors, share_inputs=True)

    def _from_a_thread(self, request: Any, tensors: dict[Any, Any]) -> Any:
        """With one inference thread, `infer` forgets an error and gives back whatever the memory held (2026.4)."""
        request.start_async(tensors, share_inputs=True)
        request.wait()
        return {port: request.get_tensor(port).data.copy() for port in self._outputs.values()}

    def _check_range(self, spec: TensorSpec, array: np.ndarray[Any, Any]) -> None:
        import numpy as np

        limits = np.iinfo(_NARROWED[spec.dtype])
        if array.size and (int(array.max()) > limits.max or int(array.min()) < limits.min):
            raise ConfigError(
                "wrong-feeds",
                f"input {spec.name!r} holds values beyond int32, which OpenVINO would silently cut off",
                where=str(self._path),
                hint="indices and tokens fit int32; hash large identifiers to a smaller range before the model",
            )

    def _tensor(self, array: np.ndarray[Any, Any]) -> Any:
        """OpenVINO takes numpy's own types as they are, and bfloat16 as bits with a name."""
        if not self._bfloat16 or array.dtype.name != "bfloat16":
            # A scalar that must not be written is refused, other than an array (2026.4).
            return array if array.ndim or array.flags.writeable else array.copy()
        import numpy as np

        openvino = load_runtime()
        return openvino.Tensor(array.view(np.uint16), openvino.Shape(array.shape), openvino.Type.bf16)

    def _array(self, spec: TensorSpec, result: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if spec.dtype != "bfloat16":
            return result
        import ml_dtypes
        import numpy as np

        return result.view(np.uint16).view(ml_dtypes.bfloat16)


def _ports(kind: str, specs: tuple[TensorSpec, ...], ports: Any, path: Path) -> dict[str, Any]:
    """Name -> port. Ports stand in the model's order; their names, of which there may be several, must agree."""
    if len(ports) != len(specs) or any(spec.name not in port.names for spec, port in zip(specs, ports, strict=True)):
        have = ", ".join("/".join(sorted(port.names)) for port in ports)
        raise IntegrityError(
            "engine-incomplete",
            f"the engine's {kind}s are {have}, not those it was built with",
            where=str(path),
            hint="build the target again",
        )
    return {spec.name: port for spec, port in zip(specs, ports, strict=True)}
