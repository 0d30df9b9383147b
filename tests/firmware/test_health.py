"""`edgetool-health`: a device without Python says whether a bundle is whole, signed, meant for it, and computes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import verify
from edgetool.trust.model_signing import Envelope, read_envelope, signed_bytes, write_envelope
from edgetool.trust.signer import Signer
from edgetool.trust.signing import sign_bundle
from edgetool_firmware.health import programs
from tests.firmware.credentials import write_key, write_public_key
from tests.firmware.damage import flip_byte
from tests.firmware.device_shell import DeviceShell, make_device

HEALTH, SWITCH = programs()
Make = Callable[..., Path]


@pytest.fixture(params=["dash", "busybox"])
def device(request: pytest.FixtureRequest, require_tool: Callable[[str], str], tmp_path: Path) -> DeviceShell:
    return make_device(tmp_path / "device", require_tool, busybox=request.param == "busybox")


@pytest.fixture
def small(make_bundle: Make) -> Path:
    return make_bundle(files={"engine.onnx": b"engine", 'data/a "quoted" ünïcode 漢字 🐁 name.bin': b"weights" * 99})


def signed(bundle: Path, signer: Signer) -> Path:
    return sign_bundle(bundle, signer).path


def test_the_programs_are_plain_posix_shell(require_tool: Callable[[str], str]) -> None:
    command = [require_tool("shellcheck"), "--shell=sh", "--severity=warning", str(HEALTH), str(SWITCH)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert all(os.access(path, os.X_OK) for path in programs())


def test_a_whole_bundle_is_healthy_and_what_was_not_done_is_said(device: DeviceShell, bundle: Path) -> None:
    done = device.run(HEALTH, f"{bundle}/")
    assert done.returncode == 0, done.stderr
    assert "signature not checked" in done.stdout
    assert "self-test not run: this device has no program" in done.stdout


def test_names_with_spaces_quotes_and_other_scripts_are_read(device: DeviceShell, small: Path) -> None:
    done = device.run(HEALTH, small)
    assert done.returncode == 0, done.stderr
    assert f"healthy: {len(read_bundle(small).manifest.files)} files" in done.stdout


def _flipped(bundle: Path) -> None:
    flip_byte(bundle / "model" / "engine.onnx")


def _removed(bundle: Path) -> None:
    (bundle / "io" / "index.json").unlink()


def _added(bundle: Path) -> None:
    (bundle / "model" / "more.so").write_bytes(b"")


def _hidden_behind_a_newline(bundle: Path) -> None:
    (bundle / "manifest.json\nmodel").mkdir()
    (bundle / "manifest.json\nmodel" / "engine.onnx").write_bytes(b"")


def _linked(bundle: Path) -> None:
    engine = bundle / "model" / "engine.onnx"
    engine.rename(bundle.parent / "elsewhere")
    engine.symlink_to(bundle.parent / "elsewhere")


def _linked_folder(bundle: Path) -> None:
    (bundle / "model").rename(bundle.parent / "elsewhere")
    (bundle / "model").symlink_to(bundle.parent / "elsewhere")


def _linked_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").rename(bundle.parent / "elsewhere")
    (bundle / "manifest.json").symlink_to(bundle.parent / "elsewhere")


def _pipe(bundle: Path) -> None:
    os.mkfifo(bundle / "model" / "pipe")


def _no_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _flipped, _removed, _added, _hidden_behind_a_newline, _linked, _linked_folder, _linked_manifest, _pipe,
        _no_manifest,
    ],
)  # fmt: skip
def test_damage_is_found(device: DeviceShell, small: Path, damage: Callable[[Path], None]) -> None:
    damage(small)
    done = device.run(HEALTH, small)
    assert done.returncode == 7
    assert "error[bundle-damaged]" in done.stderr
    assert not done.stdout


def _manifest(bundle: Path, change: Callable[[str], str]) -> None:
    path = bundle / "manifest.json"
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"name": "net"', '"name": "net", "name": "other"'),
        lambda text: text.rstrip().removesuffix("}") + ', "files": []}',
        lambda text: text.rstrip().removesuffix("}") + ', "fi\\u006ces": []}',
        lambda text: text + "{}",
        lambda text: text[:-20],
        lambda text: text.replace('"model/engine.onnx"', '"model/../model/engine.onnx"'),
        lambda text: text.replace('"model/engine.onnx"', '"/model/engine.onnx"'),
        lambda text: text.replace('"model/engine.onnx"', "7"),
        lambda text: text.replace(text.rpartition('"sha256": "')[2][:64], "0" * 63),
        lambda text: text.replace('"name": "net"', '"name": "n\x01t"'),
        lambda text: text.replace('"name": "net"', '"name": "n\net"'),
        lambda text: text.replace('"schema_version": 1', '"schema_version": NaN'),
        lambda text: text.replace('"schema_version": 1', '"schema_version": ' + "[" * 500 + "]" * 500),
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"files": []}',
    ],
)
def test_a_manifest_that_two_readers_could_read_in_two_ways_is_refused(
    device: DeviceShell, make_bundle: Make, change: Callable[[str], str]
) -> None:
    bundle = make_bundle()
    _manifest(bundle, change)
    done = device.run(HEALTH, bundle)
    assert done.returncode == 7
    assert "error[manifest-invalid]" in done.stderr or "error[bundle-damaged]" in done.stderr


@pytest.mark.parametrize(
    "form",
    [
        lambda data: json.dumps(data, separators=(",", ":")),
        lambda data: json.dumps(data, indent=1),
        lambda data: json.dumps(data, ensure_ascii=False, indent="\t"),
        lambda data: json.dumps({"a note": 'braces },{ and \\ "files": [ in a string', **data}),
    ],
)
def test_every_way_to_write_the_same_json_is_understood(
    device: DeviceShell, make_bundle: Make, form: Callable[[object], str]
) -> None:
    bundle = make_bundle()
    _manifest(bundle, lambda text: form(json.loads(text)))
    assert device.run(HEALTH, bundle).returncode == 0


@pytest.mark.slow
def test_it_judges_as_verify_does(device: DeviceShell, make_bundle: Make) -> None:
    """Of every file of a bundle each of three bytes is changed, and both are asked."""
    bundle = make_bundle(files={"engine.onnx": b"engine" * 9})
    for path in sorted(row for row in bundle.rglob("*") if row.is_file() and row.name != "measurements.json"):
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 2):
            flip_byte(path, at=at)
            outcome, done = verify(bundle), device.run(HEALTH, bundle)
            # A manifest may say something else and still fit its files: only its signature tells.
            expected = (7,) if not outcome.sound and path.name != "manifest.json" else (0, 7)
            assert done.returncode in expected, (path, at, done.stderr, outcome.faults)
            path.write_bytes(whole)
    assert device.run(HEALTH, bundle).returncode == 0


def _key(path: Path, curve: ec.EllipticCurve) -> Path:
    return write_key(path, ec.generate_private_key(curve))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_signature_by_the_trusted_key(
    device: DeviceShell, small: Path, curve: ec.EllipticCurve, tmp_path: Path, signer_of: Callable[..., Signer]
) -> None:
    key = _key(tmp_path / "key.pem", curve)
    signed(small, signer_of(key))
    write_public_key(device.etc / "trusted.pem", key)
    done = device.run(HEALTH, small)
    assert done.returncode == 0, done.stderr
    assert "signature checked" in done.stdout


@pytest.fixture
def trusted(device: DeviceShell, ec_key: Path) -> Path:
    return write_public_key(device.etc / "trusted.pem", ec_key)


@pytest.mark.parametrize("name", ["trusted.pem", "compatibility"])
def test_what_was_configured_and_is_gone_is_not_forgotten(device: DeviceShell, small: Path, name: str) -> None:
    (device.etc / name).symlink_to("/nowhere")
    assert device.run(HEALTH, small).returncode == 2


@pytest.mark.usefixtures("trusted")
def test_no_signature_where_a_key_is_trusted(device: DeviceShell, small: Path) -> None:
    done = device.run(HEALTH, small)
    assert (done.returncode, "error[not-signed]" in done.stderr) == (7, True)


@pytest.mark.usefixtures("trusted")
def test_a_signature_by_somebody_else(
    device: DeviceShell, small: Path, tmp_path: Path, signer_of: Callable[..., Signer]
) -> None:
    signed(small, signer_of(_key(tmp_path / "other.pem", ec.SECP256R1())))
    done = device.run(HEALTH, small)
    assert (done.returncode, "error[signature-wrong]" in done.stderr) == (7, True)


@pytest.mark.usefixtures("trusted")
def test_a_signature_of_another_bundle(
    device: DeviceShell, make_bundle: Make, ec_key: Path, signer_of: Callable[..., Signer]
) -> None:
    other = signed(make_bundle(name="other"), signer_of(ec_key))
    bundle = make_bundle()
    other.rename(bundle.with_name(bundle.name + ".sig"))
    done = device.run(HEALTH, bundle)
    assert (done.returncode, "the signer" in done.stderr) == (7, True)


@pytest.mark.usefixtures("trusted")
def test_a_bundle_changed_together_with_its_manifest(
    device: DeviceShell, make_bundle: Make, ec_key: Path, signer_of: Callable[..., Signer]
) -> None:
    """The hashes fit; only the signature tells."""
    bundle = make_bundle()
    signature = signed(bundle, signer_of(ec_key)).read_bytes()
    changed = make_bundle(files={"engine.onnx": b"another engine"})
    changed.with_name(changed.name + ".sig").write_bytes(signature)
    assert verify(changed).sound
    done = device.run(HEALTH, changed)
    assert (done.returncode, "error[bundle-damaged]" in done.stderr) == (7, True)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("old", "new", "signed_again"),
    [
        (b"net-1.2.0", b"net-9.9.9", False),
        (b"https://model_signing/signature/v1.0", b"https://example.com/other", True),
        (b'"resources":[', b'"resources":[],"others":[', True),
        (b'"name":"manifest.json"', b'"name":"./manifest.json"', True),
        (b'"name":"manifest.json"', b'"name":"manifest.json","name":"manifest.json"', True),
    ],
)
def test_a_statement_that_is_not_the_one(
    device: DeviceShell,
    small: Path,
    old: bytes,
    new: bytes,
    signed_again: bool,
    ec_key: Path,
    signer_of: Callable[..., Signer],
) -> None:
    """Changed afterwards, or signed by the right key and not a list of this bundle's files."""
    beside = signed(small, signer_of(ec_key))
    envelope = read_envelope(beside.read_bytes())
    payload = envelope.payload.replace(old, new)
    assert payload != envelope.payload
    signature = signer_of(ec_key).sign(signed_bytes(payload)) if signed_again else envelope.signature
    beside.write_bytes(write_envelope(Envelope(payload, signature, envelope.key_hint)))
    assert device.run(HEALTH, small).returncode == 7


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"dsseEnvelope": {"payloadType": "text/plain"}}'])
def test_a_signature_that_is_none(device: DeviceShell, small: Path, text: str) -> None:
    small.with_name(small.name + ".sig").write_text(text)
    assert device.run(HEALTH, small).returncode == 7


