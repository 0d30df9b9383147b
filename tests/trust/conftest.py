"""A bundle, a software token, and the programs that check signatures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgetool.bundle.write import write_bundle
from edgetool.trust.pyz import write_verifier
from tests.bundle.samples import contents
from tests.trust.signed import Verifier, by_library, by_program, oldest_python

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


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle in a folder of its own."""
    return write_bundle(tmp_path / "out" / "net-1.2.0-ort.edgebundle", contents(tmp_path / "made")).path


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`edgetool-verify.pyz`."""
    path = tmp_path_factory.mktemp("pyz") / "edgetool-verify.pyz"
    write_verifier(path)
    return path


def _verifier(request: pytest.FixtureRequest, pyz: Path, require_tool: Callable[[str], str]) -> Verifier:
    if request.param == "library":
        return by_library
    require_tool("openssl")
    return by_program(pyz, oldest_python() if request.param == "oldest" else sys.executable)


_OLDEST = pytest.param("oldest", marks=pytest.mark.slow)
check = pytest.fixture(params=["library", "program", _OLDEST], name="check")(_verifier)
"""Both programs have to come to the same verdicts, with the oldest Python, too."""
check_case = pytest.fixture(params=["library", _OLDEST], name="check_case")(_verifier)
"""The same for the many cases of one thing, which take a process each with the second program."""
