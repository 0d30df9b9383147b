"""Opens an inference session with every option pinned, and reads the signature back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.errors import ModelError
from edgetool.signature import Dim, Signature, TensorSpec
from edgetool_onnxruntime.refusal import load_error
from edgetool_onnxruntime.runtime import load_runtime, runtime_errors
from edgetool_onnxruntime.values import dtype_name

Level: TypeAlias = Literal["disabled", "basic", "extended", "layout", "all"]

CPU = "CPUExecutionProvider"

RECORD_ASSIGNMENT = {"session.record_ep_graph_assignment_info": "1"}
"""Session entries that `assigned_providers` needs."""

_SILENT = 4
"""Log severity FATAL: what matters comes as an exception; the rest would end up between our own lines."""


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """Everything that decides how a session executes.

    Attributes:
        threads: threads inside one operator.
        inter_op_threads: operators at once, in parallel execution only.
        providers: in order of preference, each with its own options.
        level: how far the graph is optimized.
        parallel: execute independent branches at once.
        spinning: waiting threads spin: a little quicker where nothing else runs, and twice as slow on a busy machine.
        entries: further session configuration entries.
        optimized_path: also write the optimized graph there.
        without: optimizers of ONNX Runtime to leave out, by their names.
    """

    threads: int
    inter_op_threads: int = 1
    providers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {CPU: {}})
    level: Level = "all"
    parallel: bool = False
    spinning: bool = False
    entries: Mapping[str, str] = field(default_factory=dict)
    optimized_path: Path | None = None
    without: tuple[str, ...] = ()

    def config_entries(self) -> dict[str, str]:
        """Session configuration entries, the user's last so that they win."""
        spinning = "1" if self.spinning else "0"
        return {
            "session.intra_op.allow_spinning": spinning,
            "session.inter_op.allow_spinning": spinning,
            # Two sessions that are measured in turns must not steal each other's cores while idle.
            "session.force_spinning_stop": "1",
            **self.entries,
        }

    def to_json(self) -> dict[str, JsonValue]:
        """The pinned options, for the manifest; threads are left out because the runner chooses them."""
        return {
            "graph_optimization_level": self.level,
            "execution_mode": "parallel" if self.parallel else "sequential",
            "inter_op_threads": self.inter_op_threads,
            "session_entries": dict(sorted(self.config_entries().items())),
        }


def open_session(path: Path, settings: SessionSettings) -> Any:
    """An `InferenceSession` for a .onnx or .ort file.

    Raises:
        ModelError: ONNX Runtime refuses the model; names the operator and the node.
        HostError: there is not enough memory.
    """
    runtime = load_runtime()
    providers = [(name, dict(options)) for name, options in settings.providers.items()]
    try:
        session = runtime.InferenceSession(
            str(path),
            sess_options=session_options(runtime, settings),
            providers=providers,
            disabled_optimizers=list(settings.without),
        )
    except runtime_errors() as error:
        raise load_error(error, path) from error
    # Otherwise a provider that fails while running is silently replaced by the CPU.
    session.disable_fallback()
    return session


def session_options(runtime: Any, settings: SessionSettings) -> Any:
    """The settings as ONNX Runtime's own object."""
    options = runtime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = settings.inter_op_threads
    options.use_deterministic_compute = True
    options.graph_optimization_level = getattr(
        runtime.GraphOptimizationLevel,
        {
            "disabled": "ORT_DISABLE_ALL",
            "basic": "ORT_ENABLE_BASIC",
            "extended": "ORT_ENABLE_EXTENDED",
            "layout": "ORT_ENABLE_LAYOUT",
            "all": "ORT_ENABLE_ALL",
        }[settings.level],
    )
    if settings.parallel:
        options.execution_mode = runtime.ExecutionMode.ORT_PARALLEL
    if settings.optimized_path is not None:
        options.optimized_model_filepath = str(settings.optimized_path)
    for key, value in settings.config_entries().items():
        options.add_session_config_entry(key, value)
    return options


def assigned_providers(session: Any) -> dict[str, str]:
    """Node name -> provider, as the graph was partitioned; nodes that were folded away are absent."""
    parts = session.get_provider_graph_assignment_info()
    return {node.name: part.ep_name for part in parts for node in part.get_nodes()}


def session_signature(session: Any, path: Path) -> Signature:
    """Inputs and outputs as the session declares them; an input's nameless dimension is called `INPUT_dimAXIS`.

    A scalar and a tensor of unknown rank look the same here: both have an empty shape.

    Raises:
        ModelError: `unsupported-type` for sequences, optionals, maps and packed element types.
    """
    return Signature(
        inputs=tuple(
            TensorSpec(
                value.name,
                _dtype("input", value, path),
                tuple(_dim(size) or f"{value.name}_dim{axis}" for axis, size in enumerate(value.shape)),
            )
            for value in session.get_inputs()
        ),
        outputs=tuple(
            TensorSpec(value.name, _dtype("output", value, path), tuple(map(_dim, value.shape)))
            for value in session.get_outputs()
        ),
    )


def _dtype(kind: str, value: Any, path: Path) -> str:
    name = dtype_name(value.type)
    if name is None:
        raise ModelError(
            "unsupported-type",
            f"{kind} {value.name!r} is a {value.type}; only plain tensors can be fed and compared",
            where=f"{path}: {value.name}",
            hint="return the tensors of a sequence or optional one by one; unpack 4-bit values to int8",
        )
    return name


def _dim(size: int | str | None) -> Dim:
    """A size, a name, or None; ONNX Runtime gives an empty name for a nameless dimension."""
    return size if isinstance(size, int) or size else None
