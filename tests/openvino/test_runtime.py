"""Importing OpenVINO: no report to anybody, no file in the user's home, a clear word when it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.errors import UnavailableError
from edgetool_openvino.runtime import load_runtime

_WATCHED = """
import json, sys, time
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        seen.append([event, repr(arguments)])
sys.addaudithook(watch)
from pathlib import Path
from edgetool.context import BuildContext
from edgetool.testing import feeds_for, tiny_mlp
from edgetool_openvino.backend import OpenVino
folder = Path(sys.argv[1])
model, backend, context = tiny_mlp(folder), OpenVino(OpenVino.Options()), BuildContext(threads=1)
(folder / "engine").mkdir()
assert backend.probe().can_run and backend.supports(model, context).accepted
engine = backend.build(model, folder / "engine", context)
with backend.open(engine, context) as runner:
    runner.infer(feeds_for(model.signature))
backend.evidence(engine, context)
time.sleep(0.3)  # telemetry would be sent from a thread
print(json.dumps([seen, [name for name in sys.modules if name.startswith("openvino_telemetry")]]))
"""


def test_nothing_is_reported_and_the_home_folder_stays_empty(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(work)],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], []]
    assert not any(home.iterdir())


def test_the_telemetry_package_can_be_imported_afterwards() -> None:
    load_runtime()
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None


def test_a_missing_openvino_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError) as caught:
        load_runtime()
    assert caught.value.code == "openvino-missing"
    assert "pip install" in str(caught.value.hint)
