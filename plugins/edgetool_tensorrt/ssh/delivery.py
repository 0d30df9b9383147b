"""Files that come from the device: as many bytes as it has there, and the same ones."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import IO

from edgetool.disk import host_errors
from edgetool.errors import HostError
from edgetool_tensorrt.ssh.connection import Connection
from edgetool_tensorrt.ssh.refusals import script_refusal

_BLOCK = 1 << 20
_DIGEST = 64  # hexadecimal digits of a sha256


def receive(connection: Connection, text: str, *arguments: str, into: Path) -> dict[str, Path]:
    """Run a script that sends lines of sha256sum, an empty line, and a tar of these files.

    Args:
        connection: to the device.
        text: the script.
        arguments: its positional parameters.
        into: folder that the files are written to.

    Returns:
        Name to file, for those that were sent.

    Raises:
        HostError: `damaged-transfer`; the disk here is full; as `Connection.must`.
        DeviceError: as `Connection.must`.
    """
    with connection.stream(text, *arguments, folder=into) as (done, output):
        if done.code != 0:
            raise script_refusal(done.stderr, host=str(connection.host), doing="fetching the result")
        promised = _listing(output)
        try:
            found = _unpacked(output, promised, into)
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(connection, str(error)) from error
    if missing := promised.keys() - found.keys():
        raise _damaged(connection, f"{', '.join(sorted(missing))} did not arrive whole")
    return found


def _listing(output: IO[bytes]) -> dict[str, str]:
    """Name to digest, up to the empty line."""
    found = {}
    for line in iter(output.readline, b""):
        text = line.decode(errors="replace").rstrip("\n")
        if not text:
            break
        found[text[_DIGEST + 2 :]] = text[:_DIGEST]
    return found


def _unpacked(output: IO[bytes], promised: dict[str, str], into: Path) -> dict[str, Path]:
    """Files of the tar that were promised and are as promised; nothing else of it is touched."""
    found = {}
    with tarfile.open(fileobj=output, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in promised and member.isreg() else None
            if content is None:
                continue
            path = into / member.name
            digest = hashlib.sha256()
            with host_errors(path), path.open("wb") as file:
                while block := content.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() == promised[member.name]:
                found[member.name] = path
    return found


def _damaged(connection: Connection, what: str) -> HostError:
    return HostError(
        "damaged-transfer",
        f"what the device sent is not what it has: {what}",
        where=str(connection.host),
        hint="run again; if it stays so, check the disk and the `tar` of the device",
    )
