"""Puts `src/` of a bundle together: the program, the backend's part of it, and what it is to do with this engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgetool.backends.base import DeviceSources
from edgetool.bundle.golden import INDEX, MIN_COSINE
from edgetool.bundle.layout import IO_FOLDER

CONFIGURATION = "selftest.conf"
HEADER = "edgetool-selftest 1"

_PLAIN = re.compile(r"[^A-Za-z0-9_./:=,+-]")


def selftest_sources(entry: str, golden: Path, own: DeviceSources) -> dict[str, bytes]:
    """Name to content of everything in `src/`.

    Args:
        entry: the engine's file, relative to the bundle.
        golden: folder made by `write_golden`.
        own: the backend's part.

    Raises:
        ValueError: the backend's part takes a name that the program has.
    """
    found = package_files("edgetool.selftest", "source")
    if taken := own.files.keys() & {*found, CONFIGURATION}:
        raise ValueError(f"{', '.join(sorted(taken))}: names of the self-test itself")
    lines = [
        HEADER,
        f"runtime {own.runtime}",
        f"entry {_word(entry)}",
        *(f"set {_word(name)} {_word(value)}" for name, value in own.settings),
        *_golden_lines(json.loads((golden / INDEX).read_bytes())),
    ]
    return {**found, **own.files, CONFIGURATION: "".join(f"{line}\n" for line in lines).encode()}


def package_files(package: str, folder: str) -> dict[str, bytes]:
    """The files in a folder of a package that are no Python."""
    return {
        item.name: item.read_bytes()
        for item in sorted((files(package) / folder).iterdir(), key=lambda item: item.name)
        if item.is_file() and not item.name.endswith((".py", ".pyc"))
    }


def _golden_lines(index: Mapping[str, Any]) -> Iterator[str]:
    yield f"min-cosine {float(index.get('min_cosine', MIN_COSINE))!r}"
    for case in index["cases"]:
        yield "case"
        for kind in ("input", "output"):
            for row in case[f"{kind}s"]:
                shape = "x".join(map(str, row["shape"])) or "-"
                yield f"{kind} {row['dtype']} {shape} {_word(IO_FOLDER + '/' + row['file'])} {_word(row['name'])}"


def _word(text: str) -> str:
    """Without spaces, line breaks and whatever else could end a word; the device's program reads %XX."""
    return _PLAIN.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
