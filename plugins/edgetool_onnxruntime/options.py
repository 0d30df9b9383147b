"""`[targets.NAME.onnxruntime]`: every choice that ONNX Runtime leaves open, pinned and documented."""

from __future__ import annotations

import re
from typing import Literal, Self

import pydantic
from pydantic import Field

from edgetool.backends.base import BackendOptions
from edgetool_onnxruntime.session import CPU, Level, SessionSettings

_PROVIDER = re.compile(r"[A-Za-z0-9]+ExecutionProvider")
_ENTRY = re.compile(r"(session|ep|optimization|mlas|memory)\.[a-zA-Z0-9_.]+")

_FORBIDDEN = {
    "session.enable_quant_qdq_cleanup": "it gives wrong results on models with quantized inputs",
    "session.intra_op.allow_spinning": "use `spinning`",
    "session.inter_op.allow_spinning": "use `spinning`",
    "session.force_spinning_stop": "it is always on, so that idle sessions leave the cores alone",
    "session.intra_op_num_threads": "use `threads` of the target",
    "session.inter_op_num_threads": "use `inter_op_threads`",
    "session.graph_optimization_level": "use `graph_optimization`",
    "session.execution_mode": "use `execution_mode`",
    "session.save_model_format": "use `format`",
    "session.load_model_format": "use `format`",
    "session.optimized_model_filepath": "an optimized graph fits one machine only, and is never shipped",
    "session.disable_cpu_ep_fallback": "use `[targets.NAME.budget] off_accelerator_nodes`",
}


class OnnxRuntimeOptions(BackendOptions):
    """How ONNX Runtime executes the engine."""

    providers: list[str] = Field(
        default=[CPU],
        min_length=1,
        description="Execution providers in order of preference; the first is the accelerator, CPU takes the rest.",
    )
    provider_options: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Options of a provider, by its name."
    )
    graph_optimization: Level = Field(
        default="all", description="How far the graph is optimized when the engine is opened, on the device itself."
    )
    execution_mode: Literal["sequential", "parallel"] = Field(
        default="sequential", description="`parallel` runs independent branches of the graph at once."
    )
    inter_op_threads: int = Field(default=1, ge=1, description="Branches at once; counts in parallel mode only.")
    spinning: bool = Field(
        default=False,
        description="Waiting threads spin: a little quicker where nothing else runs, much slower elsewhere.",
    )
    session_entries: dict[str, str] = Field(
        default_factory=dict, description="Further session configuration entries, passed on as they are."
    )
    format: Literal["onnx", "ort"] = Field(
        default="onnx",
        description="`onnx` is portable; `ort` comes with the list of operators that a minimal build needs.",
    )
    lower_int8: Literal["auto", "never"] = Field(
        default="auto",
        description="`auto` rewrites quantized models to the form that has fast kernels on the target's CPU.",
    )

    @pydantic.field_validator("providers")
    @classmethod
    def _known_form(cls, providers: list[str]) -> list[str]:
        for name in providers:
            if not _PROVIDER.fullmatch(name):
                raise ValueError(f"{name!r} is no provider's name; they end in ExecutionProvider, like {CPU}")
        if len(set(providers)) != len(providers):
            raise ValueError("names a provider twice")
        return providers

    @pydantic.field_validator("session_entries")
    @classmethod
    def _allowed(cls, entries: dict[str, str]) -> dict[str, str]:
        for key in entries:
            if key in _FORBIDDEN:
                raise ValueError(f"{key} must not be set here: {_FORBIDDEN[key]}")
            if not _ENTRY.fullmatch(key):
                raise ValueError(f"{key!r} is no session entry; they start with session., ep., optimization. or mlas.")
        return entries

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := [name for name in self.provider_options if name not in self.providers]:
            raise ValueError(f"provider_options for {', '.join(unknown)}, which `providers` does not name")
        if self.format == "ort" and self.providers != [CPU]:
            raise ValueError('format = "ort" is optimized for the CPU before it is saved; take "onnx" for a provider')
        return self

    @property
    def accelerator(self) -> str:
        """The device that nodes are meant to run on: `CPU`, `CUDA`, ..."""
        return device_of(self.providers[0])

    def settings(self, threads: int) -> SessionSettings:
        """Everything that decides how a session of these options executes."""
        return SessionSettings(
            threads=threads,
            inter_op_threads=self.inter_op_threads,
            providers={name: self.provider_options.get(name, {}) for name in self.providers},
            level=self.graph_optimization,
            parallel=self.execution_mode == "parallel",
            spinning=self.spinning,
            entries=self.session_entries,
        )


def device_of(provider: str) -> str:
    """`CUDAExecutionProvider` -> `CUDA`."""
    return provider.removesuffix("ExecutionProvider")
