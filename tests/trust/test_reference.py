"""The reference program of the OpenSSF, model_signing, accepts what we sign, and we accept what it signs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgetool.trust.keys import load_signer
from edgetool.trust.model_signing import read_envelope, read_statement
from edgetool.trust.signing import sign_bundle
from tests.trust.credentials import issue, private_pem, public_pem, write_private
from tests.trust.signed import Verifier

if not os.environ.get("CI"):
    pytest.importorskip("model_signing", reason="model-signing and pyOpenSSL are not installed")

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
ROOT = issue("Root", authority=True)
MIDDLE = issue("Middle", ROOT, authority=True)


def reference_accepts(bundle: Path, signature: Path, **how: Any) -> bool:
    from model_signing.verifying import Config

    config = Config()
    if "public_key" in how:
        config.use_elliptic_key_verifier(**how)
    else:
        config.use_certificate_verifier(**how)
    try:
        config.verify(bundle, signature)
    except Exception:  # noqa: BLE001 # it raises whatever it likes
        return False
    return True


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_it_accepts_signatures_with_a_key(bundle: Path, tmp_path: Path, curve: Any) -> None:
    key = ec.generate_private_key(curve)
    place = sign_bundle(bundle, load_signer(str(write_private(tmp_path / "k", private_pem(key))))).path
    public = write(tmp_path / "p", public_pem(key))
    assert reference_accepts(bundle, place, public_key=public)
    assert not reference_accepts(
        bundle, place, public_key=write(tmp_path / "o", public_pem(ec.generate_private_key(curve)))
    )
    flip(bundle / "model/engine.onnx")
    assert not reference_accepts(bundle, place, public_key=public)


def test_it_accepts_signatures_with_certificates(bundle: Path, tmp_path: Path) -> None:
    signer = issue("Release", MIDDLE)
    chain = write(tmp_path / "chain", signer.pem + MIDDLE.pem)
    key = write_private(tmp_path / "k", private_pem(signer.key))
    place = sign_bundle(bundle, load_signer(str(key), certificate=chain)).path
    assert reference_accepts(bundle, place, certificate_chain=[write(tmp_path / "ca", ROOT.pem)])
    other = write(tmp_path / "other", issue("Root", authority=True).pem)
    assert not reference_accepts(bundle, place, certificate_chain=[other])
    (bundle / "model/added").write_text("x")
    assert not reference_accepts(bundle, place, certificate_chain=[tmp_path / "ca"])


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_we_accept_what_it_signs_with_a_key(bundle: Path, tmp_path: Path, check: Verifier, curve: Any) -> None:
    from model_signing.signing import Config

    key = ec.generate_private_key(curve)
    place = bundle.with_name(bundle.name + ".sig")
    private = write_private(tmp_path / "k", private_pem(key))
    Config().use_elliptic_key_signer(private_key=private).sign(bundle, place)
    public = write(tmp_path / "p", public_pem(key))
    assert check(bundle, "--key", public).code == 0
    (bundle / ".gitignore").write_text("the reference ignores this file")
    assert reference_accepts(bundle, place, public_key=public)
    assert check(bundle, "--key", public).code == 7


def test_we_accept_what_it_signs_with_certificates(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    from model_signing.signing import Config

    signer = issue("Release", MIDDLE)
    place = bundle.with_name(bundle.name + ".sig")
    Config().use_certificate_signer(
        private_key=write_private(tmp_path / "k", private_pem(signer.key)),
        signing_certificate=write(tmp_path / "c", signer.pem),
        certificate_chain=[write(tmp_path / "m", MIDDLE.pem)],
    ).sign(bundle, place)
    assert check(bundle, "--ca", write(tmp_path / "ca", ROOT.pem)).code == 0


def test_both_write_the_same_statement(bundle: Path, tmp_path: Path) -> None:
    from model_signing.signing import Config

    for name in ("model/é b", "model/data.x", "model/data/y"):
        (bundle / name).write_text("x")
    private = write_private(tmp_path / "k", private_pem(ec.generate_private_key(ec.SECP256R1())))
    Config().use_elliptic_key_signer(private_key=private).sign(bundle, tmp_path / "theirs.sig")
    payload = read_envelope((tmp_path / "theirs.sig").read_bytes()).payload
    from edgetool.trust.model_signing import write_statement

    ours, theirs = json.loads(write_statement(read_statement(payload))), json.loads(payload)
    theirs["predicate"]["serialization"].pop("ignore_paths")
    assert ours == theirs


@pytest.mark.slow
def test_its_command_line_accepts_ours(
    bundle: Path, tmp_path: Path, require_tool: Callable[[str], str], run_cli: Any
) -> None:
    import subprocess
    import sys

    key = ec.generate_private_key(ec.SECP256R1())
    private = write_private(tmp_path / "k", private_pem(key))
    assert run_cli("sign", bundle, "--key", private).returncode == 0
    command = [
        sys.executable, "-m", "model_signing", "verify", "key", bundle,
        "--signature", f"{bundle}.sig", "--public_key", write(tmp_path / "p", public_pem(key)),
    ]  # fmt: skip
    assert subprocess.run(command, check=False).returncode == 0
    (bundle / "model/more").symlink_to("/etc/passwd")
    assert subprocess.run(command, check=False).returncode == 1
