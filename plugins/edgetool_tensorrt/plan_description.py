"""What `edgetool inspect` says of an engine file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgetool.config.units import format_bytes
from edgetool.description import Description
from edgetool_tensorrt.plan_file import PlanHeader, is_plan, read_header, truncation

_NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


def describe(path: Path) -> Description | None:
    """Description of a plan file, or None when the file is no plan.

    Raises:
        IntegrityError: `truncated-engine`: it ends inside its header.
        HostError: it cannot be read.
    """
    if not is_plan(path):
        return None
    header = read_header(path)
    return Description(
        kind=f"{_NAMES[header.product]} engine",
        rows=tuple(_rows(header)),
        facts=header.to_json(),
        warnings=tuple(_warnings(path, header)),
        problem=truncation(header, path),
    )


def _rows(header: PlanHeader) -> Iterator[tuple[str, str]]:
    version = f"{_NAMES[header.product]} {header.version}" if header.version else "not said in this older layout"
    yield "built by", version
    yield "built for", "not said in its header; the manifest of its bundle records the device"
    if header.declared_size is None:
        yield "size", f"{format_bytes(header.size)}; how much it should be is not said in its header"
    elif header.truncated:
        yield "size", f"{format_bytes(header.size)} of {format_bytes(header.declared_size)}: TRUNCATED"
    else:
        yield "size", f"{format_bytes(header.size)}, as its header says"
    if header.prefix:
        keys = ", ".join(sorted(header.prefix.metadata)) or "unreadable"
        yield "prefix", f"{header.prefix.length} bytes of foreign metadata ({keys})"


def _warnings(path: Path, header: PlanHeader) -> Iterator[str]:
    if header.prefix:
        yield (
            "a length and a JSON text stand before the engine, as some exporters write them: trtexec and the TensorRT "
            f"runtime refuse it (magicTag); strip them: {header.prefix.strip_command(path)}"
        )
    if header.surplus:
        yield f"{header.surplus} bytes follow the end of the engine"
