"""Blobs: engines that are compiled ahead, and what they say about the devices that they were compiled for."""

from __future__ import annotations

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from edgetool.errors import ModelError, UnavailableError
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.refusal import device_error
from edgetool_openvino.session import open_engine

_HEADER_LIMIT = 16 * 2**20
_SUBMODEL = re.compile(rb'<compiled_submodel [^>]*device="([^"]+)"')


def compile_aside(ir: Path, blob: Path, options: OpenVinoOptions, *, threads: int) -> None:
    """Compile an IR into a blob, in a process of its own.

    Compiled networks hold names with a counter of the process, so only a new one gives the same bytes again.

    Raises:
        DeviceError: the device is not here.
        ModelError: `refused-by-device`.
        UnavailableError: `compiler-crashed`.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            process.submit(write_blob, ir, blob, options, threads).result()
        except BrokenProcessPool as error:
            raise UnavailableError(
                "compiler-crashed",
                f"the compiler for {options.used} crashed",
                where=f"device {options.used}",
                hint='update its driver or plugin; artifact = "ir" leaves compiling to the device',
            ) from error


def write_blob(ir: Path, blob: Path, options: OpenVinoOptions, threads: int) -> None:
    """The inside of `compile_aside`."""
    opened = open_engine(ir, options, threads=threads)
    try:
        blob.write_bytes(opened.compiled.export_model().getbuffer())
    except RuntimeError as error:
        raise device_error(error, str(options.used), where=blob.name) from error


def blob_devices(path: Path) -> dict[str, int]:
    """Device -> number of submodels, from the readable first line of a blob that HETERO exported; empty for others.

    Raises:
        ModelError: `damaged-blob` when that line has no end.
    """
    with path.open("rb") as file:
        if not file.read(64).lstrip().startswith((b"<?xml", b"<hetero")):
            return {}
        file.seek(0)
        header = file.readline(_HEADER_LIMIT)
    if not header.endswith(b"\n"):
        raise ModelError(
            "damaged-blob", "its description has no end: truncated or damaged", where=str(path), hint="build it again"
        )
    counts: dict[str, int] = {}
    for device in _SUBMODEL.findall(header):
        counts[device.decode()] = counts.get(device.decode(), 0) + 1
    return dict(sorted(counts.items()))