def test_the_key_may_be_named(device: DeviceShell, small: Path, ec_key: Path, signer_of: Callable[..., Signer]) -> None:
    public = write_public_key(device.etc.parent / "key.pem", ec_key)
    signed(small, signer_of(ec_key))
    assert "signature checked" in device.run(HEALTH, "--key", public, small).stdout
    assert device.run(HEALTH, "--key", "/nowhere.pem", small).returncode == 2


@pytest.mark.usefixtures("trusted")
def test_a_key_is_trusted_and_the_device_cannot_check(
    device: DeviceShell, small: Path, ec_key: Path, signer_of: Callable[..., Signer]
) -> None:
    signed(small, signer_of(ec_key))
    device.without("openssl")
    done = device.run(HEALTH, small)
    assert (done.returncode, "openssl" in done.stderr) == (5, True)


@pytest.mark.parametrize(("word", "code"), [("onnxruntime=1.31;arch=x86-64;isa=avx2,vnni", 0), ("tensorrt=10.3", 6)])
def test_a_device_knows_what_it_is(device: DeviceShell, make_bundle: Make, word: str, code: int) -> None:
    (device.etc / "compatibility").write_text(word)
    bundle = make_bundle()
    assert read_bundle(bundle).manifest.target.compatibility == "onnxruntime=1.31;arch=x86-64;isa=avx2,vnni"
    assert device.run(HEALTH, bundle).returncode == code
    assert device.run(HEALTH, "--compatibility", "nothing", bundle).returncode == 6


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ('test -f "$1/manifest.json"', 0, "self-test passed"),
        ("exit 1", 4, "ended with 1"),
        ("kill -SEGV $$", 4, "self-test ended with"),
        ("exec sleep 30", 4, "did not end within 1 s"),
    ],
)
def test_the_selftest_decides(device: DeviceShell, small: Path, body: str, code: int, says: str) -> None:
    program = small.with_name(small.name + ".selftest")
    program.write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\n{body}\n")
    program.chmod(0o755)
    done = device.run(HEALTH, "--timeout", "1", small)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 4), (3, 4)])
