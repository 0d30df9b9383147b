"""A session as the framework's Runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.backends.feeds import checked_feeds
from edgetool.errors import ConfigError
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature
from edgetool_onnxruntime.refusal import run_error
from edgetool_onnxruntime.runtime import load_runtime, runtime_errors
from edgetool_onnxruntime.values import from_ort_value, needs_ort_value, to_ort_value

if TYPE_CHECKING:
    import numpy as np


class SessionRunner(Runner):
    """Runs an `InferenceSession` with feeds that were checked against its signature."""

    def __init__(self, session: Any, signature: Signature, *, path: Path) -> None:
        self.signature = signature
        self._session: Any | None = session
        self._path = path
        self._outputs = [spec.name for spec in signature.outputs]
        self._errors = runtime_errors()
        specs = (*signature.inputs, *signature.outputs)
        self._infer = self._with_ort_values if any(needs_ort_value(spec.dtype) for spec in specs) else self._with_numpy

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once.

        Raises:
            ConfigError: `wrong-feeds`, or `runner-closed`.
            ModelError: `inference-failed`, with the node that failed.
            HostError: there is not enough memory.
        """
        if self._session is None:
            raise ConfigError("runner-closed", "this runner was closed", where=str(self._path), hint="open it again")
        arrays = checked_feeds(self.signature, feeds, where=str(self._path))
        try:
            return self._infer(self._session, arrays)
        except self._errors as error:
            raise run_error(error, self._path) from error

    def close(self) -> None:
        self._session = None

    def _with_numpy(self, session: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        return dict(zip(self._outputs, session.run(self._outputs, arrays), strict=True))

    def _with_ort_values(
        self, session: Any, arrays: dict[str, np.ndarray[Any, Any]]
    ) -> dict[str, np.ndarray[Any, Any]]:
        runtime = load_runtime()
        values = {name: to_ort_value(runtime, array) for name, array in arrays.items()}
        results = session.run_with_ort_values(self._outputs, values)
        specs = self.signature.outputs
        return {spec.name: from_ort_value(value, spec.dtype) for spec, value in zip(specs, results, strict=True)}
