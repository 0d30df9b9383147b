"""CMS messages, judged by OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgetool.errors import ConfigError
from edgetool.trust.keys import load_signer
from edgetool.trust.signer import Signer
from edgetool_firmware import der
from edgetool_firmware.cms import require_purpose, sign_detached, sign_inline
from tests.firmware.credentials import Authority, make_authority, write_key
from tests.trust.conftest import SoftToken
from tests.trust.conftest import soft_token as soft_token

CONTENT = b"lines\r\nof any kind\n\0" * 100

SignerOf = Callable[..., Signer]
Verify = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def verify(tmp_path: Path, authority: Authority, require_tool: Callable[[str], str]) -> Verify:
    """`openssl cms -verify` with the authority's root alone; the content is found in its stdout."""
    openssl = require_tool("openssl")

    def run(
        message: bytes, content: bytes | None = None, *, root: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        (tmp_path / "message").write_bytes(message)
        command = [openssl, "cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "message"]
        if content is not None:
            (tmp_path / "content").write_bytes(content)
            command += ["-content", tmp_path / "content"]
        return subprocess.run([*command, "-CAfile", root or authority.root], capture_output=True, check=False)

    return run


@pytest.fixture(params=["rsa", "p256", "p384"])
def signer(
    request: pytest.FixtureRequest,
    rsa_key: Path,
    ec_key: Path,
    authority: Authority,
    tmp_path: Path,
) -> Signer:
    keys = {"rsa": rsa_key, "p256": ec_key}
    key = keys.get(request.param) or write_key(tmp_path / "p384.key", ec.generate_private_key(ec.SECP384R1()))
    return load_signer(str(key), certificate=authority.certify(key, f"cms-{request.param}"))


def test_a_detached_message_is_about_its_content_alone(signer: Signer, verify: Verify) -> None:
    message = sign_detached(hashlib.sha256(CONTENT).digest(), signer)
    assert verify(message, CONTENT).returncode == 0
    assert verify(message, CONTENT + b"\n").returncode != 0


def test_an_inline_message_gives_its_content_back(signer: Signer, verify: Verify) -> None:
    message = sign_inline(CONTENT, signer)
    done = verify(message)
    assert (done.returncode, done.stdout) == (0, CONTENT), done.stderr
    assert verify(message.replace(b"of any kind", b"of one kind", 1)).returncode != 0


def test_another_authority_is_not_trusted(signer: Signer, verify: Verify, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other")
    assert verify(sign_inline(CONTENT, signer), root=other.root).returncode != 0


def test_equal_content_gives_equal_messages(signer: Signer) -> None:
    assert signer.deterministic
    assert sign_inline(CONTENT, signer) == sign_inline(CONTENT, signer)


def test_a_key_that_stays_in_its_token(
    soft_token: SoftToken, verify: Verify, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft_token.run("--keypairgen", "--key-type", "EC:prime256v1", "--label", "cms", "--id", "07")
    monkeypatch.setenv("EDGETOOL_PIN", soft_token.pin)
    uri = soft_token.uri("cms")
    public = serialization.load_pem_public_key(load_signer(uri).public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    certificate = authority.certify(public, "token")
    done = verify(sign_inline(CONTENT, load_signer(uri, certificate=certificate)))
    assert (done.returncode, done.stdout) == (0, CONTENT), done.stderr


def test_a_certificate_for_something_else_is_refused(rsa_key: Path, authority: Authority) -> None:
    server = authority.certify(rsa_key, "server", usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    anything = authority.certify(rsa_key, "any", usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    code = authority.certify(rsa_key, "code", usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    mail = authority.certify(rsa_key, "mail", usages=[ExtendedKeyUsageOID.EMAIL_PROTECTION])
    for certificate, code_signing in ((server, False), (server, True), (anything, False), (code, False), (mail, True)):
        with pytest.raises(ConfigError, match="extended key usage") as raised:
            require_purpose(load_signer(str(rsa_key), certificate=certificate), code_signing=code_signing)
        assert raised.value.code == "certificate-purpose"
    require_purpose(load_signer(str(rsa_key), certificate=code), code_signing=True)
    require_purpose(load_signer(str(rsa_key), certificate=mail), code_signing=False)


def test_a_certificate_that_may_only_issue_others_is_refused(
    tmp_path: Path, rsa_key: Path, require_tool: Callable[[str], str]
) -> None:
    certificate = tmp_path / "issuer.pem"
    usages = ["-addext", "keyUsage=keyCertSign", "-addext", "extendedKeyUsage=emailProtection"]
    command = [require_tool("openssl"), "req", "-x509", "-key", rsa_key, "-subj", "/CN=issuer", *usages]
    subprocess.run([*command, "-out", certificate], check=True, capture_output=True)
    with pytest.raises(ConfigError, match="digitalSignature"):
        require_purpose(load_signer(str(rsa_key), certificate=certificate), code_signing=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "020100"), (1, "020101"), (127, "02017f"), (128, "02020080"), (256, "02020100")],
)
def test_integers_have_no_needless_bytes(value: int, expected: str) -> None:
    assert der.integer(value).hex() == expected


def test_identifiers_are_those_of_the_standard() -> None:
    assert der.identifier("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"
    assert der.identifier("2.16.840.1.101.3.4.2.1").hex() == "0609608648016503040201"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_an_element_is_read_as_it_was_written(size: int) -> None:
    content = bytes(size)
    whole = der.element(der.OCTETS, content)
    assert der.split(whole + b"rest") == (whole, content, b"rest")
    with pytest.raises(ValueError, match=r"element"):
        der.split(whole[:-1] if size else whole[:1])


def test_the_issuer_is_copied_byte_by_byte(rsa_key: Path, certificate: Path) -> None:
    signer = load_signer(str(rsa_key), certificate=certificate)
    issuer = x509.load_der_x509_certificate(signer.certificates[0]).issuer.public_bytes()
    assert issuer in sign_detached(bytes(32), signer)
