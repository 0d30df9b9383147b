"""Compiles and links an engine's program for a board, and reads from the image what it takes of flash and RAM."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgetool.errors import HostError, ModelError, UnavailableError
from edgetool_c.boards import Board
from edgetool_c.objects import compiled
from edgetool_c.options import COptions
from edgetool_c.programs import how_to_get, size_tool

# Tensors share one arena, so that a value may follow one of another type in the same place; and a*b+c is rounded twice
# on every processor, so that all give the same numbers.
CFLAGS = (
    "-std=c11", "-fno-strict-aliasing", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-I.", "-Itest",
)  # fmt: skip
HOST_LDFLAGS = ("-Wl,--gc-sections,-z,noexecstack",)
DEVICE_LDFLAGS = ("-nostartfiles", "-Wl,--gc-sections,-z,noexecstack", "-T", "test/cortex_m.ld")
HOST_PLATFORM = "test/platform_host.c"
DEVICE_PLATFORM = "test/platform_cortex_m.c"

_PATIENCE = 900.0
_OVERFLOW = re.compile(r"region `(?P<region>\w+)' overflowed by (?P<bytes>\d+) bytes")


@dataclass(frozen=True, slots=True)
class Image:
    """A linked program.

    Attributes:
        path: of the ELF file.
        flash: code, constants and the initial values of data, in bytes.
        static_ram: data and zeroed data, in bytes, without the stack.
    """

    path: Path
    flash: int
    static_ram: int


def link(engine: Path, destination: Path, options: COptions) -> Image:
    """Compile the program that infers on request.

    Args:
        engine: folder with the engine's sources; stays as it is.
        destination: the image; its folder exists.
        options: name the board.

    Raises:
        UnavailableError: `compiler-missing`.
        ModelError: `image-too-large`, or `c-not-compiled`.
        HostError: `compiler-timeout`.
    """
    board = options.where
    compiler = shutil.which(board.compiler)
    if compiler is None:
        raise UnavailableError(
            "compiler-missing", f"{board.compiler} is not installed", where=board.name, hint=how_to_get(board.compiler)
        )
    platform, link_flags = (
        (DEVICE_PLATFORM, DEVICE_LDFLAGS) if board.machine is not None else (HOST_PLATFORM, HOST_LDFLAGS)
    )
    command = (compiler, f"-O{options.optimize}", *CFLAGS, *board.flags, "-w")
    try:
        with tempfile.TemporaryDirectory(prefix="edgetool-link-") as folder:
            objects = []
            for index, source in enumerate(("model.c", "test/serve.c", platform)):
                objects.append(Path(folder) / f"{index}.o")
                objects[-1].write_bytes(compiled(engine, source, command, timeout=_PATIENCE))
            subprocess.run(
                [*command, "-o", str(destination.absolute()), *map(str, objects), *link_flags, "-lm"],
                cwd=engine, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=True,
            )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise _failure(error.stderr, board, engine) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(
            "compiler-timeout",
            f"{board.compiler} was ended after {_PATIENCE:.0f} s",
            where=str(engine),
            hint="take optimize = 's' or '1', or a smaller network",
        ) from error
    flash, static_ram = _sizes(destination, board)
    return Image(destination, flash, static_ram)


def _sizes(image: Path, board: Board) -> tuple[int, int]:
    """text + data, and data + bss, as binutils' `size` counts them."""
    try:
        done = subprocess.run(
            [size_tool(board), str(image)], capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
        text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise UnavailableError(
            "compiler-missing", f"{size_tool(board)} does not work", hint=how_to_get(board.compiler)
        ) from error
    return text + data, data + bss


def _failure(text: str, board: Board, engine: Path) -> ModelError:
    if overflow := _OVERFLOW.search(text):
        return ModelError(
            "image-too-large",
            f"the image needs {overflow['bytes']} bytes more {overflow['region']} than {board.name} has",
            where=str(engine),
            hint="quantize to int8, prune, or fix the batch at 1 with `specialize`",
        )
    lines = [line.strip() for line in text.splitlines() if "error" in line or "undefined reference" in line]
    return ModelError(
        "c-not-compiled",
        f"{board.compiler} refuses the generated C: {lines[0] if lines else 'no reason given'}",
        where=str(engine),
        hint="this is a defect of the generator; `edgetool reduce` finds the smallest model that shows it",
    )
