"""Signed bundles, also by signers who make mistakes or mean harm, and the two programs that check them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgetool.bundle.verify import verify
from edgetool.trust import model_signing, verifier
from edgetool.trust.model_signing import Envelope, Statement
from tests.trust.credentials import Holder

OLDEST = (3, 8)
ALGORITHMS: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}


@dataclass(frozen=True)
class Verdict:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


Verifier = Callable[..., Verdict]
"""`check(bundle, "--key", key)`: one of the two programs."""


def by_library(*arguments: str | Path) -> Verdict:
    """`edgetool verify`, with the package cryptography."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = verifier.main(list(map(str, arguments)))
        except SystemExit as end:
            code = int(str(end.code))
    return Verdict(code, out.getvalue(), err.getvalue())


def by_program(pyz: Path, python: str = sys.executable, **env: str) -> Verifier:
    """`edgetool-verify.pyz`, with the program openssl."""

    def check(*arguments: str | Path) -> Verdict:
        done = subprocess.run(
            [python, "-I", "-S", pyz, *arguments],
            capture_output=True, text=True, env={**os.environ, **env}, check=False,
        )  # fmt: skip
        return Verdict(done.returncode, done.stdout, done.stderr)

    return check


def ecdsa(key: Any, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(ALGORITHMS[key.curve.key_size]))


def der(holder: Holder) -> bytes:
    return holder.certificate.public_bytes(serialization.Encoding.DER)


def hint_of(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.PEM, form)).hexdigest()


def sign_payload(bundle: Path, payload: bytes, key: Any, *chain: Holder) -> Path:
    """A signature over any payload, with whatever certificates; nothing is checked."""
    signature = ecdsa(key, model_signing.signed_bytes(payload))
    hint = None if chain else hint_of(key)
    place = bundle.with_name(bundle.name + ".sig")
    place.write_bytes(model_signing.write_envelope(Envelope(payload, signature, hint, tuple(map(der, chain)))))
    return place


def sign_as(bundle: Path, *chain: Holder) -> Path:
    """A true statement, by the first of a chain."""
    return sign_payload(bundle, statement(bundle), chain[0].key, *chain)


def statement(bundle: Path, **other: str) -> bytes:
    return model_signing.write_statement(Statement(bundle.name, {**verify(bundle).hashes, **other}))


def oldest_python() -> str:
    """The oldest Python that this machine has, down to 3.8, and not the one that runs the tests."""
    names = [f"python3.{minor}" for minor in range(OLDEST[1], sys.version_info.minor)]
    folders = [path / "bin" for path in (Path.home() / ".pyenv/versions").glob("3.*")]
    for name in names:
        for found in [shutil.which(name), *(str(folder / name) for folder in folders)]:
            if found and _works(found):
                return found
    pytest.skip("no Python older than the one that runs the tests")


def _works(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
