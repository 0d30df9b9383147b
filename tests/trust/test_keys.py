"""Keys that users name: those that work, and what they are told about those that do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from edgetool.errors import ConfigError
from edgetool.trust.keys import exposure, load_signer
from edgetool.trust.signer import Signer
from tests.trust.credentials import YEAR, issue, private_pem, public_pem, write_private

CURVES = {"sha256": ec.SECP256R1(), "sha384": ec.SECP384R1(), "sha512": ec.SECP521R1()}
HASHES: dict[str, Any] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def file_of(folder: Path, key: Any, password: bytes | None = None) -> str:
    return str(write_private(folder / "key.pem", private_pem(key, password)))


@pytest.mark.parametrize("name", CURVES)
def test_ec_keys_sign_deterministically(tmp_path: Path, name: Any) -> None:
    key = ec.generate_private_key(CURVES[name])
    signer: Signer = load_signer(file_of(tmp_path, key))
    first, second = (signer.sign(b"data", hash_name=name) for _ in range(2))
    assert (signer.kind, signer.bits, signer.public_key) == ("ec", key.curve.key_size, public_pem(key))
    assert signer.deterministic and first == second
    key.public_key().verify(first, b"data", ec.ECDSA(HASHES[name]))


@pytest.mark.parametrize("style", ["TraditionalOpenSSL", "PKCS8"])
def test_rsa_keys_sign(tmp_path: Path, style: str) -> None:
    form = getattr(serialization.PrivateFormat, style)
    pem = RSA_KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    signer = load_signer(str(write_private(tmp_path / "k", pem)))
    assert (signer.kind, signer.bits, signer.deterministic) == ("rsa", 2048, True)
    RSA_KEY.public_key().verify(signer.sign(b"data"), b"data", padding.PKCS1v15(), hashes.SHA256())


def test_a_key_that_openssl_wrote_with_its_curve_before_it(tmp_path: Path, require_tool: Any) -> None:
    path = tmp_path / "key.pem"
    subprocess.run([require_tool("openssl"), "ecparam", "-name", "prime256v1", "-genkey", "-out", path], check=True)
    assert b"EC PARAMETERS" in path.read_bytes()
    assert load_signer(str(path)).bits == 256


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_KEY", private_pem(EC_KEY).decode())
    signer = load_signer("env:RELEASE_KEY")
    assert signer.source == "env:RELEASE_KEY"
    EC_KEY.public_key().verify(signer.sign(b"data"), b"data", ec.ECDSA(hashes.SHA256()))


def test_a_key_from_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, private_pem(EC_KEY))
    os.close(writer)
    assert load_signer(f"/dev/fd/{reader}").public_key == public_pem(EC_KEY)
    os.close(reader)


def test_an_encrypted_key_is_opened_by_the_password_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = file_of(tmp_path, EC_KEY, b"open sesame")
    monkeypatch.setenv("EDGETOOL_KEY_PASSWORD", "open sesame")
    signer = load_signer(named)
    assert signer.public_key == public_pem(EC_KEY)
    assert "sesame" not in repr(signer) and "_key" not in repr(signer)


def test_a_password_for_a_key_without_one_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETOOL_KEY_PASSWORD", "superfluous")
    assert load_signer(file_of(tmp_path, EC_KEY)).bits == 256


@pytest.mark.parametrize(
    ("pem", "password", "code", "message"),
    [
        (b"", "", "key-invalid", "not PEM"),
        (b"\x30\x82\x01", "", "key-invalid", "not PEM"),
        (b"x" * (2 << 20), "", "key-invalid", "larger than 1 MiB"),
        (public_pem(EC_KEY), "", "key-invalid", "holds a public key"),
        (issue("x").pem, "", "key-invalid", "holds a certificate"),
        (private_pem(EC_KEY) + private_pem(RSA_KEY), "", "key-invalid", "2 private keys"),
        (private_pem(EC_KEY).replace(b"M", b"N", 3), "", "key-invalid", "damaged"),
        (private_pem(EC_KEY)[:90], "", "key-invalid", "damaged"),
        (private_pem(EC_KEY, b"secret"), "", "key-password", "no password"),
        (private_pem(EC_KEY, b"secret"), "Secret", "key-password", "does not open"),
        (private_pem(ed25519.Ed25519PrivateKey.generate()), "", "key-unsuitable", "Ed25519 key"),
        (private_pem(rsa.generate_private_key(65537, 1024)), "", "key-unsuitable", "1024 bits"),
        (private_pem(ec.generate_private_key(ec.SECP256K1())), "", "key-unsuitable", "secp256k1"),
        (
            EC_KEY.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            ),
            "", "key-invalid", "ssh",
        ),
    ],
    ids=lambda value: "pem" if isinstance(value, bytes) else None,  # keys are new in each process
)  # fmt: skip
def test_what_is_no_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pem: bytes, password: str, code: str, message: str
) -> None:
    monkeypatch.setenv("EDGETOOL_KEY_PASSWORD", password)
    path = write_private(tmp_path / "key.pem", pem)
    with pytest.raises(ConfigError, match=message) as caught:
        load_signer(str(path))
    assert (caught.value.code, caught.value.where) == (code, str(path))
    assert caught.value.hint and not (password and password in str(caught.value))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("nothing.pem", "No such file"),
        (".", "Is a directory"),
        ("zero\0byte", "null byte"),
        ("env:NOBODY_SET_THIS", "not set"),
        ("env:", "not set"),
    ],
)
def test_keys_that_are_not_there(named: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_signer(named)
    assert caught.value.code == "key-not-found"


def test_a_key_with_its_certificates(tmp_path: Path) -> None:
    root = issue("Root", authority=True)
    signing = issue("Signing", root)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(signing.pem + root.pem)
    signer = load_signer(file_of(tmp_path, signing.key), certificate=chain)
    der = serialization.Encoding.DER
    assert signer.certificates == (signing.certificate.public_bytes(der), root.certificate.public_bytes(der))


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (b"", "certificate-invalid", "no PEM certificate"),
        (private_pem(EC_KEY), "certificate-invalid", "a private key"),
        (issue("x").pem[:200] + b"\n-----END CERTIFICATE-----\n", "certificate-invalid", "damaged"),
        (issue("Other").pem, "certificate-mismatch", "'CN=Other' belongs to another key"),
        (issue("Root").pem + issue("Mine", key=EC_KEY).pem, "certificate-mismatch", "not the first"),
        (issue("Old", key=EC_KEY, ends=timedelta(days=-1)).pem, "certificate-out-of-date", "expired on"),
        (issue("New", key=EC_KEY, begins=YEAR / 2).pem, "certificate-out-of-date", "not valid before"),
    ],
)
def test_certificates_that_do_not_fit_are_named(tmp_path: Path, text: bytes, code: str, message: str) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_signer(file_of(tmp_path, EC_KEY), certificate=chain)
    assert caught.value.code == code


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_signer(file_of(tmp_path, EC_KEY), certificate=tmp_path / "nothing")
    assert caught.value.code == "certificate-not-found"


def test_a_key_that_others_may_read_is_told(tmp_path: Path) -> None:
    named = file_of(tmp_path, EC_KEY)
    assert exposure(named) is None
    Path(named).chmod(0o644)
    assert "chmod 600" in str(exposure(named))
    assert exposure("env:X") is None
    assert exposure(str(tmp_path / "nothing")) is None
    assert shutil.which("sh") and exposure("/dev/null") is None


@pytest.mark.parametrize(
    ("package", "named"), [("cryptography", "key.pem"), ("pkcs11", "pkcs11:token=x?module-path=/x")]
)
def test_what_is_not_installed_is_named(tmp_path: Path, package: str, named: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from edgetool.cli.entry import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "sign", tmp_path, "--key", named]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5 and "error[requirement-missing]" in done.stderr, done.stderr
    assert "pip install" in done.stderr
