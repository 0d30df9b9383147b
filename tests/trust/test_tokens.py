"""Keys in a token: SoftHSM stands in for the hardware, through the same library and the same calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from edgetool.errors import ConfigError
from edgetool.trust.pkcs11_uri import parse_token_uri, read_pin
from tests.trust.conftest import SoftToken

_SIGN = """
import sys
from edgetool.errors import EdgetoolError
from edgetool.trust.keys import load_signer
try:
    signer = load_signer(sys.argv[1])
    sys.stdout.buffer.write(signer.public_key + b"|" + signer.sign(b"data", hash_name=sys.argv[2]))
except EdgetoolError as error:
    sys.exit(f"{error.code}: {error} {error.hint}")
"""


def sign(uri: str, hash_name: str = "sha256", **env: str) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own: a token's library reads its settings once."""
    return subprocess.run(
        [sys.executable, "-c", _SIGN, uri, hash_name], capture_output=True, env={**os.environ, **env}, check=False
    )


@pytest.mark.parametrize(
    ("kind", "hash_name"), [("EC:prime256v1", "sha256"), ("EC:secp384r1", "sha384"), ("rsa:2048", "sha256")]
)
def test_a_token_signs(soft_token: SoftToken, kind: str, hash_name: str) -> None:
    soft_token.run("--keypairgen", "--key-type", kind, "--label", "signing", "--id", "01")
    done = sign(soft_token.uri("signing"), hash_name, EDGETOOL_PIN=soft_token.pin)
    assert done.returncode == 0, done.stderr
    pem, _, signature = done.stdout.partition(b"|")
    public: Any = serialization.load_pem_public_key(pem)
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}[hash_name]
    if kind.startswith("EC"):
        public.verify(signature, b"data", ec.ECDSA(algorithm))
    else:
        public.verify(signature, b"data", padding.PKCS1v15(), algorithm)


def test_what_goes_wrong_with_a_token_is_named(soft_token: SoftToken, tmp_path: Path) -> None:
    soft_token.run("--keypairgen", "--key-type", "EC:prime256v1", "--label", "one", "--id", "01")
    soft_token.run("--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", "02")
    soft_token.run("--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", "03")
    pin_file = tmp_path / "pin"
    pin_file.write_text(soft_token.pin + "\n")
    uri, module = soft_token.uri("one"), soft_token.library
    assert sign(f"{uri}&pin-source=file:{pin_file}").returncode == 0
    assert sign(f"pkcs11:object=twin;id=%03?module-path={module}", EDGETOOL_PIN=soft_token.pin).returncode == 0
    for named, pin, expected in (
        (uri, "", b"token-pin: pkcs11:token=release%20keys;object=one: the token has no such key that it shows"),
        (uri, "999999", b"token-pin: pkcs11:token=release%20keys;object=one: the token refuses the PIN"),
        (f"{uri}&pin-source=file:{tmp_path}/nothing", "", b"token-pin"),
        (soft_token.uri("twin"), soft_token.pin, b"2 private keys of the token fit"),
        (soft_token.uri("nobody"), soft_token.pin, b"no such private key"),
        (f"pkcs11:token=other;object=one?module-path={module}", soft_token.pin, b"there are: 'release keys'"),
        ("pkcs11:token=x?module-path=/nothing.so", soft_token.pin, b"token-not-found"),
    ):
        done = sign(named, EDGETOOL_PIN=pin)
        assert done.returncode == 1 and expected in done.stderr, (named, done.stderr)
        assert soft_token.pin.encode() not in done.stderr and b"999999" not in done.stderr


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pkcs11:object=x", "names no library"),
        ("pkcs11:?module-path=", "names no library"),
        ("pkcs11:object=x;colour=red?module-path=/x", "'colour' is not one of its attributes"),
        ("pkcs11:object=x;object=y?module-path=/x", "says 'object' twice"),
        ("pkcs11:object=x;type=public?module-path=/x", "needs a private key"),
        ("pkcs11:object=%FF?module-path=/x", "object is not UTF-8"),
        ("pkcs11:object=x?module-path=/x&pin-value=1234", "pin-value shows the PIN"),
    ],
)
def test_uris_that_name_no_key(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_token_uri(uri)
    assert caught.value.code == "pkcs11-uri-invalid"
    assert "1234" not in f"{caught.value} {caught.value.hint}"


def test_a_uri_with_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pin").write_text("12 34\n")
    monkeypatch.setenv("EDGETOOL_PKCS11_MODULE", "/usr/lib/token.so")
    uri = parse_token_uri(
        f"pkcs11:token=a%3Bb;manufacturer=m;serial=1;model=n;object=%C3%A9;id=%00%ff;type=private?pin-source={tmp_path}/pin"
    )
    assert (uri.token, uri.label, uri.id, uri.module_path) == ("a;b", "é", b"\x00\xff", "/usr/lib/token.so")
    assert read_pin(uri) == "12 34"
    assert "pin" not in uri.shown and "pin" not in repr(uri)
    assert uri.fits_token("a;b", b"1", "m", "n") and not uri.fits_token("a", b"1", "m", "n")
