"""Opens an engine with the options that the target pins, and makes sure that they were obeyed."""

from __future__ import annotations

from edgetool.artifact import Engine
from edgetool.errors import DeviceError, IntegrityError
from edgetool.runner import Runner
from edgetool_onnxruntime.availability import how_to_get, missing_providers
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.runner import SessionRunner
from edgetool_onnxruntime.session import open_session, session_signature


def open_engine(engine: Engine, options: OnnxRuntimeOptions, *, threads: int) -> Runner:
    """A runner for the engine.

    Raises:
        DeviceError: `provider-missing`: a provider that the options name is not here, or did not start.
        IntegrityError: `engine-incomplete`: the engine's file is gone, or has other inputs than were recorded.
        ModelError: ONNX Runtime refuses the engine.
    """
    if not engine.path.is_file():
        raise IntegrityError(
            "engine-incomplete", "the engine's file is missing", where=str(engine.path), hint="build the target again"
        )
    if missing := missing_providers(options):
        raise _absent(missing[0], "the installed onnxruntime was built without it", hint=how_to_get(missing[0]))
    session = open_session(engine.path, options.settings(threads))
    started = session.get_providers()
    if silent := [name for name in options.providers if name not in started]:
        # ONNX Runtime says nothing when a provider's libraries are missing, and takes the CPU.
        raise _absent(
            silent[0], "it did not start", hint="check that its driver and libraries are installed and can be loaded"
        )
    found = session_signature(session, engine.path)
    if [spec.name for spec in found.inputs] != [spec.name for spec in engine.signature.inputs]:
        raise IntegrityError(
            "engine-incomplete",
            "the engine has other inputs than those recorded for it",
            where=str(engine.path),
            hint="build the target again",
        )
    return SessionRunner(session, engine.signature, path=engine.path)


def _absent(provider: str, why: str, *, hint: str) -> DeviceError:
    return DeviceError("provider-missing", f"{provider} cannot be used: {why}", where=provider, hint=hint)
