"""A primary backend that is missing, refuses, crashes or hangs: the fallback builds, and nobody calls that proven."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installed import install_plugin

Cli = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = '''
import os, time
from edgetool.backends import Availability, Backend, BackendOptions, Placement, Support
from edgetool.plugin import BackendInfo, hookimpl
from edgetool.problem import Problem

class Options(BackendOptions):
    """None."""

class Base(Backend):
    Options = Options
    @classmethod
    def tools(cls): return ()
    def probe(self): return Availability(True, True, "1.0")
    def supports(self, model, context):
        return Support((Placement("stem", "Conv", "NPU"),), "NPU")
    def build(self, model, directory, context): raise NotImplementedError
    def open(self, engine, context): raise NotImplementedError

class Refuses(Base):
    def supports(self, model, context):
        problem = Problem("no convolutions here", ("stem", "body"), "use a fully connected network")
        return Support((Placement("stem", "Conv", None, problem.reason),), "NPU", (problem,))

class Crashes(Base):
    def build(self, model, directory, context): os.abort()

class Hangs(Base):
    def build(self, model, directory, context): time.sleep(600)

class Wrong(Base):
    """Builds, opens, and computes nonsense."""
    def build(self, model, directory, context):
        from edgetool.artifact import Engine
        (directory / "engine.bin").write_bytes(b"engine")
        return Engine("wrong", directory, "engine.bin", "float32", model.signature)
    def open(self, engine, context):
        import numpy as np
        from edgetool.backends import Runner
        class Nonsense(Runner):
            signature = engine.signature
            def infer(self, feeds): return {"y": np.ones((len(feeds["x"]), 4), "float32")}
            def close(self): pass
        return Nonsense()

class DiesWhenRun(Wrong):
    def open(self, engine, context):
        from edgetool.backends import Runner
        class Dies(Runner):
            signature = engine.signature
            def infer(self, feeds): os.abort()
            def close(self): pass
        return Dies()

class Unusable(Base):
    def probe(self): return Availability(False, False, None, "its driver is not loaded", "modprobe npu")

class Absent(Wrong):
    def probe(self): return Availability(True, False, "1.0", "no such device", "plug it in")

@hookimpl
def edgetool_backends():
    return [BackendInfo(name.lower(), "for tests", f"npu_plugin:{name}")
            for name in ("Refuses", "Crashes", "Hangs", "Wrong", "DiesWhenRun", "Unusable", "Absent")]
'''


@pytest.fixture
def npu(tmp_path: Path) -> dict[str, str]:
    """An environment in which a plugin with ill-behaved backends is installed."""
    return install_plugin(tmp_path / "site", "npu", PLUGIN)


def _target(project: Path, backend: str, *more: str) -> None:
    with (project / "targets.toml").open("a") as file:
        file.write("\n".join([f'\n[targets.board]\nbackend = "{backend}"', *more]) + "\n")


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("nowhere", "no installed plugin provides"),
        ("unusable", "its driver is not loaded"),
        ("refuses", "no convolutions here"),
        ("crashes", "SIGABRT"),
        ("hangs", "did not finish within"),
    ],
)
def test_the_fallback_builds_and_proves_nothing(
    project: Path, run_cli: Cli, npu: dict[str, str], backend: str, reason: str
) -> None:
    _target(project, backend, 'fallback = ["onnxruntime"]', "[targets.board.builder]", 'timeout = "5s"',
            "[targets.board.budget]", "off_accelerator_nodes = 0", "min_cosine = 0.9")  # fmt: skip
    done = run_cli("build", "--target", "board", cwd=project, env=npu)
    assert done.returncode == 9, done.stdout + done.stderr
    assert reason in done.stdout
    assert "onnxruntime did, which proves nothing for board" in done.stdout
    manifest = json.loads((project / "dist/tiny-1.0.0-board.edgebundle/manifest.json").read_bytes())
    assert manifest["backend"]["name"] == "onnxruntime"
    assert [row["backend"] for row in manifest["fallback"]] == [backend]
    assert {row["name"]: row["status"] for row in manifest["verdicts"]} == {
        "min_cosine": "unverified",
        "off_accelerator_nodes": "unverified",
    }
    nodes = next(row for row in manifest["verdicts"] if row["name"] == "off_accelerator_nodes")
    assert nodes["measured"] == 7, "every node is off the accelerator that was meant"
    allowed = run_cli("build", "--target", "board", "--allow-unverified", cwd=project, env=npu)
    assert allowed.returncode == 0
    assert "unverified" in allowed.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("backend", "code", "words"),
    [
        ("nowhere", 5, "no installed plugin provides the backend 'nowhere'"),
        ("unusable", 5, "modprobe npu"),
        ("refuses", 3, "no convolutions here [stem, body]"),
        ("crashes", 5, "SIGABRT"),
        ("hangs", 10, "did not finish within 5 s"),
    ],
)
def test_without_a_fallback_the_reason_is_the_error(
    project: Path, run_cli: Cli, npu: dict[str, str], backend: str, code: int, words: str
) -> None:
    _target(project, backend, "[targets.board.builder]", 'timeout = "5s"')
    done = run_cli("build", "--target", "board", cwd=project, env=npu)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert not (project / "dist").exists()


def test_an_engine_that_computes_nonsense_fails_and_does_not_fall_back(
    project: Path, run_cli: Cli, npu: dict[str, str]
) -> None:
    _target(project, "wrong", 'fallback = ["onnxruntime"]')
    done = run_cli("build", "--target", "board", cwd=project, env=npu)
    assert done.returncode == 4
    assert done.stdout.startswith("failed board")
    assert "drifted" in done.stdout or "cosine" in done.stdout


def test_an_engine_that_dies_when_run_is_a_failed_validation(project: Path, run_cli: Cli, npu: dict[str, str]) -> None:
    _target(project, "dieswhenrun")
    done = run_cli("build", "--target", "board", cwd=project, env=npu)
    assert done.returncode in (4, 5), done.stderr
    assert "SIGABRT" in done.stdout + done.stderr


def test_a_device_that_is_not_here_means_unverified(project: Path, run_cli: Cli, npu: dict[str, str]) -> None:
    _target(project, "absent")
    done = run_cli("build", "--target", "board", cwd=project, env=npu)
    assert done.returncode == 9
    assert "built, but not run: no such device" in done.stdout
    assert "p50" not in done.stdout


def test_a_board_that_cannot_be_built_for_here_names_its_stand_in(project: Path, run_cli: Cli) -> None:
    _target(project, "nowhere", "[targets.ci]", 'backend = "onnxruntime"', 'stands_in_for = ["board"]')
    done = run_cli("build", "--target", "board", cwd=project)
    assert done.returncode == 5
    assert "nowhere" in done.stderr
    assert "edgetool build --target ci" in done.stderr


def test_the_stand_in_catches_a_frozen_axis(project: Path, run_cli: Cli) -> None:
    """A network whose exporter baked the batch size of the example into a Reshape."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(project / "model.onnx")
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Reshape"
    flatten.input.append("baked")
    del flatten.attribute[:]
    import numpy as np

    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 8], "int64"), "baked"))
    onnx.save(model, project / "model.onnx")
    _target(project, "nowhere", "[targets.ci]", 'backend = "onnxruntime"', 'stands_in_for = ["board"]')
    done = run_cli("build", "--target", "ci", cwd=project)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "batch" in done.stderr
