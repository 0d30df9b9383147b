"""What `probe` answers, found out without loading the generator."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from edgetool.backends.base import Availability
from edgetool_c.options import COptions
from edgetool_c.programs import how_to_get, missing, version_of


def availability(options: COptions) -> Availability:
    """Whether C can be generated here, and whether the board or its emulator can run it."""
    board = options.where
    if (version := _generator_version()) is None or importlib.util.find_spec("emx_onnx_cgen") is None:
        return Availability(
            can_build=False,
            can_run=False,
            version=None,
            why_not="emx-onnx-cgen is not installed",
            fix="pip install 'edgetool[microcontroller]'",
        )
    device = {"board": board.name, "compiler": version_of(board.compiler), "flags": list(board.flags)}
    if (program := missing(board)) is not None:
        how = how_to_get(program)
        return Availability(
            can_build=True,
            can_run=False,
            version=version,
            why_not=f"{program} is not installed, which {board.name} needs",
            fix=how if board.name == "host" else f"{how}, or set board = 'host' in [targets.NAME.c]",
            device=device,
        )
    return Availability(
        can_build=True,
        can_run=True,
        version=version,
        stand_in="this computer's processor" if board.machine is None else None,
        device=device,
    )


def _generator_version() -> str | None:
    try:
        return importlib.metadata.version("emx-onnx-cgen")
    except importlib.metadata.PackageNotFoundError:
        return None
