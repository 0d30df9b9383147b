"""Signatures made with certificates: whom an authority vouches for, at which time, for which purpose."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgetool.trust.x509_der import read_certificate
from tests.trust.credentials import NOW, WEB, YEAR, Holder, issue
from tests.trust.signed import Verifier, by_library, by_program, der, sign_as, sign_payload, statement

DAY = timedelta(days=1)
ROOT = issue("Root", authority=True)
MIDDLE = issue("Middle", ROOT, authority=True)
SIGNER = issue("Release signing", MIDDLE)
OTHER_ROOT = issue("Root", authority=True)  # the same name, another key
NO_AUTHORITY = issue("Middle", ROOT)
SHORT = issue("Short", authority=True, path_length=0)
TOO_LONG = issue("Middle", SHORT, authority=True)
OLD_ROOT = issue("Old", authority=True, ends=-DAY)
WEAK_ROOT = issue("Weak", authority=True, key=rsa.generate_private_key(65537, 1024))
RSA_ROOT = issue("Strong", authority=True, key=rsa.generate_private_key(65537, 2048))
ALONE = issue("Alone")


def trusting(folder: Path, *anchors: Holder) -> Path:
    path = folder / "ca.pem"
    path.write_bytes(b"".join(anchor.pem for anchor in anchors))
    return path


@pytest.mark.parametrize(
    ("chain", "anchors"),
    [
        ([SIGNER, MIDDLE], [ROOT]),
        ([SIGNER, MIDDLE, ROOT], [ROOT]),
        ([SIGNER, ROOT, MIDDLE], [OTHER_ROOT, ROOT]),
        ([SIGNER], [MIDDLE]),
        ([ALONE], [ALONE]),
        ([issue("S", RSA_ROOT)], [RSA_ROOT]),
        ([issue("S", ROOT, key=ec.generate_private_key(ec.SECP384R1()))], [ROOT]),
        ([issue("S", ROOT, usage=None)], [ROOT]),
        ([issue("S", ROOT, purposes=None)], [ROOT]),
        ([issue("\n: \x1b[2J", ROOT)], [ROOT]),
    ],
)
def test_signers_for_whom_an_authority_vouches(
    bundle: Path, tmp_path: Path, check: Verifier, chain: list[Holder], anchors: list[Holder]
) -> None:
    sign_as(bundle, *chain)
    verdict = check(bundle, "--ca", trusting(tmp_path, *anchors))
    assert verdict.code == 0 and "signed by the certificate of" in verdict.out, verdict


@pytest.mark.parametrize(
    ("chain", "anchors", "message"),
    [
        ([SIGNER, MIDDLE], [OTHER_ROOT], "no trusted authority vouches for the certificate of 'Release signing'"),
        ([SIGNER], [ROOT], "no trusted authority vouches"),
        ([ALONE], [ROOT], "no trusted authority vouches"),
        ([SIGNER, NO_AUTHORITY], [ROOT], "no trusted authority vouches"),
        ([issue("S", TOO_LONG), TOO_LONG], [SHORT], "no trusted authority vouches"),
        ([issue("S", OLD_ROOT)], [OLD_ROOT], "no trusted authority vouches"),
        ([issue("S", WEAK_ROOT)], [WEAK_ROOT], "no trusted authority vouches"),
        ([issue("S", ROOT, ends=-DAY)], [ROOT], "expired on"),
        ([issue("S", ROOT, begins=DAY)], [ROOT], "is not valid before"),
        ([issue("S", ROOT, purposes=WEB)], [ROOT], "not for code"),
        ([issue("S", ROOT, usage=False)], [ROOT], "not for signatures"),
        ([issue("S", ROOT, usage=None, purposes=None)], [ROOT], "does not say that it is for signatures"),
        ([issue("S", ROOT, key=ec.generate_private_key(ec.SECP256K1()))], [ROOT], ""),
    ],
)
def test_signers_for_whom_nobody_vouches(
    bundle: Path, tmp_path: Path, check: Verifier, chain: list[Holder], anchors: list[Holder], message: str
) -> None:
    sign_as(bundle, *chain) if message else sign_payload(bundle, statement(bundle), ROOT.key, *chain)
    verdict = check(bundle, "--ca", trusting(tmp_path, *anchors))
    assert verdict.code == 7 and ": signature: " in verdict.err and message in verdict.err, verdict


def test_a_certificate_without_its_key_proves_nothing(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    sign_payload(bundle, statement(bundle), ALONE.key, SIGNER, MIDDLE)
    verdict = check(bundle, "--ca", trusting(tmp_path, ROOT))
    assert verdict.code == 7 and "did not make it" in verdict.err


def test_a_bare_key_is_no_certificate(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    sign_payload(bundle, statement(bundle), SIGNER.key)
    verdict = check(bundle, "--ca", trusting(tmp_path, ROOT))
    assert verdict.code == 7 and "carries no certificate" in verdict.err


def test_damaged_certificates(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    import base64

    place = sign_as(bundle, SIGNER, MIDDLE)
    good = base64.b64encode(der(SIGNER)).decode()
    for bad in (good[:80], base64.b64encode(der(SIGNER) + b"x").decode(), base64.b64encode(b"0" * 99).decode()):
        place.write_text(place.read_text().replace(good, bad))
        verdict = check(bundle, "--ca", trusting(tmp_path, ROOT))
        assert verdict.code == 7 and "Traceback" not in verdict.err, verdict
        sign_as(bundle, SIGNER, MIDDLE)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert "error[certificate-invalid]" in check(bundle, "--ca", tmp_path / "ca.pem").err
    (tmp_path / "ca.pem").write_text("")
    assert check(bundle, "--ca", tmp_path / "ca.pem").code == 2
    assert "error[certificate-not-found]" in check(bundle, "--ca", tmp_path / "nothing").err


def test_the_time_can_be_named(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    """A device that was off for years, or has no clock, checks at a time that it is told."""
    sign_as(bundle, SIGNER, MIDDLE)
    trusted = trusting(tmp_path, ROOT)
    for years, code in ((0, 0), (2, 7), (-2, 7)):
        at = (NOW + years * YEAR).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert check(bundle, "--ca", trusted, "--at", at).code == code
    expired = issue("S", ROOT, begins=-YEAR, ends=-YEAR / 2)
    sign_as(bundle, expired)
    assert check(bundle, "--ca", trusted, "--at", f"{NOW - YEAR * 0.7:%Y-%m-%d}").code == 0


def test_the_last_second_counts(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    sign_as(bundle, issue("S", ROOT, begins=-2 * DAY, ends=-DAY))
    trusted = trusting(tmp_path, ROOT)
    for second, code in ((-1, 0), (0, 7), (1, 7)):
        at = NOW - DAY + timedelta(seconds=second)
        assert check(bundle, "--ca", trusted, "--at", f"{at:%Y-%m-%dT%H:%M:%SZ}").code == code


def test_an_authority_limited_to_the_web_vouches_for_no_code(bundle: Path, tmp_path: Path, check: Verifier) -> None:
    middle = _with_purposes(MIDDLE, ROOT, WEB)
    sign_as(bundle, SIGNER, middle)
    verdict = check(bundle, "--ca", trusting(tmp_path, ROOT))
    assert verdict.code == 7 and "the certificate of 'Middle' may not vouch for code" in verdict.err


def _with_purposes(holder: Holder, by: Holder, purposes: Sequence[x509.ObjectIdentifier]) -> Holder:
    builder: Any = x509.CertificateBuilder(
        issuer_name=by.certificate.subject,
        subject_name=holder.certificate.subject,
        public_key=holder.key.public_key(),
        serial_number=7,
        not_valid_before=NOW - YEAR,
        not_valid_after=NOW + YEAR,
    )
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return Holder(holder.key, builder.sign(by.key, holder.certificate.signature_hash_algorithm))


def test_what_the_system_trusts_does_not_count(
    bundle: Path, tmp_path: Path, pyz: Path, require_tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openssl looks at the system's authorities, too, unless it is kept from it."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "root.pem").write_bytes(ROOT.pem)
    subprocess.run([require_tool("openssl"), "rehash", folder], check=True)
    own = sign_as(bundle, SIGNER, MIDDLE)
    system = {"SSL_CERT_DIR": str(folder), "SSL_CERT_FILE": str(folder / "root.pem")}
    (tmp_path / "leaf.pem").write_bytes(SIGNER.pem)
    (tmp_path / "middle.pem").write_bytes(MIDDLE.pem)
    fooled = ["openssl", "verify", "-CAfile", trusting(tmp_path, ALONE), "-untrusted", "middle.pem", "leaf.pem"]
    assert subprocess.run(fooled, cwd=tmp_path, env={**os.environ, **system}, capture_output=True).returncode == 0
    assert own.exists() and by_program(pyz, **system)(bundle, "--ca", trusting(tmp_path, ALONE)).code == 7
    for name, value in system.items():
        monkeypatch.setenv(name, value)
    assert by_library(bundle, "--ca", trusting(tmp_path, ALONE)).code == 7


@pytest.mark.parametrize("holder", [ROOT, SIGNER, RSA_ROOT, issue("é\n" * 9, ROOT, begins=-70 * YEAR, ends=80 * YEAR)])
def test_what_is_read_from_der_is_what_the_library_reads(holder: Holder) -> None:
    ours, theirs = read_certificate(der(holder)), holder.certificate
    assert ours.name == theirs.subject.rfc4514_string().removeprefix("CN=").replace("\\", "")
    assert ours.begins == theirs.not_valid_before_utc.timestamp()
    assert ours.ends == theirs.not_valid_after_utc.timestamp()
    assert ours.signs == theirs.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature


def test_no_flipped_byte_makes_the_reader_crash() -> None:
    good = der(SIGNER)
    for at in range(len(good)):
        for bit in (0x01, 0x80, 0xFF):
            bad = bytearray(good)
            bad[at] ^= bit
            try:
                read_certificate(bytes(bad))
            except ValueError:
                continue
    for end in range(len(good)):
        with pytest.raises(ValueError, match=r"."):
            read_certificate(good[:end])
