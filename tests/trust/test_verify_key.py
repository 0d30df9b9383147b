"""Signatures made with bare keys, as found by `edgetool verify` and by the one file for devices: same verdicts."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from edgetool.bundle.verify import verify
from edgetool.bundle.write import write_bundle
from edgetool.trust.keys import load_signer
from edgetool.trust.signing import sign_bundle
from tests.bundle.samples import contents
from tests.trust.credentials import issue, private_pem, public_pem, write_private
from tests.trust.signed import Verifier, sign_payload, statement

KEY = ec.generate_private_key(ec.SECP256R1())
FORGER = ec.generate_private_key(ec.SECP256R1())
OLD = "ab" * 32


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def signed(bundle: Path, tmp_path: Path) -> Path:
    """The bundle, signed by KEY."""
    sign_bundle(bundle, load_signer(str(write_private(tmp_path / "key.pem", private_pem(KEY)))))
    return bundle


def signature_of(bundle: Path) -> Path:
    return bundle.with_name(bundle.name + ".sig")


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    place = signature_of(bundle)
    data = json.loads(place.read_text())
    change(data)
    place.write_text(json.dumps(data))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_base64(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


def test_a_good_signature_passes(signed: Path, public: Path, check: Verifier) -> None:
    verdict = check(signed, "--key", public)
    assert (verdict.code, verdict.err) == (0, "")
    assert "sound" in verdict.out and "signed by key" in verdict.out
    outcome = json.loads(check(signed, "--key", public, "--json").out)
    assert outcome["sound"] and outcome["signature"]["status"] == "valid"
    assert outcome["signature"]["checked_by"].split()[0] in ("cryptography", "OpenSSL")
    assert check(signed, "--key", public, "--target", "ort", "--quiet").text == ""


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_larger_curves(bundle: Path, tmp_path: Path, check: Verifier, curve: Any) -> None:
    key = ec.generate_private_key(curve)
    sign_bundle(bundle, load_signer(str(write_private(tmp_path / "key.pem", private_pem(key)))))
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    assert check(bundle, "--key", tmp_path / "public.pem").code == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: signature_of(b).unlink(), "there is no signature"),
        (lambda b: (signature_of(b).unlink(), signature_of(b).mkdir()), "not a regular file"),
        (lambda b: (signature_of(b).unlink(), os.mkfifo(signature_of(b))), "not a regular file"),
        (lambda b: signature_of(b).write_bytes(b""), "not valid JSON"),
        (lambda b: signature_of(b).write_bytes(b"\xff"), "not UTF-8"),
        (lambda b: signature_of(b).write_text("[" * 100_000), "nested too deep"),
        (lambda b: os.truncate(signature_of(b), 17 << 20), "larger than 16 MiB"),
        (lambda b: signature_of(b).open("a").write("{}"), "not valid JSON"),
        (lambda b: signature_of(b).write_text('{"mediaType": 1, "mediaType": 2}'), "occurs twice"),
        (lambda b: edit(b, lambda d: d.update(mediaType="text")), "this program knows"),
        (lambda b: edit(b, lambda d: d.pop("dsseEnvelope")), "signs no statement"),
        (lambda b: edit(b, lambda d: d.update(verificationMaterial={})), "neither which key"),
        (lambda b: edit(b, lambda d: d.update(verificationMaterial={"certificate": {}})), "Sigstore service"),
        (lambda b: edit(b, lambda d: d["dsseEnvelope"]["signatures"].append({})), "2 signatures"),
        (lambda b: edit(b, lambda d: d["dsseEnvelope"].update(payloadType="x")), "payloadType"),
        (lambda b: edit(b, lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="%%")), "not base64"),
        (lambda b: edit(b, lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="")), "did not make it"),
        (
            lambda b: edit(
                b, lambda d: d["dsseEnvelope"]["signatures"].__setitem__(
                    0, {"sig": flip_base64(d["dsseEnvelope"]["signatures"][0]["sig"])}
                ),
            ),
            "did not make it",
        ),
        (
            lambda b: edit(b, lambda d: d["dsseEnvelope"].update(payload=flip_base64(d["dsseEnvelope"]["payload"]))),
            "was changed since",
        ),
        (lambda b: sign_payload(b, statement(b), FORGER), "made with another key"),
        (lambda b: sign_payload(b, statement(b), FORGER, issue("F", key=FORGER)), "did not make it"),
        (lambda b: sign_payload(b, statement(b, **{"model/engine.onnx": OLD}), KEY), "changed since: model/engine"),
        (lambda b: sign_payload(b, statement(b, more=OLD), KEY), "gone: more"),
        (lambda b: sign_payload(b, statement(b, **{"manifest.json": OLD}), KEY), "made for another bundle"),
        (lambda b: sign_payload(b, b"{}", KEY), "_type"),
        (lambda b: sign_payload(b, b"hello", KEY), "not valid JSON"),
        (lambda b: sign_payload(b, statement(b).replace(b"sha256", b"blake2"), KEY), "this program by files"),
        (lambda b: sign_payload(b, statement(b, **{"../x": OLD}), KEY), "no bundle can have"),
        (lambda b: sign_payload(b, statement(b).replace(b'"io/', b'"manifest.json","name":"io/', 1), KEY), "twice"),
    ],
)  # fmt: skip
def test_signatures_that_do_not_vouch_for_the_bundle(
    signed: Path, public: Path, check_case: Verifier, damage: Callable[[Path], object], message: str
) -> None:
    damage(signed)
    verdict = check_case(signed, "--key", public)
    assert verdict.code == 7 and message in verdict.err, verdict
    assert "Traceback" not in verdict.err and verdict.out == ""


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda b: (b / "model/engine.onnx").unlink(), "missing"),
        (lambda b: (b / "model/more").write_text("x"), "extra"),
        (lambda b: flip(b / "model/data/weights.bin", 9), "changed"),
        (lambda b: (b / "link").symlink_to("manifest.json"), "unsafe"),
        (lambda b: os.link(b / "manifest.json", b.parent / "twin"), "unsafe"),
        (lambda b: (b / "reports/measurements.json").write_text("{}"), "digest"),
        (lambda b: (b / "reports/measurements.json").unlink(), "signature"),
        (
            lambda b: (b / "reports/measurements.json").write_text(
                (b / "reports/measurements.json").read_text().replace("0.001", "0.0001")
            ),
            "signature",
        ),
    ],
)
def test_every_change_of_the_bundle_is_found(
    signed: Path, public: Path, check: Verifier, damage: Callable[[Path], object], kind: str
) -> None:
    damage(signed)
    verdict = check(signed, "--key", public)
    assert verdict.code == 7 and f": {kind}: " in verdict.err, verdict


def test_every_flipped_byte_of_the_signature_is_found_or_harmless(signed: Path, public: Path) -> None:
    """A byte may be one that says nothing, such as that of `keyid`; it never makes another statement pass."""
    from tests.trust.signed import by_library

    place = signature_of(signed)
    good = place.read_bytes()
    inside = good.index(b'"payload":"') + 11, good.index(b'"}]}}') - len(b'","keyid":"')
    for at in range(0, len(good), 29):
        flip(place, at)
        code = by_library(signed, "--key", public).code
        place.write_bytes(good)
        assert code == 7 or not inside[0] <= at < inside[1], at


def test_a_consistent_bundle_by_somebody_else_is_refused(signed: Path, public: Path, check: Verifier) -> None:
    """Who changes the engine and the manifest still lacks the key."""
    forged = write_bundle(signed.parent / "f" / signed.name, contents(signed.parent / "x", precision="float16")).path
    shutil.copy(signature_of(signed), signature_of(forged))
    assert verify(forged).sound
    verdict = check(forged, "--key", public)
    assert verdict.code == 7 and "made for another bundle" in verdict.err


def test_the_target_must_be_the_wanted_one(signed: Path, public: Path, check: Verifier) -> None:
    verdict = check(signed, "--key", public, "--target", "jetson")
    assert verdict.code == 7 and "it is for target 'ort', wanted is 'jetson'" in verdict.err


def test_a_signature_elsewhere(signed: Path, public: Path, check: Verifier) -> None:
    place = signature_of(signed).rename(signed.parent / "elsewhere")
    assert check(signed, "--key", public).code == 7
    assert check(signed, "--key", public, "--signature", place).code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "0 PEM public keys"),
        (public_pem(KEY) * 2, "2 PEM public keys"),
        (private_pem(KEY), "private key, which no device should have"),
        (issue("x").pem, "--ca"),
        (public_pem(rsa.generate_private_key(65537, 2048)), "P-256, P-384 and P-521"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "P-256, P-384 and P-521"),
        (public_pem(ed25519.Ed25519PrivateKey.generate()), "P-256, P-384 and P-521"),
        (public_pem(KEY).replace(b"M", b"%", 1), "public key is damaged"),
        (b"x" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_keys_that_cannot_be_used(
    signed: Path, tmp_path: Path, check_case: Verifier, text: bytes, message: str
) -> None:
    (tmp_path / "bad.pem").write_bytes(text)
    verdict = check_case(signed, "--key", tmp_path / "bad.pem")
    assert verdict.code == 2 and "error[key-invalid]" in verdict.err and message in verdict.err
    assert "error[key-not-found]" in check_case(signed, "--key", tmp_path / "nothing").err


@pytest.mark.parametrize(
    "options",
    [
        "--key {key} --ca {key}",
        "--key {key} --hashes-only",
        "--signature {key} --hashes-only",
        "--signature {key}",
        "--at 2030-01-01 --key {key}",
        "--ca {key} --at tomorrow",
    ],
)
def test_options_that_contradict_each_other(signed: Path, public: Path, check_case: Verifier, options: str) -> None:
    assert check_case(signed, *options.format(key=public).split()).code == 2
    assert check_case().code == 2
    assert check_case(signed, signed, "--key", public, "--signature", signature_of(signed)).code == 2
