"""Private keys of a CI: converters and a project's own code do not get them, and nothing that is written holds them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from edgetool.trust.secrets import without_secrets
from tests.firmware.credentials import write_key
from tests.tiny import write_tiny_project

Cli = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[data]
calibration = "spy:samples"
evaluation = "spy:samples"
[targets.ort]
backend = "onnxruntime"
[targets.ort.package]
formats = ["mender"]
key = "env:RELEASE_KEY"
[targets.ort.package.mender]
device_types = ["board"]
"""
SPY = """\
import os
from pathlib import Path
import numpy as np
def samples():
    Path(__file__).with_name("seen").write_text(repr(dict(os.environ)))
    for _ in range(2):
        yield {"x": np.zeros((1, 3, 8, 8), "float32")}
"""


def _key(folder: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec

    return write_key(folder / "key.pem", ec.generate_private_key(ec.SECP256R1())).read_text()


def test_the_code_of_a_project_does_not_see_the_key(tmp_path: Path, run_cli: Cli) -> None:
    write_tiny_project(tmp_path, TARGETS, calibration=0, evaluation=0)
    (tmp_path / "spy.py").write_text(SPY)
    key = _key(tmp_path)
    secrets = {"RELEASE_KEY": key, "EDGETOOL_KEY_PASSWORD": "open sesame", "EDGETOOL_PIN": "314159", "HARMLESS": "seen"}
    done = run_cli("build", "-t", "ort", "--latency-time", "0.05s", cwd=tmp_path, env=secrets)
    assert (tmp_path / "seen").exists(), done.stderr
    seen = (tmp_path / "seen").read_text()
    assert "HARMLESS" in seen
    for secret in ("RELEASE_KEY", "PRIVATE KEY", "open sesame", "314159"):
        assert secret not in seen


def test_what_counts_as_a_secret(tmp_path: Path) -> None:
    environment = {"A": _key(tmp_path), "EDGETOOL_PIN": "1", "EDGETOOL_KEY_PASSWORD": "2", "PATH": "/bin"}
    assert without_secrets(environment) == {"PATH": "/bin"}


def test_nothing_that_is_written_or_said_holds_the_key(
    make_bundle: Callable[..., Path], run_cli: Cli, tmp_path: Path
) -> None:
    bundle = make_bundle()
    key = _key(tmp_path)
    body = key.splitlines()[1]
    out = tmp_path / "out"
    out.mkdir()
    env = {"RELEASE_KEY": key}
    signed = run_cli("sign", bundle, "--key", "env:RELEASE_KEY", "--json", env=env)
    options = ("--format", "mender", "--option", "mender.device_types=board", "--key", "env:RELEASE_KEY")
    packaged = run_cli("package", bundle, *options, "-o", out, "--json", env=env)
    broken = run_cli("sign", bundle, "--key", "env:RELEASE_KEY", env={"RELEASE_KEY": key.replace(body, body[:-8])})
    assert signed.returncode == 0, signed.stderr
    assert broken.returncode == 2
    for done in (signed, packaged, broken):
        assert body[:24] not in done.stdout + done.stderr
    written = [path for path in (*out.rglob("*"), *bundle.parent.rglob("*")) if path.is_file()]
    assert written
    assert not any(body[:24].encode() in path.read_bytes() for path in written)
