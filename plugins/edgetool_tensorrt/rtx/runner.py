"""Runs an RTX engine on the card of this machine. Unverified on hardware: written against the API's own description."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from edgetool.artifact import Engine, Facts
from edgetool.backends import Evidence
from edgetool.context import BuildContext
from edgetool.disk import replace_file
from edgetool.engine.cache import default_root
from edgetool.errors import DeviceError, HostError
from edgetool_tensorrt.cuda import Gpu
from edgetool_tensorrt.gpu_runner import GpuRunner
from edgetool_tensorrt.layers import parse_layers
from edgetool_tensorrt.listeners import Stop, make_log
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import read_header, require_whole
from edgetool_tensorrt.rtx.cards import conditions, find_cards
from edgetool_tensorrt.rtx.toolkit import load_toolkit

_JIT = "tensorrt-rtx-jit"
"""Folder beside edgetool's cache: kernels that were compiled for a card at an engine's first run."""


class RtxRunner(GpuRunner):
    """An RTX engine, whose kernels are compiled when they first run and kept for the next time."""

    def conditions(self) -> Facts:
        return conditions()

    def layers(self) -> str:
        """The engine inspector's JSON."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        if self._context is not None:
            self._keep_kernels()
        super().close()

    def _create_context(self) -> Any:
        config = self._engine.create_runtime_config()
        kernels = config.create_runtime_cache()
        with contextlib.suppress(OSError):  # none yet; and what is foreign or damaged, the library itself refuses
            kernels.deserialize(self._kernels().read_bytes())
        config.set_runtime_cache(kernels)
        return self._engine.create_execution_context(config)

    def _keep_kernels(self) -> None:
        """Not being able to costs seconds at the next start, and nothing else."""
        kernels = self._context.get_runtime_config().get_runtime_cache().serialize()
        if kernels is not None:
            with contextlib.suppress(HostError):
                replace_file(self._kernels(), bytes(kernels))

    def _kernels(self) -> Path:
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return default_root() / _JIT / f"{digest[:32]}.bin"


def open_engine(engine: Engine, options: TensorRtOptions, context: BuildContext) -> RtxRunner:
    """Load an engine on the card of this machine.

    Raises:
        DeviceError: `no-gpu`: there is no card here that the engine was built for.
        IntegrityError: `truncated-engine`, `engine-incomplete`.
        ModelError: `not-an-engine`, `engine-refused`.
        UnavailableError: `tensorrt-rtx-missing`, `cuda-python-missing`.
    """
    capabilities = engine.facts.get("capabilities")
    served = capabilities if isinstance(capabilities, list) else []
    cards = find_cards()
    if not any(card.sm in served for card in cards):
        here = ", ".join(f"{card.name} ({card.sm})" for card in cards) or "no NVIDIA GPU"
        raise DeviceError(
            "no-gpu",
            f"the engine is for compute capability {' or '.join(map(str, served))}; here is {here}",
            where=str(engine.path),
            hint="copy the bundle to the PC that has the GPU and run `edgetool validate BUNDLE` there",
        )
    require_whole(read_header(engine.path), engine.path)
    trt = load_toolkit()
    return RtxRunner(trt, make_log(trt, Stop()), engine.path, engine.signature, gpu=Gpu())


def read_evidence(engine: Engine, options: TensorRtOptions, context: BuildContext) -> Evidence:
    """The kernels that the card of this machine runs the engine with. Raises as `open_engine`."""
    with open_engine(engine, options, context) as runner:
        return Evidence(parse_layers(runner.layers()))
