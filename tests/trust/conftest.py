"""A software token, its programs and its keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

_LIBRARIES = (Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"))


@dataclass(frozen=True)
class SoftToken:
    """A token of SoftHSM.

    Attributes:
        library: its PKCS#11 module.
        pin: of its user.
        run: runs `pkcs11-tool` on it, logged in.
    """

    library: Path
    pin: str
    run: Callable[..., None]

    def uri(self, label: str) -> str:
        return f"pkcs11:token=release%20keys;object={label}?module-path={self.library}"


@pytest.fixture
def soft_token(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> SoftToken:
    """A fresh token named `release keys`; keys are made by the test."""
    util, tool = require_tool("softhsm2-util"), require_tool("pkcs11-tool")
    library = next((path for path in _LIBRARIES if path.exists()), _LIBRARIES[0])
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "conf"))
    pin = "314159"

    def call(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, env={**os.environ})

    def run(*arguments: str) -> None:
        call(tool, "--module", library, "--token-label", "release keys", "--login", "--pin", pin, *arguments)

    call(util, "--init-token", "--free", "--label", "release keys", "--pin", pin, "--so-pin", "271828")
    return SoftToken(library, pin, run)
