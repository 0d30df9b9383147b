"""`edgetool sign`: what it writes, what it refuses, and that nobody ever sees half of a signature."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgetool.bundle.verify import verify
from edgetool.trust.model_signing import read_envelope
from tests.trust.conftest import SoftToken
from tests.trust.credentials import WEB, issue, private_pem, public_pem, write_private
from tests.trust.signed import by_library

Cli = Callable[..., subprocess.CompletedProcess[str]]
KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = issue("Root", authority=True)
SIGNER = issue("Release signing", ROOT, key=KEY)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "public.pem").write_bytes(public_pem(KEY))
    return write_private(tmp_path / "key.pem", private_pem(KEY))


def signature_of(bundle: Path) -> Path:
    return bundle.with_name(bundle.name + ".sig")


def left_behind(bundle: Path) -> list[str]:
    """What is neither the bundle nor its signature nor its provenance."""
    return [path.name for path in bundle.parent.iterdir() if not path.name.startswith(bundle.name)]


def test_sign_then_verify(bundle: Path, key: Path, run_cli: Cli) -> None:
    done = run_cli("sign", bundle, "--key", key, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["signature"] == str(signature_of(bundle))
    assert (result["certified"], result["deterministic"]) == (False, True)
    assert result["content_digest"] == verify(bundle).content_digest
    first = signature_of(bundle).read_bytes()
    again = run_cli("sign", bundle, "--key", key)
    assert again.returncode == 0 and again.stdout.startswith("signed ") and again.stderr == ""
    assert signature_of(bundle).read_bytes() == first, "equal bundles and keys give equal bytes"
    assert run_cli("verify", bundle, "--key", key.with_name("public.pem")).returncode == 0
    assert left_behind(bundle) == [] and verify(bundle).sound


def test_sign_with_certificates(bundle: Path, key: Path, tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "chain.pem").write_bytes(SIGNER.pem + ROOT.pem)
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    done = run_cli("sign", bundle, "--key", key, "--certificate", tmp_path / "chain.pem", "--json")
    assert json.loads(done.stdout)["certified"]
    assert by_library(bundle, "--ca", tmp_path / "ca.pem").code == 0
    assert by_library(bundle, "--key", tmp_path / "public.pem").code == 0, "who knows the key needs no authority"


def test_sign_with_a_token(bundle: Path, tmp_path: Path, soft_token: SoftToken, run_cli: Cli) -> None:
    soft_token.run("--keypairgen", "--key-type", "EC:secp384r1", "--label", "release", "--id", "01")
    code = "import sys; from edgetool.trust.keys import load_signer as k; print(k(sys.argv[1]).public_key.decode())"
    with (tmp_path / "public.pem").open("wb") as public:
        shown = [sys.executable, "-c", code, soft_token.uri("release")]
        subprocess.run(shown, check=True, stdout=public, env={**os.environ, "EDGETOOL_PIN": soft_token.pin})
    done = run_cli("sign", bundle, "--key", soft_token.uri("release"), "--json", env={"EDGETOOL_PIN": soft_token.pin})
    assert done.returncode == 0, done.stderr
    assert not json.loads(done.stdout)["deterministic"]
    assert by_library(bundle, "--key", tmp_path / "public.pem").code == 0
    wrong = run_cli("sign", bundle, "--key", soft_token.uri("release"), env={"EDGETOOL_PIN": "999999"})
    assert wrong.returncode == 2 and "error[token-pin]" in wrong.stderr and "999999" not in wrong.stderr


def test_a_damaged_bundle_is_not_signed(bundle: Path, key: Path, run_cli: Cli) -> None:
    (bundle / "model/engine.onnx").write_bytes(b"x")
    done = run_cli("sign", bundle, "--key", key)
    assert done.returncode == 7 and "error[bundle-damaged]" in done.stderr
    assert not signature_of(bundle).exists() and left_behind(bundle) == []


def test_mistakes_are_named(bundle: Path, key: Path, tmp_path: Path, run_cli: Cli) -> None:
    long_key = write_private(tmp_path / "rsa.pem", private_pem(rsa.generate_private_key(65537, 2048)))
    (tmp_path / "other.pem").write_bytes(issue("Other").pem)
    (tmp_path / "many.pem").write_bytes(SIGNER.pem * 9)
    (tmp_path / "web.pem").write_bytes(issue("Web", key=KEY, purposes=WEB).pem)
    notes = tmp_path / "notes.txt"
    notes.write_text("not a signature")
    for arguments, code in (
        ((bundle, "--key", tmp_path / "nothing.pem"), "key-not-found"),
        ((bundle, "--key", tmp_path / "public.pem"), "key-invalid"),
        ((bundle, "--key", long_key), "key-unsuitable"),
        ((bundle, "--key", key, "--certificate", tmp_path / "other.pem"), "certificate-mismatch"),
        ((bundle, "--key", key, "--certificate", tmp_path / "many.pem"), "certificate-invalid"),
        ((bundle, "--key", key, "--certificate", tmp_path / "web.pem"), "certificate-unsuitable"),
        ((bundle, "--key", key, "--output", notes), "signature-place-taken"),
        ((bundle, "--key", key, "--output", tmp_path), "signature-place-taken"),
        ((bundle, "--key", key, "--output", bundle / "signature"), "signature-place-taken"),
        ((tmp_path / "nothing", "--key", key), "bundle-not-found"),
    ):
        done = run_cli("sign", *arguments)
        assert done.returncode == 2 and f"error[{code}]" in done.stderr, done.stderr
        assert "hint:" in done.stderr and "Traceback" not in done.stderr
        assert "public.pem: other users" not in done.stderr, "what is public may be read by everybody"
    assert notes.read_text() == "not a signature"
    assert not signature_of(bundle).exists()


def test_a_key_that_others_may_read_is_used_with_a_warning(bundle: Path, key: Path, run_cli: Cli) -> None:
    key.chmod(0o644)
    done = run_cli("sign", bundle, "--key", key)
    assert done.returncode == 0 and "warning: " in done.stderr and "chmod 600" in done.stderr
    assert run_cli("sign", bundle, "--key", key, "--quiet").stderr == ""


def test_a_signature_of_another_build_is_replaced(bundle: Path, key: Path, run_cli: Cli) -> None:
    assert run_cli("sign", bundle, "--key", key, "--output", bundle.parent / "net.sig").returncode == 0
    (bundle / "reports/measurements.json").unlink()
    assert by_library(bundle, "--key", key.with_name("public.pem"), "--signature", bundle.parent / "net.sig").code == 7
    assert run_cli("sign", bundle, "--key", key, "--output", bundle.parent / "net.sig").returncode == 0
    assert by_library(bundle, "--key", key.with_name("public.pem"), "--signature", bundle.parent / "net.sig").code == 0


def test_a_full_disk_leaves_the_old_signature(bundle: Path, key: Path) -> None:
    """A limit on the size of files refuses like a full disk does."""

    def sign(limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgetool", "sign", bundle, "--key", key],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )

    refused = sign(500)
    assert refused.returncode == 10 and "error[disk-full]" in refused.stderr, refused.stderr
    assert not signature_of(bundle).exists() and left_behind(bundle) == []
    assert sign(1 << 20).returncode == 0
    before = signature_of(bundle).read_bytes()
    assert sign(500).returncode == 10
    assert signature_of(bundle).read_bytes() == before and left_behind(bundle) == []


def test_killed_while_signing(bundle: Path, key: Path) -> None:
    """At any moment there is no signature or a good one, and the next run clears what the killed one left."""
    command = [sys.executable, "-m", "edgetool", "sign", str(bundle), "--key", str(key)]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    usual = time.monotonic() - began
    whole = signature_of(bundle).read_bytes()
    signature_of(bundle).unlink()
    dice = random.Random(5)
    for _ in range(6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.6, 1.1) * usual)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not signature_of(bundle).exists() or signature_of(bundle).read_bytes() == whole
    subprocess.run(command, check=True, capture_output=True)
    assert signature_of(bundle).read_bytes() == whole and left_behind(bundle) == []


def test_many_at_once(bundle: Path, key: Path, run_cli: Cli) -> None:
    """Two sign and eight verify: whoever verifies sees a whole signature, or none."""
    assert run_cli("sign", bundle, "--key", key).returncode == 0
    public = key.with_name("public.pem")
    with ThreadPoolExecutor(10) as pool:
        signing = [pool.submit(run_cli, "sign", bundle, "--key", key) for _ in range(2)]
        checking = [pool.submit(run_cli, "verify", bundle, "--key", public) for _ in range(8)]
    assert [row.result().returncode for row in signing + checking] == [0] * 10
    assert left_behind(bundle) == []


def test_names_that_need_care(bundle: Path, key: Path, run_cli: Cli) -> None:
    odd = bundle.rename(bundle.with_name("a b$(touch x)'\"é\n.edgebundle"))
    assert run_cli("sign", odd, "--key", key).returncode == 0
    done = run_cli("verify", odd, "--key", key.with_name("public.pem"))
    assert done.returncode == 0, done.stderr
    assert read_envelope(signature_of(odd).read_bytes()).certificates == ()
    assert run_cli("sign", ".", "--key", key, cwd=odd).returncode == 0
    assert left_behind(odd) == []


def test_a_package_carries_no_signature_of_an_older_build(bundle: Path, key: Path, run_cli: Cli) -> None:
    package = ("package", bundle, "--format", "tar", "--overwrite")
    assert run_cli("sign", bundle, "--key", key).returncode == 0
    assert run_cli(*package).returncode == 0
    (bundle / "reports/measurements.json").unlink()
    done = run_cli(*package)
    assert done.returncode == 7 and "error[signature-stale]" in done.stderr, done.stderr
    assert "gone: reports/measurements.json" in done.stderr and "edgetool sign" in done.stderr
    assert run_cli("sign", bundle, "--key", key).returncode == 0
    assert run_cli(*package).returncode == 0
