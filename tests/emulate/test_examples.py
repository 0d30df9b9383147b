"""Two example networks on both runtimes, an Atom and a Cortex by one command, in every format, killed in between."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import junitparser
import pytest

from edgetool.report.formats import FORMATS

ROOT = Path(__file__).parents[2]
NETWORKS = ("digits", "silero")
COLUMNS = {"ort-int8": "cortex-a53", "openvino-int8": "denverton"}
pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(1500)]


@pytest.fixture
def environment(require_tool: Callable[[str], str], tmp_path: Path) -> dict[str, str]:
    """A cache of its own that holds nothing but ONNX Runtime for aarch64; the networks are prepared."""
    for name in ("qemu-x86_64", "qemu-aarch64", "aarch64-linux-gnu-gcc"):
        require_tool(name)
    for name in NETWORKS:
        subprocess.run([sys.executable, "-m", f"examples.{name}.prepare"], cwd=ROOT, check=True, capture_output=True)
    version = importlib.metadata.version("onnxruntime")
    command = ["pip", "download", "--no-deps", "--only-binary", ":all:", "--platform", "manylinux_2_28_aarch64"]
    wheels = tmp_path / "cache" / "wheels"
    subprocess.run(
        [sys.executable, "-m", *command, "--dest", wheels, f"onnxruntime=={version}"], check=True, capture_output=True
    )
    return {**os.environ, "EDGETOOL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "CI": "1"}


def matrix(environment: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
    files = [f"examples/{name}/targets.toml" for name in NETWORKS]
    targets = [word for name in COLUMNS for word in ("--target", name)]
    emulated = [word for target, cpu in COLUMNS.items() for word in ("--emulate", f"{target}={cpu}")]
    formats = [word for name in FORMATS for word in ("-O", name)]
    command = [sys.executable, "-m", "edgetool", "validate", "--file", *files, *targets, *emulated, *formats]
    return subprocess.Popen(
        [*command, "--output", str(folder), "--latency-time", "0.1s"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_in_between_it_goes_on_and_gives_every_format(environment: dict[str, str], tmp_path: Path) -> None:
    first = matrix(environment, tmp_path / "first")
    done = lines_until(first, "digits/openvino-int8: emulation-data")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not list(tmp_path.glob("first/*"))
    assert_gone(environment["EDGETOOL_CACHE_DIR"])

    second = matrix(environment, tmp_path / "reports")
    _, said = second.communicate()
    assert second.returncode == 0, said
    # Whatever had ended is not done again, the emulated Cortex before the kill included.
    assert "digits/ort-int8: emulate cortex-a53" in "".join(done)
    for line in said.splitlines():
        if line.startswith("digits/ort-int8: emulat"):
            assert line.endswith(": cached"), line
    check_reports(tmp_path / "reports")

    third = matrix(environment, tmp_path / "again")
    _, said = third.communicate()
    assert third.returncode == 0, said
    steps = [line for line in said.splitlines() if ": emulat" in line]
    assert len(steps) == 2 * len(NETWORKS) * len(COLUMNS)
    assert {line.rpartition(": ")[2] for line in steps} == {"cached"}


def lines_until(process: subprocess.Popen[str], start: str) -> list[str]:
    """What it said on stderr up to a line that starts so."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError("".join(lines))


def assert_gone(cache: str) -> None:
    """Nothing that belongs to the killed command goes on: neither a worker nor an emulator."""
    deadline = time.monotonic() + 20
    while left := processes_with(cache):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def processes_with(cache: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"EDGETOOL_CACHE_DIR={cache}".encode() in variables and int(folder.name) != os.getpid():
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def check_reports(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {row.file for row in FORMATS.values()}
    document = json.loads((folder / "report.json").read_text())
    schema = json.loads((ROOT / "docs" / "reference" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert {(row["model"], row["target"]) for row in document["reports"]} == {
        (model, target) for model in NETWORKS for target in COLUMNS
    }
    for row in document["reports"]:
        (cell,) = (check for check in row["checks"] if check["id"].startswith("emulation/"))
        assert (cell["id"], cell["outcome"]) == (f"emulation/{COLUMNS[row['target']]}", "passed")
        assert cell["figures"]["golden"] == 1
        assert 1 <= cell["figures"]["samples"] <= 8, "a machine that is busy may have time for fewer"
        assert "instructions and numerics, not time" in cell["message"]
    suites = junitparser.JUnitXml.fromfile(str(folder / "junit.xml"))
    emulated = {case.name: case.time for suite in suites for case in suite if case.name.startswith("emulation/")}
    assert set(emulated) == {f"emulation/{cpu}" for cpu in COLUMNS.values()}
    assert all(seconds > 0 for seconds in emulated.values())
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "on denverton" in text
        assert "ot time" in text or "nothing about time" in text
    assert json.loads((folder / "gl-code-quality-report.json").read_text()) == []
    assert json.loads((folder / "edgetool.sarif").read_text())["runs"][0]["results"] == []
    assert (folder / "annotations.txt").read_text().startswith("::notice title=edgetool::4 builds, all ")
