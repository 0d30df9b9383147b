"""squashfs images by the system's `mksquashfs`: owned by root, with one time, so that equal files give equal bytes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

from edgetool.errors import HostError, UnavailableError
from edgetool_firmware.payload import Item
from edgetool_firmware.ustar import Ustar

Compression: TypeAlias = Literal["none", "gzip", "xz", "zstd"]

_PROGRAM = "mksquashfs"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHOWN = 300  # characters of what the program says


def require_program() -> str:
    """Path of mksquashfs. Raises UnavailableError `program-missing`."""
    found = shutil.which(_PROGRAM)
    if found is None:
        raise UnavailableError(
            "program-missing",
            f"format 'rauc' needs the program {_PROGRAM}, which is not installed",
            hint="apt install squashfs-tools",
        )
    return found


def squash_folder(folder: Path, image: Path, *, created: int, compression: Compression) -> None:
    """The image of a folder.

    Raises:
        UnavailableError: the program is missing.
        HostError: it failed.
        OSError: it met a full disk.
    """
    _run([str(folder), str(image)], created, compression)


def squash_items(items: Iterable[Item], image: Path, *, created: int, compression: Compression) -> None:
    """The image of files from anywhere, which the program reads as a tar. Raises as `squash_folder`."""
    command = _command(["-", str(image), "-tar"], created, compression)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, env=_environment()) as process:
        assert process.stdin is not None and process.stderr is not None  # for the type checker: both are pipes
        try:
            with process.stdin as file, Ustar(file, created=created) as archive:
                for item in items:
                    archive.add_file(item.name, item.path)
        except BrokenPipeError:
            pass  # the program ended early, and says why
        said = process.stderr.read()
    _raise_for(process.returncode, said, image)


def _run(places: list[str], created: int, compression: Compression) -> None:
    command = _command(places, created, compression)
    done = subprocess.run(command, capture_output=True, env=_environment(), check=False)
    _raise_for(done.returncode, done.stderr, Path(places[1]))


def _command(places: list[str], created: int, compression: Compression) -> list[str]:
    packed = ["-noI", "-noD", "-noF", "-noX"] if compression == "none" else ["-comp", compression]
    fixed = ["-mkfs-time", str(created), "-all-time", str(created), "-all-root", "-root-mode", "755", "-no-xattrs"]
    return [require_program(), *places, *packed, *fixed, "-noappend", "-no-progress", "-quiet"]


def _environment() -> dict[str, str]:
    """In English, and without the variable that the program refuses where the times are given."""
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return {**kept, "LC_ALL": "C"}


def _raise_for(code: int, said: bytes, image: Path) -> None:
    """What ended the program, as the error that it is: the system's, or the program's own."""
    if code == 0:
        return
    text = said.decode(errors="replace").strip()
    refused = (
        errno.EFBIG if code == -signal.SIGXFSZ else next((number for number in _FULL if _says(text, number)), None)
    )
    if refused is not None:
        raise OSError(refused, os.strerror(refused), str(image))
    raise HostError(
        "squashfs-failed",
        f"{_PROGRAM} ended with {code}: {text[-_SHOWN:] or 'it says nothing'}",
        where=str(image),
        hint="run it by hand on the bundle to see more",
    )


def _says(text: str, number: int) -> bool:
    return os.strerror(number) in text
