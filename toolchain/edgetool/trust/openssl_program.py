"""Checks signatures and certificates with the program `openssl`, for devices whose Python has no library for it.

Works with OpenSSL 1.1.1 and later, and runs with Python 3.8 and its standard library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.trust.checking import MAX_DEPTH, CheckerMissingError
from edgetool.trust.x509_der import pem

if TYPE_CHECKING:
    from edgetool.trust.signer import HashName

_TIMEOUT = 60  # seconds
_REASON = re.compile(r"error \d+ at \d+ depth lookup: ?(.*)")


class OpensslProgram:
    """A `Checker` that asks the device's program.

    Raises:
        CheckerMissingError: there is no such program on PATH, or it cannot be run.
    """

    def __init__(self) -> None:
        found = shutil.which("openssl")
        if found is None:
            raise CheckerMissingError("there is no program openssl on PATH")
        self._program = os.path.abspath(found)  # noqa: PTH100 # of the program that PATH means, links and all
        done = self._run(["version"], Path("/"))
        if done.returncode:
            raise CheckerMissingError(f"{found} does not work: {done.stderr.strip()[:120]}")
        self.name = " ".join(done.stdout.split()[:2])

    def is_signed(self, data: bytes, signature: bytes, *, public_key: bytes, hash_name: HashName) -> bool:
        with _scratch_folder() as folder:
            (folder / "key.pem").write_bytes(pem("PUBLIC KEY", public_key))
            (folder / "signature").write_bytes(signature)
            (folder / "data").write_bytes(data)
            arguments = ["dgst", f"-{hash_name}", "-verify", "key.pem", "-signature", "signature", "data"]
            done = self._run(arguments, folder)
        return done.returncode == 0 and done.stdout.strip() == "Verified OK"

    def distrust(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, at: int) -> str | None:
        with _scratch_folder() as folder:
            (folder / "none").mkdir()
            for file, certificates in (("own", chain[:1]), ("others", chain[1:]), ("trusted", authorities)):
                (folder / file).write_bytes(b"".join(pem("CERTIFICATE", der) for der in certificates))
            others = ["-untrusted", "others"] if chain[1:] else []
            done = self._run(
                [
                    "verify", "-CAfile", "trusted", "-no-CApath", "-partial_chain", "-auth_level", "2",
                    "-verify_depth", str(MAX_DEPTH), "-attime", str(at), *others, "own",
                ],
                folder,
            )  # fmt: skip
        if done.returncode == 0 and done.stdout.strip() == "own: OK":
            return None
        reasons = _REASON.findall(done.stdout + done.stderr) or [done.stderr.strip()[:120] or "openssl refuses it"]
        return str(reasons[0])

    def _run(self, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        # What the system trusts, and any configuration of its own, is kept away: only --ca counts.
        nothing = {"SSL_CERT_DIR": "none", "SSL_CERT_FILE": os.devnull, "SSL_CERT_URI": "", "OPENSSL_CONF": os.devnull}
        try:
            return subprocess.run(
                [self._program, *arguments],
                cwd=folder,
                env={**os.environ, "LC_ALL": "C", **nothing},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CheckerMissingError(f"{self._program} does not work: {error}") from error


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards. Raises CheckerMissingError where none can be had."""
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    except OSError as error:
        raise CheckerMissingError(f"nothing can be written to the folder for temporary files: {error}") from error