def test_the_selftest_of_the_device(
    device: DeviceShell, bundle: Path, code: int, expected: int, require_tool: Callable[[str], str]
) -> None:
    """One program a device, which reads from the bundle what to do."""
    program = device.programs / "edgetool-selftest"
    program.write_text(f'#!{require_tool("dash")}\n[ -f "$1/src/selftest.conf" ] || exit 9\nexit {code}\n')
    program.chmod(0o755)
    done = device.run(HEALTH, bundle)
    assert done.returncode == expected, done.stderr


def test_a_selftest_that_is_named_and_absent(device: DeviceShell, small: Path) -> None:
    assert device.run(HEALTH, "--selftest", "/nowhere", small).returncode == 5


@pytest.mark.parametrize(
    "arguments",
    [(), ("a", "b"), ("--wrong", "a"), ("--key",), ("--key", ""), ("/nowhere",), ("--timeout", "x", "/"), ("",)],
)
def test_wrong_usage(device: DeviceShell, arguments: tuple[str, ...]) -> None:
    done = device.run(HEALTH, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[")


def test_names_cannot_steer_the_terminal(device: DeviceShell, small: Path) -> None:
    (small / "\x1b[2Jx").write_bytes(b"")
    done = device.run(HEALTH, small)
    assert done.returncode == 7
    assert "\x1b" not in done.stderr


def test_nothing_is_left_behind(device: DeviceShell, small: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    device.environment["TMPDIR"] = str(scratch)
    device.run(HEALTH, small)
    (small / "more").write_bytes(b"")
    device.run(HEALTH, small)
    assert not list(scratch.iterdir())
    device.environment["TMPDIR"] = "/nowhere"
    assert device.run(HEALTH, small).returncode == 10
