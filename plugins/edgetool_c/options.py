"""`[targets.NAME.c]`: the board, and how the C is compiled for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgetool.backends.base import BackendOptions
from edgetool_c.boards import BOARDS, Board, BoardName


class COptions(BackendOptions):
    """How the network becomes C, and where that is tried out."""

    board: BoardName = Field(
        default="mps2-an386",
        description="Where the image is measured and run: `mps2-an386` (Cortex-M4 with FPU), `mps2-an385` "
        "(Cortex-M3), `mps2-an500` (Cortex-M7), all under QEMU; or `host`, this computer as a stand-in.",
    )
    function: str = Field(
        default="model_run",
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="Name of the C function; networks that are linked into one firmware need different ones.",
    )
    optimize: Literal["s", "1", "2", "3"] = Field(
        default="2", description="The compiler's -O level for measuring and running: `s` for small code."
    )
    integers: bool = Field(
        default=True,
        description="Compute quantized Conv, Gemm and MatMul in integers; False keeps their Q/DQ pairs, "
        "which unpack all int8 weights to float RAM at run time.",
    )
    timeout: float = Field(
        default=60.0, gt=0, description="Seconds that one inference may take before the image counts as hanging."
    )

    @property
    def where(self) -> Board:
        """The board itself."""
        return BOARDS[self.board]
