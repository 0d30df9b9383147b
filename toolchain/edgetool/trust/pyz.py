"""Writes `edgetool-verify.pyz`: the verifier as one file, for devices that have nothing but Python."""

from __future__ import annotations

import io
import zipfile
from importlib import resources
from pathlib import Path

from edgetool.disk import written_aside

_MODULES = (
    "edgetool/__init__.py",
    "edgetool/bundle/__init__.py",
    "edgetool/bundle/verify.py",
    "edgetool/cli/__init__.py",
    "edgetool/cli/streams.py",
    "edgetool/trust/__init__.py",
    "edgetool/trust/checking.py",
    "edgetool/trust/ec_keys.py",
    "edgetool/trust/model_signing.py",
    "edgetool/trust/named_trust.py",
    "edgetool/trust/openssl_program.py",
    "edgetool/trust/verification.py",
    "edgetool/trust/verifier.py",
    "edgetool/trust/x509_der.py",
)
_MAIN = """\
import sys

from edgetool.cli.streams import prepare_streams
from edgetool.trust.verifier import main

prepare_streams()
sys.exit(main(on_device=True))
"""
_SHEBANG = b"#!/usr/bin/env python3\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX, _MODE = 3, 0o100644


def write_verifier(path: Path) -> None:
    """Write the program. Its bytes depend on nothing but the version of edgetool.

    Raises:
        HostError: disk full, permission denied.
    """
    with written_aside(path) as file:
        file.write(_SHEBANG + _archive())
    path.chmod(0o755)


def _archive() -> bytes:
    """Not compressed: small Pythons come without zlib."""
    root = resources.files("edgetool")
    sources = {name: root.joinpath(*name.split("/")[1:]).read_bytes() for name in _MODULES}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted({**sources, "__main__.py": _MAIN.encode()}.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
