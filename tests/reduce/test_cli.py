"""`edgetool reduce` as users run it: for a target, with a command, and what lies beside the reduced model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

Cli = Callable[..., subprocess.CompletedProcess[str]]


class Reduced:
    """What a run of the command left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        assert done.returncode == 0, done.stderr
        self.result = json.loads(done.stdout.splitlines()[-1])
        self.model = onnx.load(folder / self.result["model"])
        self.text = (folder / self.result["model"]).with_suffix(".txt").read_text()

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]


def test_the_files_reproduce_the_failure(fragile: Path, network: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text(
        'schema = 1\n[targets.t]\nbackend = "fragile"\n[targets.t.fragile]\nfail = ["Erf"]\n[targets.t.builder]\n'
        'timeout = "20s"\nhost = "secret.example"\n'
    )
    done = run_cli("reduce", network.name, "--json", "--output", "bug/smallest.onnx", cwd=tmp_path)
    found = Reduced(done, tmp_path)
    assert found.operators == ["Erf"]
    assert sorted(path.name for path in (tmp_path / "bug").iterdir()) == [
        "smallest.onnx",
        "smallest.toml",
        "smallest.txt",
    ]
    assert "secret" not in found.text + (tmp_path / "bug" / "smallest.toml").read_text()
    command = found.text.splitlines()[-1].split()
    assert command[:2] == ["reproduce", "edgetool"]
    again = run_cli(*command[2:], cwd=tmp_path / "bug")
    assert again.returncode == 3
    assert "error[fragile-build]" in again.stderr


def test_a_command_can_be_asked_instead(network: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(
        "import sys, pathlib\n"
        "data = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "sys.exit(4 if b'Softplus' in data and b'Tanh' in data else 5 if b'Tanh' in data else 0)\n"
    )
    command = f"{sys.executable} -S ask.py {{}}"
    found = Reduced(run_cli("reduce", network.name, "--check", command, "--json", cwd=tmp_path), tmp_path)
    assert sorted(found.operators) == ["Softplus", "Tanh"]
    assert found.result["failure"]["code"] == "exit status 4"
    assert not list(tmp_path.glob("*.toml"))
    assert "ask.py net.reduced.onnx" in found.text.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--check", "false"], "fails-on-anything", 5),
        (["--check", "false", "--mode", "guess"], "wrong-quantity", 2),
    ],
)
def test_what_cannot_be_reduced_is_said_and_nothing_is_written(
    network: Path, run_cli: Cli, tmp_path: Path, arguments: list[str], code: str, exit_code: int
) -> None:
    done = run_cli("reduce", network.name, *arguments, cwd=tmp_path)
    assert done.returncode == exit_code
    assert f"error[{code}]" in done.stderr
    assert not list(tmp_path.glob("*.reduced.*"))


def test_a_target_that_chooses_its_recipe_has_to_be_told_one(network: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text('schema = 1\n[targets.t]\nbackend = "onnxruntime"\nprecision = "auto"\n')
    done = run_cli("reduce", network.name, cwd=tmp_path)
    assert done.returncode == 2
    assert "error[no-one-recipe]" in done.stderr


def test_what_onnx_runtime_fails_on_at_run_time(run_cli: Cli, tmp_path: Path) -> None:
    """An index out of range that only running shows, behind operators that have no part in it."""
    nodes = [helper.make_node("Relu", ["x"], ["a"], "a"), helper.make_node("Tanh", ["a"], ["b"], "b")]
    nodes += [
        helper.make_node("Gather", ["b", "index"], ["c"], "gather", axis=1),
        helper.make_node("Abs", ["c"], ["y"]),
    ]
    index = helper.make_node("Add", ["count", "far"], ["index"], "index")
    graph = helper.make_graph(
        [index, *nodes],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor("far", TensorProto.INT64, [1], [100])],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    (tmp_path / "targets.toml").write_text('schema = 1\n[targets.t]\nbackend = "onnxruntime"\n')
    found = Reduced(run_cli("reduce", "net.onnx", "--json", cwd=tmp_path), tmp_path)
    assert found.result["failure"]["stage"] == "run"
    assert sorted(found.operators) == ["Add", "Gather"]
